//! The layer together with the other layers of an application.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::{Request, StatusCode, header};
use http_body::Body as _;
use mcp_bearer::bearer::BearerBody;
use mcp_bearer::{AuthInfo, ResourceServer};
use tower::util::{MapResponseLayer, option_layer};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::support::{Answer, Fixture, RESOURCE};

async fn whoami(auth: AuthInfo, _body: String) -> String {
    auth.subject().unwrap_or("service").to_owned()
}

async fn send(app: &Router, authorization: Option<&str>, body: &'static str) -> Answer {
    let request = Request::post("/").header(header::ACCEPT_ENCODING, "identity");
    let request = match authorization {
        Some(value) => request.header(header::AUTHORIZATION, value),
        None => request,
    };
    Answer::of(app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn the_layer_works_at_any_position_in_a_stack_of_layers() {
    let fixture = Fixture::new().await;
    let guard = || fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let timeout = || TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(10));
    let route = || Router::new().route("/", post(whoami));
    // The body type of `RequestBodyLimitLayer` does not implement `Default`, so this layer must be outside of the
    // timeout.
    let innermost = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(RequestBodyLimitLayer::new(8))
        .layer(timeout())
        .layer(CompressionLayer::new())
        .layer(fixture.server.cors_layer())
        .layer(fixture.server.allowed_origins(["https://app.example.com"]))
        .layer(guard());
    let outermost = ServiceBuilder::new()
        .layer(guard())
        .layer(fixture.server.allowed_origins(["https://app.example.com"]))
        .layer(TraceLayer::new_for_http())
        .layer(RequestBodyLimitLayer::new(8))
        .layer(timeout())
        .layer(CompressionLayer::new());
    let between = ServiceBuilder::new()
        .layer(timeout())
        .layer(guard())
        .layer(RequestBodyLimitLayer::new(8))
        .layer(timeout())
        .layer(CompressionLayer::new())
        .layer(guard())
        .layer(TraceLayer::new_for_http());
    let valid = format!("Bearer {}", fixture.token());
    let scopeless = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).sign());
    for (place, app) in [
        ("innermost", route().layer(innermost)),
        ("outermost", route().layer(outermost)),
        ("between", route().layer(between)),
    ] {
        let accepted = send(&app, Some(&valid), "1234").await;
        assert_eq!((accepted.status.as_u16(), accepted.body.as_str()), (200, "alice"), "{place}");
        assert_eq!(send(&app, None, "1234").await.verdict(), "R401N", "{place}");
        assert_eq!(send(&app, Some("Bearer garbage"), "1234").await.verdict(), "R401", "{place}");
        assert_eq!(send(&app, Some(&scopeless), "1234").await.verdict(), "R403", "{place}");
        let too_large = send(&app, Some(&valid), "123456789").await;
        assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE, "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outer_timeout_ends_a_slow_handler() {
    let fixture = Fixture::new().await;
    let slow = || async { tokio::time::sleep(Duration::from_secs(60)).await };
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(10)))
        .layer(fixture.server.bearer_layer());
    let app = Router::new().route("/", post(slow)).layer(stack);
    let answer = send(&app, Some(&format!("Bearer {}", fixture.token())), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::GATEWAY_TIMEOUT, ""));
    let empty = BearerBody::<Body>::default();
    assert!(empty.is_end_stream() && empty.size_hint().exact() == Some(0));
}

/// An optional layer: both cases must have the same response type.
#[tokio::test(start_paused = true)]
async fn an_optional_layer_needs_one_type_of_response() {
    let fixture = Fixture::new().await;
    for is_guarded in [true, false] {
        let guard = is_guarded.then(|| fixture.server.bearer_layer());
        let unified = guard.clone().map(|guard| (MapResponseLayer::new(IntoResponse::into_response), guard));
        let by_router = Router::new().route("/", post(|| async { "ok" })).route_layer(option_layer(unified.clone()));
        let by_stack = ServiceBuilder::new().layer(TraceLayer::new_for_http()).option_layer(unified);
        let by_stack = Router::new().route("/", post(|| async { "ok" })).layer(by_stack);
        for app in [by_router, by_stack] {
            let expected = if is_guarded { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            assert_eq!(send(&app, None, "").await.status, expected);
            assert_eq!(send(&app, Some(&format!("Bearer {}", fixture.token())), "").await.status, StatusCode::OK);
        }
        // The same with plain tower and a boxed inner body.
        let handler =
            tower::service_fn(async |_: Request<Body>| Ok::<_, std::convert::Infallible>("ok".into_response()));
        let service = option_layer(guard.map(|guard| (MapResponseLayer::new(IntoResponse::into_response), guard)));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = service.layer(handler).oneshot(request).await.unwrap();
        assert_eq!(response.status() == StatusCode::UNAUTHORIZED, is_guarded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_router_with_state_and_a_fallback_keeps_its_responses() {
    let fixture = Fixture::new().await;
    let guarded = Router::new().route("/", get(|| async { "inside" })).route_layer(fixture.server.bearer_layer());
    let app: Router = Router::new().nest("/api", guarded).fallback(|| async { StatusCode::IM_A_TEAPOT }).with_state(());
    for (path, expected) in [("/api", 401), ("/api/other", 418), ("/other", 418)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_hosts_with_the_same_metadata_path_need_separate_routers() {
    let fixture = Fixture::cold();
    let resource = |host: &str| format!("https://{host}/mcp");
    let server =
        |host: &str| ResourceServer::builder(resource(host)).issuer(fixture.issuer.issuer()).build_lazy().unwrap();
    let [one, two] = ["one.example", "two.example"].map(server);
    let merge = std::panic::AssertUnwindSafe(|| one.metadata_router::<()>().merge(two.metadata_router()));
    assert!(std::panic::catch_unwind(merge).is_err());
    let routers = [one.metadata_router::<()>(), two.metadata_router()];
    let by_host = Router::new().fallback(move |request: Request<Body>| {
        let router = routers[usize::from(request.headers()[header::HOST] == "two.example")].clone();
        async move { router.oneshot(request).await }
    });
    for host in ["one.example", "two.example"] {
        let request = Request::get("/.well-known/oauth-protected-resource/mcp").header(header::HOST, host);
        let answer = Answer::of(by_host.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
        assert_eq!(answer.json()["resource"], resource(host));
    }
}
