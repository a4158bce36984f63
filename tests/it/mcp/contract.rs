//! The layer as a tower middleware: readiness, when bodies are read, and the responses to rejected requests.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::mcp::{McpAuth, McpScopes};
use mcp_bearer::testing::{Endpoint, Fault};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use super::server::{McpServer, post, tools};
use crate::support::{Answer, Fixture, METADATA_URL};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note"}}"#;

/// A service that must be polled ready before each call. A clone is not ready.
struct Strict {
    ready: bool,
    polled: Arc<AtomicUsize>,
    called: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, polled: Arc::clone(&self.polled), called: Arc::clone(&self.called) }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    /// The first poll is pending, the next ones are ready, and the last one fails.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.polled.fetch_add(1, SeqCst) {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            1..=20 => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err("broken")),
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.called.fetch_add(1, SeqCst);
        let fails = request.headers().contains_key("x-fail");
        std::future::ready(if fails { Err("failed") } else { Ok(Response::new(Body::from("ok"))) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let fixture = Fixture::new().await;
    let (polled, called) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let strict = Strict { ready: false, polled: Arc::clone(&polled), called: Arc::clone(&called) };
    let layer = fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"]));
    let mut service: BearerAuth<McpAuth<Strict>> = tools(layer).layer(strict);
    let mut get = post(&fixture.token(), &[], Body::empty());
    *get.method_mut() = http::Method::GET;
    let preflight =
        Request::options("/mcp").header("origin", "https://a.example").header("access-control-request-method", "POST");
    let (may, may_not) = (fixture.token_for("mcp:tools notes:write"), fixture.token());
    for (request, status, calls) in [
        (post(&may, &[], CALL), Ok(200), 1),
        (post(&may, &[], slow_body(CALL)), Ok(200), 2),
        (get, Ok(200), 3),
        (preflight.body(Body::empty()).unwrap(), Ok(200), 4),
        (post(&may_not, &[], CALL), Ok(403), 4),
        (post("", &[], CALL), Ok(401), 4),
        (post(&may, &[("x-fail", "1")], CALL), Err("failed"), 5),
    ] {
        let ready = ServiceExt::<Request<Body>>::ready(&mut service).await.unwrap();
        let answer = ready.call(request).await.map(|response| response.status().as_u16());
        assert_eq!((answer, called.load(SeqCst)), (status, calls));
    }
    polled.store(100, SeqCst);
    assert_eq!(ServiceExt::<Request<Body>>::ready(&mut service).await.err(), Some("broken"));
}

/// A body that is pending between any two bytes.
fn slow_body(text: &'static str) -> Body {
    let bytes = futures_util::stream::unfold(text.bytes(), |mut bytes| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let byte = bytes.next()?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![byte]))), bytes))
    });
    Body::new(StreamBody::new(bytes))
}

/// A body that counts how often it is polled.
struct Counting {
    body: Body,
    announced: Option<u64>,
    polls: Arc<AtomicUsize>,
}

impl HttpBody for Counting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.polls.fetch_add(1, SeqCst);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The request with a body that counts its polls.
fn counted(request: Request<Body>, announced: Option<u64>) -> (Request<Body>, Arc<AtomicUsize>) {
    let polls = Arc::new(AtomicUsize::new(0));
    (request.map(|body| Body::new(Counting { body, announced, polls: Arc::clone(&polls) })), polls)
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_request_that_is_rejected_by_its_headers_is_never_read() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new()).bind_sessions();
    let server = McpServer::with(tools(layer), |_| Response::new(Body::empty()));
    let expired = fixture.issuer.token().audience(crate::support::RESOURCE).scope("mcp:tools").expired().sign();
    let token = fixture.token();
    for (request, announced, status) in [
        (post("", &[], CALL), None, 401),
        (post("forged", &[], CALL), None, 401),
        (post(&expired, &[], CALL), None, 401),
        (post(&fixture.token_for("other"), &[], CALL), None, 403),
        (post(&token, &[("authorization", "Bearer again")], CALL), None, 400),
        (post(&token, &[("mcp-session-id", "forged")], CALL), None, 404),
        (post(&token, &[], CALL), Some(4 * 1024 * 1024 + 1), 413),
    ] {
        let (request, polls) = counted(request, announced);
        assert_eq!((server.send(request).await.status.as_u16(), polls.load(SeqCst)), (status, 0));
    }
    let (request, polls) = counted(post(&token, &[], CALL), None);
    assert_eq!((server.send(request).await.status.as_u16(), polls.load(SeqCst)), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_a_body_is_read_only_if_it_may_contain_a_public_operation() {
    let fixture = Fixture::new().await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let server = McpServer::mixed(&fixture, McpScopes::new().public(["ping"]));
    for (method, token, body, status, reads) in [
        ("POST", "", ping, 200, 2),
        ("POST", "", CALL, 401, 2),
        ("POST", "forged", ping, 401, 0),
        ("GET", "", ping, 401, 0),
        ("DELETE", "", ping, 401, 0),
    ] {
        let (mut request, polls) = counted(post(token, &[], body), None);
        *request.method_mut() = method.parse().unwrap();
        let status_and_reads = (server.send(request).await.status.as_u16(), polls.load(SeqCst));
        assert_eq!(status_and_reads, (status, reads), "{method} {token:?} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_is_verified_before_the_body_is_read() {
    for (is_valid, status, reads) in [(true, 200, 2), (false, 401, 0)] {
        let fixture = Fixture::cold();
        fixture.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_secs(2)));
        let token = fixture.issuer.token().scope("mcp:tools");
        let token = token.audience(crate::support::RESOURCE);
        let token = if is_valid { token.sign() } else { token.header("kid", "unknown").sign() };
        let (request, polls) = counted(post(&token, &[], CALL), None);
        let server = McpServer::new(&fixture, McpScopes::new());
        let mut answer = std::pin::pin!(server.send(request));
        assert!(answer.as_mut().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(answer.as_mut().now_or_never().is_none());
        assert_eq!(polls.load(SeqCst), 0);
        assert_eq!((answer.await.status.as_u16(), polls.load(SeqCst)), (status, reads));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_checked_with_any_http_method() {
    let fixture = Fixture::new().await;
    let polls = Arc::new(AtomicUsize::new(0));
    let (seen, layer) = (Arc::clone(&polls), fixture.server.mcp_layer(McpScopes::new()));
    let service = tools(layer).layer(service_fn(move |request: Request<_>| {
        let before = seen.load(SeqCst);
        async move {
            let body: mcp_bearer::mcp::McpRequestBody<Body> = request.into_body();
            let hint = body.size_hint().exact();
            let read = body.collect().await.unwrap();
            let (trailers, bytes) = (read.trailers().cloned(), read.to_bytes());
            Ok::<_, Infallible>(Response::new(Body::from(format!("{before} {hint:?} {trailers:?} {bytes:?}"))))
        }
    }));
    let trailers = || HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("1"))]);
    for method in ["GET", "DELETE", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "QUERY"] {
        let (one, two) = CALL.split_at(10);
        let frames = [Frame::data(Bytes::from(one)), Frame::data(Bytes::from(two)), Frame::trailers(trailers())];
        let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
        let mut request = post(&fixture.token(), &[], Body::new(body));
        *request.method_mut() = method.parse().unwrap();
        polls.store(0, SeqCst);
        let request = request.map(|body| Body::new(Counting { body, announced: None, polls: Arc::clone(&polls) }));
        let answer = Answer::of(service.clone().oneshot(request).await.unwrap()).await;
        let expected = format!("4 Some(75) {:?} {:?}", Some(trailers()), Bytes::from(CALL));
        assert_eq!(answer.body, expected, "{method}");
    }
    for method in ["GET", "DELETE", "HEAD", "OPTIONS"] {
        let mut request = post(&fixture.token(), &[], Body::empty());
        *request.method_mut() = method.parse().unwrap();
        polls.store(0, SeqCst);
        let request = request.map(|body| Body::new(Counting { body, announced: None, polls: Arc::clone(&polls) }));
        let answer = Answer::of(service.clone().oneshot(request).await.unwrap()).await;
        assert!(answer.body.starts_with("0 "), "{method}: {}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn on_rejection_cannot_remove_required_headers() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"]));
    let layer = layer.bind_sessions().on_rejection(|rejection| {
        let mut response = Response::new(Bytes::from(format!("own words: {rejection}")));
        *response.status_mut() = rejection.status();
        response.headers_mut().insert("x-own", HeaderValue::from_static("1"));
        response
    });
    let server = McpServer::with(tools(layer), |_| Response::new(Body::from("ok")));
    let token = fixture.token();
    let large = "x".repeat(4 * 1024 * 1024 + 1);
    for (request, status, words, has_challenge) in [
        (post(&token, &[], CALL), 403, "The access token does not grant what this operation needs", true),
        (post(&token, &[("mcp-session-id", "x")], CALL), 404, "Session not found", false),
        (
            post(&token, &[("mcp-method", "ping")], CALL),
            400,
            "The headers Mcp-Method and Mcp-Name do not match the request body",
            false,
        ),
        (post(&token, &[], large), 413, "The request body is too large", false),
    ] {
        let answer = server.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, format!("own words: {words}").as_str()));
        assert_eq!((answer.header("x-own"), answer.header("cache-control")), (Some("1"), Some("no-store")));
        assert_eq!(answer.header("www-authenticate").is_some(), has_challenge, "{status}");
        assert_eq!(answer.rejection.unwrap().status().as_u16(), status);
    }
    let rejected = server.post(&token, &[], CALL).await;
    assert_eq!(rejected.parameter("scope").as_deref(), Some("mcp:tools notes:write"));
    assert_eq!(rejected.parameter("resource_metadata").as_deref(), Some(METADATA_URL));
    assert_eq!(server.post(&fixture.token_for("mcp:tools notes:write"), &[], CALL).await.body, "ok");
    assert_eq!(server.take_reached().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outer_layer_of_another_server_does_not_authenticate_a_request() {
    let fixture = Fixture::new().await;
    let other = ResourceServer::builder("https://other.example.com/mcp").issuer(fixture.issuer.issuer());
    let other = other.clock(fixture.clock.clone()).build().await.unwrap();
    let token = fixture.issuer.token().audience("https://other.example.com/mcp").scope("mcp:tools").sign();
    let layer = || tools(fixture.server.mcp_layer(McpScopes::new().public(["ping"])));
    let routes = || Router::new().route("/mcp", any(|| async { "ok" }));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for app in [
        routes().route_layer(layer()),
        routes().route_layer(layer()).route_layer(other.bearer_layer()),
        routes().route_layer(layer()).route_layer(other.bearer_layer().allow_anonymous()),
        routes().route_layer(layer()).route_layer(other.mcp_layer(McpScopes::new())),
    ] {
        let mut get = post(&token, &[], Body::empty());
        *get.method_mut() = http::Method::GET;
        for request in [post(&token, &[], ping), get] {
            let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(METADATA_URL));
            assert_eq!(answer.parameter("scope").as_deref(), Some("mcp:tools"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nested_layers_of_one_server_need_the_scopes_of_both() {
    let fixture = Fixture::new().await;
    let rules = || McpScopes::new().tool("add_note", ["notes:write"]).public(["ping"]);
    let inner = || fixture.server.mcp_layer(rules()).required_scopes(["b"]).allow_anonymous();
    let routes = || Router::new().route("/mcp", any(|| async { "ok" }));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (app, anonymous) in [
        (routes().route_layer(inner()).layer(fixture.server.bearer_layer().required_scopes(["a"])), "a"),
        (routes().route_layer(inner()).layer(fixture.server.mcp_layer(rules()).required_scopes(["a"])), "a"),
        (
            routes().route_layer(inner()).layer(fixture.server.bearer_layer().required_scopes(["a"]).allow_anonymous()),
            "a b notes:write",
        ),
    ] {
        for (scopes, body, status, needed) in [
            ("a b notes:write", CALL, 200, None),
            ("a b", CALL, 403, Some("a b notes:write")),
            ("a b", ping, 200, None),
            ("a", ping, 403, Some("a b")),
            ("b", ping, 403, Some("a")),
        ] {
            let request = post(&fixture.token_for(scopes), &[], body);
            let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
            assert_eq!(answer.status.as_u16(), status, "{scopes} {body}");
            // An outer MCP layer also knows the operation, so its scopes come first.
            let named = answer.parameter("scope");
            assert!(named.as_deref() == needed || named.as_deref() == Some("a notes:write"), "{scopes} {named:?}");
        }
        let answer = Answer::of(app.clone().oneshot(post("", &[], CALL)).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.parameter("scope").as_deref()), (401, Some(anonymous)));
    }
}

#[test]
fn bodies_are_send_and_sync_if_their_contents_are() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<mcp_bearer::mcp::McpRequestBody<http_body_util::Full<Bytes>>>();
    is_shared::<mcp_bearer::mcp::McpResponseBody<http_body_util::Full<Bytes>>>();
}
