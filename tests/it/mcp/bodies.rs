//! Reading a request body takes limited memory and time, and does not change the body.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, Method, Request, Response, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use mcp_bearer::mcp::{McpRequestBody, McpResponseBody, McpScopes};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::server::{McpServer, post, tools};
use super::verdict::verdict;
use crate::support::{Answer, Fixture, RESOURCE};

const TOO_LARGE: &str = "413 -32600";

fn limited(fixture: &Fixture, limit: usize) -> McpServer {
    let layer = fixture.server.mcp_layer(McpScopes::new()).max_body(limit);
    McpServer::with(tools(layer), |_| "ok".into_response())
}

/// A message with this length.
fn padded(length: usize) -> Bytes {
    let message = r#"{"method":"ping"}"#;
    format!("{message}{}", " ".repeat(length - message.len())).into()
}

/// A body of unknown length.
fn chunked(chunks: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static) -> Body {
    Body::from_stream(chunks)
}

fn pieces(body: &Bytes, size: usize) -> Body {
    let pieces: Vec<_> = body.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    chunked(stream::iter(pieces))
}

#[tokio::test]
async fn a_body_may_have_the_maximum_length_and_no_more() {
    let fixture = Fixture::new().await;
    let (small, default) = (limited(&fixture, 1_024), McpServer::new(&fixture, McpScopes::new()));
    for (server, limit) in [(small, 1_024), (default, 4 << 20)] {
        for (length, expected) in [(limit, "OK"), (limit + 1, TOO_LARGE)] {
            let body = padded(length);
            assert_eq!(server.outcome(&fixture.token(), &[], body.clone()).await, expected, "{length}");
            for size in [limit, limit - 1, 1 + limit / 2, 1 + limit / 7] {
                let answer = server.post(&fixture.token(), &[], pieces(&body, size)).await;
                let reached = server.take_reached();
                if expected == "OK" {
                    assert!(answer.status.is_success() && reached[0].body == body, "{length} in pieces of {size}");
                } else {
                    assert_eq!(verdict(&answer), expected, "{length} in pieces of {size}");
                    assert!(reached.is_empty());
                }
            }
        }
    }
}

/// A body that announces this length and panics if it is polled.
#[derive(Clone)]
struct Announced(u64);

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body must not be read")
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn a_body_with_a_length_above_the_limit_is_not_read() {
    let fixture = Fixture::new().await;
    let server = limited(&fixture, 1_024);
    for length in [1_025, u64::MAX] {
        let answer = server.post(&fixture.token(), &[], Body::new(Announced(length))).await;
        assert_eq!(verdict(&answer), TOO_LARGE);
    }
    assert!(server.take_reached().is_empty());
}

#[tokio::test]
async fn a_body_is_checked_with_any_method() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new().any_tool(["never"]).deny_unlisted());
    let handler =
        service_fn(async |_: Request<McpRequestBody<Announced>>| Ok::<_, Infallible>(Response::new("ok".to_owned())));
    let service = tools(layer).layer(handler);
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        for (length, expected) in [(0, 200), (u64::MAX, 413)] {
            let request = Request::builder().method(&method).uri(RESOURCE);
            let request = request.header(header::AUTHORIZATION, format!("Bearer {}", fixture.token()));
            let response = service.clone().oneshot(request.body(Announced(length)).unwrap()).await.unwrap();
            assert_eq!(response.status(), expected, "{method} {length}");
        }
    }
}

#[tokio::test]
async fn a_body_is_forwarded_as_one_frame_with_its_trailers() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new());
    let handler = service_fn(async |request: Request<McpRequestBody<Body>>| {
        let hint = http_body::Body::size_hint(request.body()).exact();
        let collected = request.into_body().collect().await.unwrap();
        let trailer = collected.trailers().map(|trailers| trailers["x-sum"].clone());
        let seen = format!("{hint:?} {trailer:?} {:?}", collected.to_bytes());
        Ok::<_, Infallible>(Response::new(Body::from(seen)))
    });
    let service = tools(layer).layer(handler);
    let trailers = HeaderMap::from_iter([(header::HeaderName::from_static("x-sum"), "7".parse().unwrap())]);
    let frames = [Frame::data(r#"{"method""#.into()), Frame::data(r#":"ping"}"#.into()), Frame::trailers(trailers)];
    let body = Body::new(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))));
    let answer = Answer::of(service.oneshot(post(&fixture.token(), &[], body)).await.unwrap()).await;
    assert_eq!(answer.body, r#"Some(17) Some("7") b"{\"method\":\"ping\"}""#);
}

/// An endless body with one piece per pause, and a counter of the bytes that were read.
fn endless(piece: usize, pause: Duration) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pieces = stream::unfold((), move |()| {
        let counter = Arc::clone(&counter);
        async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            counter.fetch_add(piece, Ordering::SeqCst);
            Some((Ok(Bytes::from(vec![b' '; piece])), ()))
        }
    });
    (chunked(pieces), taken)
}

#[tokio::test(start_paused = true)]
async fn reading_an_endless_body_stops_at_a_limit() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    let mixed = McpServer::mixed(&fixture, McpScopes::new().public(["ping"]));
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let challenge = "401 mcp:tools";
    for (piece, pause, with_token, without) in [
        (1, day, ("408 -32600", 30, 0), ("408 -32600", 30, 0)),
        (1, second, ("408 -32600", 30, 30), ("408 -32600", 30, 30)),
        (1 << 10, second, ("408 -32600", 30, 30 << 10), ("408 -32600", 30, 30 << 10)),
        (100 << 10, second, ("408 -32600", 30, 3_000 << 10), (challenge, 1, 100 << 10)),
        (1 << 20, second, (TOO_LARGE, 5, 5 << 20), (challenge, 1, 1 << 20)),
        (64 << 10, Duration::ZERO, (TOO_LARGE, 0, (4 << 20) + (64 << 10)), (challenge, 0, 128 << 10)),
    ] {
        for (server, token, (expected, seconds, most)) in [
            (&server, fixture.token(), with_token),
            (&mixed, fixture.token(), with_token),
            (&mixed, String::new(), without),
        ] {
            let (body, taken) = endless(piece, pause);
            let start = Instant::now();
            assert_eq!(verdict(&server.post(&token, &[], body).await), expected, "{piece} every {pause:?}");
            assert_eq!(start.elapsed().as_secs(), seconds, "{piece} every {pause:?}");
            assert!(taken.load(Ordering::SeqCst) <= most, "{piece} every {pause:?}");
            assert!(server.take_reached().is_empty());
        }
    }
}

#[tokio::test]
async fn a_request_without_a_token_has_a_smaller_limit() {
    let fixture = Fixture::new().await;
    let layer = || fixture.server.mcp_layer(McpScopes::new().public(["ping"]));
    let mixed = |layer| McpServer::with(tools(layer).allow_anonymous(), |_| "ok".into_response());
    let challenge = "401 mcp:tools";
    for (layer, limit, with_token) in [
        (layer(), 64 << 10, 4 << 20),
        (layer().max_anonymous_body(1_024), 1_024, 4 << 20),
        (layer().max_anonymous_body(4 << 20), 4 << 20, 4 << 20),
        (layer().max_body(1 << 20).max_anonymous_body(1 << 20), 1 << 20, 1 << 20),
        // The smaller of the two limits applies.
        (layer().max_body(2_048), 2_048, 2_048),
    ] {
        let server = mixed(layer);
        for (token, limit, too_large) in [(String::new(), limit, challenge), (fixture.token(), with_token, TOO_LARGE)] {
            assert_eq!(server.outcome(&token, &[], padded(limit)).await, "OK", "{limit}");
            assert_eq!(server.outcome(&token, &[], padded(limit + 1)).await, too_large, "{limit}");
            let answer = server.post(&token, &[], pieces(&padded(limit + 1), 1 + limit / 3)).await;
            assert_eq!(verdict(&answer), too_large, "{limit}");
            // A body with a known length above the limit is not read.
            let answer = server.post(&token, &[], Body::new(Announced(u64::try_from(limit + 1).unwrap()))).await;
            assert_eq!(verdict(&answer), too_large, "{limit}");
            assert!(server.take_reached().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_within_the_time_limit_is_read() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    for (wait, expected) in [(28, 200), (31, 408)] {
        let pieces = stream::iter([(0, r#"{"method""#), (wait, r#":"ping"}"#)]);
        let pieces = futures_util::StreamExt::then(pieces, async |(wait, piece)| {
            sleep(Duration::from_secs(wait)).await;
            Ok::<_, std::io::Error>(Bytes::from(piece))
        });
        let body = Body::new(StreamBody::new(futures_util::TryStreamExt::map_ok(Box::pin(pieces), Frame::data)));
        let answer = server.post(&fixture.token(), &[], body).await;
        assert_eq!(answer.status, expected, "{wait}");
        assert_eq!(server.take_reached().len(), usize::from(expected == 200));
    }
}

#[tokio::test]
async fn a_body_that_ends_with_an_error_is_rejected() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    for before in [&[][..], &["{"], &[r#"{"method":"ping"}"#]] {
        let pieces: Vec<_> = before.iter().map(|piece| Ok(Bytes::from(*piece))).collect();
        let broken = Err(std::io::Error::other("connection reset"));
        let body = chunked(stream::iter(pieces.into_iter().chain([broken])));
        assert_eq!(verdict(&server.post(&fixture.token(), &[], body).await), "400 -32600", "{before:?}");
        assert!(server.take_reached().is_empty());
    }
}

#[tokio::test]
async fn the_default_body_is_empty() {
    let request = McpRequestBody::<Body>::default().collect().await.unwrap().to_bytes();
    let response = McpResponseBody::<Body>::default().collect().await.unwrap().to_bytes();
    assert!(request.is_empty() && response.is_empty());
}
