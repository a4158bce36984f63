//! The layer as a tower middleware: readiness, nesting, order, and several servers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, header};
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use tower::{Layer as _, Service, ServiceExt};

use crate::support::{Answer, App, Fixture, ISSUER, RESOURCE};

/// A service that must be polled ready before each call. A clone is not ready.
struct Strict {
    ready: bool,
    called: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, called: Arc::clone(&self.called) }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.called.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Response::new("ok".to_owned())))
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    // The server has fetched nothing, so only the first call has to wait for keys.
    let fixture = Fixture::cold();
    let called = Arc::new(AtomicUsize::new(0));
    let strict = Strict { ready: false, called: Arc::clone(&called) };
    let mut service: BearerAuth<Strict> = fixture.server.bearer_layer().layer(strict);
    for expected in 1..=3 {
        let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {}", fixture.token()));
        let response = ServiceExt::<Request<()>>::ready(&mut service)
            .await
            .unwrap()
            .call(request.body(()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(called.load(Ordering::SeqCst), expected);
    }
    let rejected = ServiceExt::<Request<()>>::ready(&mut service)
        .await
        .unwrap()
        .call(Request::get("/").body(()).unwrap())
        .await
        .unwrap();
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(called.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn an_inner_layer_adds_its_scopes() {
    let fixture = Fixture::new().await;
    let inner = fixture.server.bearer_layer().required_scopes(["b"]);
    let outer = fixture.server.bearer_layer().required_scopes(["a"]);
    let app = Router::new().route("/", get(|auth: AuthInfo| async move { auth.scopes().to_string() }));
    let app = app.route_layer(inner).layer(outer);
    for (scope, verdict, challenge) in
        [("a b", "OK", None), ("a", "R403", Some("a b")), ("b", "R403", Some("a")), ("", "R403", Some("a"))]
    {
        let token = fixture.issuer.token().audience(RESOURCE).scope(scope).sign();
        let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = Answer::of(app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
        assert_eq!(answer.verdict(), verdict, "{scope}");
        assert_eq!(answer.parameter("scope").as_deref(), challenge, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_ignores_an_outer_layer_of_another_server() {
    let fixture = Fixture::new().await;
    let other = ResourceServer::builder("https://other.example.com/mcp")
        .issuer(fixture.issuer.issuer())
        .clock(fixture.clock.clone())
        .build()
        .await
        .unwrap();
    let app = Router::new().route("/", get(|| async { "ok" }));
    let app = app.route_layer(other.bearer_layer()).layer(fixture.server.bearer_layer());
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {}", fixture.token()));
    let answer = Answer::of(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
    assert_eq!(answer.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_cannot_sign_tokens_of_another_issuer() {
    let (one, two) = (TestIssuer::new("https://one.example.com"), TestIssuer::new("https://two.example.com"));
    let server = ResourceServer::builder(RESOURCE).issuer(one.issuer()).issuer(two.issuer()).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).sign();
    assert_eq!(app.with_token(&token(&one)).await.verdict(), "OK");
    assert_eq!(app.with_token(&token(&two)).await.verdict(), "OK");
    let forged = one.token().audience(RESOURCE).claim("iss", two.url()).sign();
    assert_eq!(app.with_token(&forged).await.verdict(), "R401");
    let borrowed = one.token().audience(RESOURCE).claim("iss", two.url()).header("kid", two.key_id()).sign();
    assert_eq!(app.with_token(&borrowed).await.verdict(), "R401");
    assert_eq!((one.stray_requests(), two.stray_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_one_issuer_does_not_affect_another() {
    let (one, two) = (TestIssuer::new("https://one.example.com"), TestIssuer::new("https://two.example.com"));
    one.stop();
    let builder = ResourceServer::builder(RESOURCE).issuer(one.issuer()).issuer(two.issuer());
    let app = App::new(builder.build_lazy().unwrap().bearer_layer());
    assert_eq!(app.with_token(&one.token().audience(RESOURCE).sign()).await.verdict(), "R503");
    assert_eq!(app.with_token(&two.token().audience(RESOURCE).sign()).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn several_resources_in_one_process_accept_only_their_own_tokens() {
    let issuer = TestIssuer::new(ISSUER);
    let shared: Issuer = issuer.issuer();
    let mut app = Router::new();
    for name in ["notes", "files"] {
        let server = ResourceServer::builder(format!("https://api.example.com/{name}"));
        let server = server.issuer(shared.clone()).build().await.unwrap();
        let routes = Router::new().route(&format!("/{name}"), get(|| async { "ok" }));
        app = app.merge(routes.route_layer(server.bearer_layer())).merge(server.metadata_router());
    }
    assert_eq!(issuer.total_requests(), 2);
    for (path, audience, verdict) in
        [("/notes", "notes", "OK"), ("/notes", "files", "R401"), ("/files", "files", "OK"), ("/files", "notes", "R401")]
    {
        let token = issuer.token().audience(&format!("https://api.example.com/{audience}")).sign();
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = Answer::of(app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
        assert_eq!(answer.verdict(), verdict, "{path} {audience}");
    }
}

#[tokio::test]
async fn a_layer_covers_only_the_routes_added_before_it() {
    let fixture = Fixture::new().await;
    let layer = || fixture.server.bearer_layer();
    let route = |path: &str| Router::new().route(path, get(|| async { "inside" }));
    let fallback = || async { "fallback" };
    let by_route = route("/before").route_layer(layer()).merge(route("/after")).fallback(fallback);
    let by_layer = route("/before").fallback(fallback).layer(layer()).merge(route("/after"));
    let nested = Router::new().nest("/api", route("/before").route_layer(layer())).merge(route("/after"));
    for (router, path, expected) in [
        (&by_route, "/before", 401),
        (&by_route, "/after", 200),
        (&by_route, "/unknown", 200),
        (&by_layer, "/before", 401),
        (&by_layer, "/after", 200),
        (&by_layer, "/unknown", 401),
        (&nested, "/api/before", 401),
        (&nested, "/before", 404),
        (&nested, "/after", 200),
        (&nested, "/api/unknown", 404),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = Answer::of(router.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status, expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_can_read_the_challenge_if_the_cors_layer_is_outside() {
    let fixture = Fixture::new().await;
    let app = Router::new()
        .route("/mcp", get(|| async { "ok" }))
        .route_layer(fixture.server.bearer_layer())
        .merge(fixture.server.metadata_router())
        .layer(fixture.server.cors_layer());
    let send = |request: Request<Body>| app.clone().oneshot(request);
    let rejected =
        Request::get("/mcp").header(header::ORIGIN, "https://inspector.example.com").body(Body::empty()).unwrap();
    let rejected = Answer::of(send(rejected).await.unwrap()).await;
    assert_eq!(rejected.verdict(), "R401N");
    assert_eq!(rejected.header("access-control-allow-origin"), Some("*"));
    let exposed = rejected.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
    for name in ["www-authenticate", "mcp-session-id", "mcp-protocol-version", "retry-after"] {
        assert!(exposed.split(',').any(|known| known.trim() == name), "{name} in {exposed}");
    }
    let requested_headers = "authorization,content-type,accept,mcp-protocol-version,mcp-session-id,last-event-id,mcp-method,mcp-name,mcp-param-x";
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
        let preflight = Request::options("/mcp")
            .header(header::ORIGIN, "https://inspector.example.com")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, method)
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, requested_headers);
        let answer = Answer::of(send(preflight.body(Body::empty()).unwrap()).await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.header("access-control-allow-methods").unwrap().contains(method));
        assert_eq!(answer.header("access-control-allow-headers"), Some(requested_headers));
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_polled_after_completion_panics() {
    let fixture = Fixture::new().await;
    let strict = || Strict { ready: true, called: Arc::default() };
    let mut bearer = fixture.server.bearer_layer().layer(strict());
    let mut future = bearer.call(Request::get("/").body(()).unwrap());
    assert!((&mut future).now_or_never().is_some());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.now_or_never())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "`ResponseFuture` polled after completion");
}
