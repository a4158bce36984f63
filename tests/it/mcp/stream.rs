//! Streaming responses: written by a test, and read as a client reads them.

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
use mcp_bearer::mcp::McpLayer;
use mcp_bearer::testing::TestClock;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::server::{McpServer, post};

pub const EVENTS: &str = "text/event-stream";
/// The initial time of a new `TestClock`.
pub const START: u64 = 1_800_000_000;
/// A request for something other than a list.
pub const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"watch"}}"#;

/// The sending end of a response body.
pub struct Feed(UnboundedSender<Frame<Bytes>>);

impl Feed {
    pub fn send(&self, data: &str) {
        // The client may have closed the stream.
        _ = self.0.send(Frame::data(Bytes::copy_from_slice(data.as_bytes())));
    }

    pub fn end_with(self, trailers: HeaderMap) {
        _ = self.0.send(Frame::trailers(trailers));
    }

    /// Whether the body was dropped. A server notices the end of a stream by this.
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

/// A server whose next response is written through the feed.
pub fn feeding(layer: McpLayer, content_type: &'static str) -> (McpServer, Feed) {
    let (sender, receiver) = unbounded_channel();
    let source = Mutex::new(Some(Body::new(Source(receiver))));
    let server = McpServer::with(layer, move |_| {
        let body = source.lock().unwrap().take().unwrap();
        Response::builder().header(header::CONTENT_TYPE, content_type).body(body).unwrap()
    });
    (server, Feed(sender))
}

/// The receiving end of a response.
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

    /// Opens the response to a POST request.
    pub async fn open(server: &McpServer, token: &str) -> Self {
        Self::of(server, post(token, &[], CALL)).await
    }

    /// The data that is available without waiting, or `None` at the end.
    #[track_caller]
    pub fn next_now(&mut self) -> Option<String> {
        self.body.frame().now_or_never().expect("no data is available").map(text)
    }

    /// Whether no data is available and the stream is still open.
    pub fn is_waiting(&mut self) -> bool {
        self.body.frame().now_or_never().is_none()
    }

    /// The next data, after waiting for it, or `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        self.body.frame().await.map(text)
    }

    /// All remaining data, and the time in whole seconds when the stream ends.
    pub async fn rest(&mut self) -> (String, u64) {
        let mut all = String::new();
        while let Some(text) = self.next().await {
            all.push_str(&text);
        }
        (all, self.opened.elapsed().as_secs())
    }

    /// Asserts that the stream ends with an error and without data. Returns the time in seconds.
    pub async fn expect_error(&mut self) -> u64 {
        assert!(self.body.frame().await.unwrap().is_err());
        assert!(self.body.frame().await.is_none());
        self.opened.elapsed().as_secs()
    }

    /// Asserts that only trailers remain, and returns them.
    pub async fn trailers(&mut self) -> HeaderMap {
        let frame = self.body.frame().await.unwrap().unwrap();
        let trailers = frame.into_trailers().unwrap();
        assert!(self.body.frame().await.is_none());
        trailers
    }

    /// Waits until this time after the opening of the stream.
    pub async fn at(&self, seconds: u64) {
        sleep_until(self.opened + Duration::from_secs(seconds)).await;
    }
}

fn text(frame: Result<Frame<Bytes>, axum::Error>) -> String {
    String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()
}

/// Sets the wall clock forward or back.
pub fn set_clock(clock: &TestClock, seconds: i64) {
    clock.set(clock.since_epoch().as_secs().checked_add_signed(seconds).unwrap());
}
