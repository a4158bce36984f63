use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::oneshot;

use super::fault::empty;
use super::state::State;

/// A server on a loopback port.
///
/// It has a thread and a runtime of its own: it outlives the runtime of the test that started it, and to stop it cuts
/// every connection, idle ones too.
pub(super) struct Socket {
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

struct Running {
    // Dropping it ends the thread.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Socket {
    pub(super) fn start(listener: TcpListener, state: &Arc<State>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let running = Running::start(listener, router(Arc::clone(state)))?;
        Ok(Self { address, running: Mutex::new(Some(running)) })
    }

    pub(super) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { stop, thread }) = running {
            drop(stop);
            // A panic over there was printed over there.
            drop(thread.join());
        }
    }

    /// Serves again, on the same port.
    pub(super) fn restart(&self, state: &Arc<State>) -> io::Result<()> {
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
            // Ends when the sender is dropped; with the runtime go the listener and all connections.
            let _ended = runtime.block_on(stopped);
        };
        let thread = std::thread::Builder::new().name("test-issuer".into()).spawn(serve)?;
        Ok(Self { stop, thread })
    }
}

/// Answers as the issuer does, whatever the path.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(respond).with_state(state)
}

async fn respond(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, MAX_BODY).await else {
        return empty(413).map(Body::from);
    };
    match state.answer(http::Request::from_parts(parts, body)).await {
        Some(answer) => answer.map(Body::from),
        None => Response::new(Body::new(Broken)),
    }
}

/// A body that fails before its first byte: the server then closes the connection, and the head that it had not yet
/// written is never sent.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// Four times the longest token that a resource server asks about.
const MAX_BODY: usize = 64 * 1024;
