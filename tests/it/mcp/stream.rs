//! Answers that go on: written by a test, and read as a client reads them.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use mcp_bearer::Clock as _;
use mcp_bearer::mcp::McpLayer;
use mcp_bearer::testing::TestClock;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::server::{McpServer, post};

pub const EVENTS: &str = "text/event-stream";
/// What a new `TestClock` shows.
pub const START: u64 = 1_800_000_000;
/// A request that is not about a list.
pub const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"watch"}}"#;

/// The server's end of an answer.
pub struct Feed(UnboundedSender<Frame<Bytes>>);

impl Feed {
    pub fn send(&self, data: &str) {
        // Nobody may be listening any more.
        _ = self.0.send(Frame::data(Bytes::copy_from_slice(data.as_bytes())));
    }

    pub fn end_with(self, trailers: HeaderMap) {
        _ = self.0.send(Frame::trailers(trailers));
    }

    /// Whether the body was dropped, which is how a server notices.
    pub fn is_dropped(&self) -> bool {
        self.0.is_closed()
    }
}

struct Source(UnboundedReceiver<Frame<Bytes>>);

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A server whose next answer is what is fed to it.
pub fn feeding(layer: McpLayer, content_type: &'static str) -> (McpServer, Feed) {
    let (sender, receiver) = unbounded_channel();
    let source = Mutex::new(Some(Body::new(Source(receiver))));
    let server = McpServer::with(layer, move |_| {
        let body = source.lock().unwrap().take().unwrap();
        Response::builder().header(header::CONTENT_TYPE, content_type).body(body).unwrap()
    });
    (server, Feed(sender))
}

/// The client's end of an answer.
pub struct Stream {
    body: Body,
    opened: Instant,
}

impl Stream {
    pub async fn of(server: &McpServer, request: Request<Body>) -> Self {
        let response = server.respond(request).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), opened: Instant::now() }
    }

    /// The answer to a POST.
    pub async fn open(server: &McpServer, token: &str) -> Self {
        Self::of(server, post(token, &[], CALL)).await
    }

    /// What is there without waiting; `None` at the end.
    #[track_caller]
    pub fn here(&mut self) -> Option<String> {
        self.body.frame().now_or_never().expect("nothing has come").map(text)
    }

    /// Whether there is nothing to read, and no end either.
    pub fn waits(&mut self) -> bool {
        self.body.frame().now_or_never().is_none()
    }

    /// What comes next, whenever that is; `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        self.body.frame().await.map(text)
    }

    /// All that still comes, and the time since the beginning at which it ends, in whole seconds.
    pub async fn rest(&mut self) -> (String, u64) {
        let mut all = String::new();
        while let Some(text) = self.next().await {
            all.push_str(&text);
        }
        (all, self.opened.elapsed().as_secs())
    }

    /// The time at which it ends in an error, with nothing before that and nothing after it.
    pub async fn breaks_off(&mut self) -> u64 {
        assert!(self.body.frame().await.unwrap().is_err());
        assert!(self.body.frame().await.is_none());
        self.opened.elapsed().as_secs()
    }

    /// The trailers, which must be all that is left.
    pub async fn trailers(&mut self) -> HeaderMap {
        let frame = self.body.frame().await.unwrap().unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert!(self.body.frame().await.is_none());
        trailers
    }

    /// Goes to this moment after the beginning.
    pub async fn at(&self, seconds: u64) {
        sleep_until(self.opened + Duration::from_secs(seconds)).await;
    }
}

fn text(frame: Result<Frame<Bytes>, axum::Error>) -> String {
    String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()
}

/// Sets the wall clock forward or back, as an administrator does.
pub fn set_clock(clock: &TestClock, seconds: i64) {
    clock.set(clock.since_epoch().as_secs().checked_add_signed(seconds).unwrap());
}
