use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{Request, State as Extracted};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::oneshot;

use super::fault::empty;
use super::state::IssuerState;

/// A server on a loopback port.
///
/// It runs in a separate thread and runtime, so it outlives the runtime of the test that started it. Stopping it closes all
/// connections, idle ones too.
pub(super) struct Socket {
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

struct Running {
    // The thread ends when this is dropped.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Socket {
    pub(super) fn start(listener: TcpListener, state: &Arc<IssuerState>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let running = Running::start(listener, router(Arc::clone(state)))?;
        Ok(Self { address, running: Mutex::new(Some(running)) })
    }

    pub(super) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { stop, thread }) = running {
            drop(stop);
            // A panic of the thread was printed already.
            drop(thread.join());
        }
    }

    /// Starts the server again on the same port.
    pub(super) fn restart(&self, state: &Arc<IssuerState>) -> io::Result<()> {
        self.stop();
        let started = Running::start(TcpListener::bind(self.address)?, router(Arc::clone(state)))?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    fn start(listener: TcpListener, router: Router) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            drop(runtime.spawn(async move { axum::serve(listener, router).await }));
            // This ends when the sender is dropped. The runtime then drops the listener and all connections.
            let _ended = runtime.block_on(stopped);
        };
        let thread = std::thread::Builder::new().name("test-issuer".into()).spawn(serve)?;
        Ok(Self { stop, thread })
    }
}

/// The issuer as a router for all paths.
pub(super) fn router(state: Arc<IssuerState>) -> Router {
    Router::new().fallback(respond).with_state(state)
}

async fn respond(Extracted(state): Extracted<Arc<IssuerState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, MAX_BODY).await else {
        return empty(413).map(Body::from);
    };
    match state.answer(http::Request::from_parts(parts, body)).await {
        Some(answer) => answer.map(Body::from),
        None => Response::new(Body::new(Broken)),
    }
}

/// A body that fails before its first byte. The server then closes the connection without sending the head.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// Four times the longest token that a resource server introspects.
const MAX_BODY: usize = 64 * 1024;
