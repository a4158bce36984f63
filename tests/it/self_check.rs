//! `ResourceServer::self_check`: each mistake in the routes and layers of an application has its own error.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use axum::routing::{any, delete, get, post};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use mcp_bearer::server::{SelfCheckBody, SelfCheckErrorKind};
use mcp_bearer::testing::{Endpoint, TestIssuer};
use mcp_bearer::{AuthInfo, McpScopes, ResourceServer};
use tower::{ServiceBuilder, service_fn};

use crate::capture::Capture;
use crate::support::{Fixture, ISSUER};

fn server(resource: &str) -> ResourceServer {
    ResourceServer::builder(resource).issuer(TestIssuer::new(ISSUER).issuer()).build_lazy().unwrap()
}

fn route() -> Router {
    Router::new().route("/mcp", any(|| async { "ok" }))
}

async fn whoami(auth: AuthInfo) -> String {
    auth.subject().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn applications_without_a_mistake_pass() {
    let server = Fixture::cold().server;
    let (bearer, mcp) = (|| server.bearer_layer(), || server.mcp_layer(McpScopes::new()));
    let finished = |router: Router| router.merge(server.metadata_router());
    for (name, app) in [
        ("bearer", finished(route().route_layer(bearer().required_scopes(["mcp:tools"])))),
        ("mcp", finished(route().route_layer(mcp()))),
        ("post only", finished(Router::new().route("/mcp", post(|| async { "ok" })).route_layer(mcp()))),
        // GET gets 405 before the layer.
        (
            "post only, under the layer",
            finished(Router::new().route("/mcp", post(|| async { "ok" }).route_layer(mcp()))),
        ),
        ("get only", finished(Router::new().route("/mcp", get(whoami)).route_layer(bearer()))),
        ("anonymous", finished(route().route_layer(bearer().allow_anonymous()))),
        (
            "anonymous, with a caller",
            finished(Router::new().route("/mcp", get(whoami)).route_layer(bearer().allow_anonymous())),
        ),
        (
            "anonymous, not found",
            finished(
                Router::new()
                    .route("/mcp", get(|| async { StatusCode::NOT_FOUND }))
                    .route_layer(bearer().allow_anonymous()),
            ),
        ),
        (
            "anonymous mcp",
            finished(route().route_layer(server.mcp_layer(McpScopes::new().public(["ping"])).allow_anonymous())),
        ),
        (
            "anonymous post",
            finished(Router::new().route("/mcp", post(|| async { "ok" })).route_layer(bearer().allow_anonymous())),
        ),
        (
            "layers outside",
            finished(route().route_layer(mcp()).layer(server.cors_layer()))
                .layer(server.allowed_origins(["https://app.example.com"])),
        ),
        (
            "nested",
            Router::new()
                .nest("/mcp", Router::new().route("/", any(|| async { "ok" })).route_layer(bearer()))
                .merge(server.metadata_router()),
        ),
    ] {
        server.self_check(&app).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn each_mistake_has_its_own_error() {
    use SelfCheckErrorKind::{
        LayerCoversUnknownPaths, LayerMissing, LayerOfAnotherServer, MetadataCovered, MetadataDiffers, MetadataMissing,
        ResourceMissing, StatusChanged, UnknownPathAnswered,
    };
    let (this, other) = (Fixture::cold().server, server("https://other.example.com/mcp"));
    let bearer = || this.bearer_layer();
    let metadata = || this.metadata_router();
    let changed = || this.bearer_layer().on_rejection(|_| Response::new(Bytes::new()));
    let basic = || from_fn(async |_: Request<Body>, _: Next| StatusCode::UNAUTHORIZED);
    let nested = route().route_layer(bearer()).merge(metadata());
    for (name, app, kind, repair) in [
        (
            "metadata router forgotten",
            route().route_layer(bearer()),
            MetadataMissing,
            "merge `server.metadata_router()`",
        ),
        ("metadata router nested", Router::new().nest("/api", nested), MetadataMissing, "not into one that is nested"),
        ("layer over the metadata", route().merge(metadata()).layer(bearer()), MetadataCovered, "after the layer"),
        (
            "route_layer over the metadata",
            route().merge(metadata()).route_layer(bearer()),
            MetadataCovered,
            "after the layer",
        ),
        (
            "another layer over the metadata",
            route().route_layer(bearer()).merge(metadata()).layer(basic()),
            MetadataCovered,
            "after the layer",
        ),
        (
            "another layer over everything",
            route().merge(metadata()).layer(other.bearer_layer()),
            MetadataCovered,
            "after the layer",
        ),
        (
            "metadata of another server",
            route().route_layer(bearer()).merge(other.metadata_router()),
            MetadataDiffers,
            "\"https://other.example.com/mcp\"",
        ),
        (
            "a page for every path",
            route().route_layer(bearer()).fallback(|| async { "<html>" }),
            MetadataDiffers,
            "another document",
        ),
        ("no layer", route().merge(metadata()), LayerMissing, "route_layer(server.bearer_layer())"),
        (
            "no layer, with a caller",
            Router::new().route("/mcp", get(whoami)).merge(metadata()),
            LayerMissing,
            "gets 500",
        ),
        (
            "route after the layer",
            Router::new().route("/x", get(whoami)).route_layer(bearer()).merge(route()).merge(metadata()),
            LayerMissing,
            "gets 200",
        ),
        (
            "no layer, post only",
            Router::new().route("/mcp", post(|| async {})).merge(metadata()),
            LayerMissing,
            "POST \"/mcp\"",
        ),
        (
            "another check of tokens",
            route().route_layer(basic()).merge(metadata()),
            LayerMissing,
            "gets 401, and not 401 with a challenge",
        ),
        (
            "no route",
            Router::new().route("/x", get(whoami)).route_layer(bearer()).merge(metadata()),
            ResourceMissing,
            "`self_check_at`",
        ),
        (
            "delete only",
            Router::new().route("/mcp", delete(|| async {}).route_layer(bearer())).merge(metadata()),
            ResourceMissing,
            "gets 405",
        ),
        (
            "layer of another server",
            route().route_layer(other.bearer_layer()).merge(metadata()),
            LayerOfAnotherServer,
            "https://other.example.com/.well-known/oauth-protected-resource/mcp",
        ),
        ("status changed", route().route_layer(changed()).merge(metadata()), StatusChanged, "the status 200"),
        (
            "layer over everything",
            metadata().merge(route().layer(bearer())),
            LayerCoversUnknownPaths,
            "`route_layer` and not with `layer`",
        ),
        (
            "fallback",
            route().route_layer(bearer()).merge(metadata()).fallback(|| async { "<html>" }),
            UnknownPathAnswered,
            "answer 404",
        ),
    ] {
        let error = this.self_check(&app).await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains(repair), "{name}: {text}");
        assert_eq!(format!("{error:?}"), text, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_path_can_be_checked() {
    let server = server("https://api.example.com");
    let app = Router::new()
        .route("/notes", get(|| async { "notes" }))
        .route("/open", get(|| async { "open" }))
        .merge(server.metadata_router());
    let kind = async |app: &Router, path: &str| server.self_check_at(app, path).await.map_err(|error| error.kind());
    let protected = Router::new().route("/notes", get(|| async { "notes" })).route_layer(server.bearer_layer());
    let protected = protected.merge(server.metadata_router());
    assert_eq!(server.self_check(&protected).await.unwrap_err().kind(), SelfCheckErrorKind::ResourceMissing);
    assert_eq!(kind(&protected, "/notes").await, Ok(()));
    assert_eq!(kind(&protected, "/notes?page=1").await, Ok(()));
    assert_eq!(kind(&protected, "/other").await, Err(SelfCheckErrorKind::ResourceMissing));
    assert_eq!(kind(&app, "/open").await, Err(SelfCheckErrorKind::LayerMissing));
    assert_eq!(kind(&app, "no path\r\n").await, Err(SelfCheckErrorKind::Failed));
}

#[tokio::test(start_paused = true)]
async fn an_application_without_axum_can_be_checked() {
    let server = Fixture::cold().server;
    let metadata = server.metadata_service();
    let open = service_fn(move |request: Request<SelfCheckBody>| {
        let metadata = metadata.clone();
        async move {
            let response = match request.uri().path() {
                "/mcp" => Response::new("open".to_owned()),
                _ => tower::ServiceExt::oneshot(metadata, request).await?,
            };
            Ok::<_, Infallible>(response.map(|body| Full::new(Bytes::from(body))))
        }
    });
    assert_eq!(server.self_check(&open).await.unwrap_err().kind(), SelfCheckErrorKind::LayerMissing);
    let covered = ServiceBuilder::new().layer(server.bearer_layer()).service(open);
    assert_eq!(server.self_check(&covered).await.unwrap_err().kind(), SelfCheckErrorKind::MetadataCovered);
    let broken =
        service_fn(|_: Request<SelfCheckBody>| async { Err::<Response<Full<Bytes>>, _>("the pool is closed") });
    let error = server.self_check(&broken).await.unwrap_err();
    assert_eq!(error.kind(), SelfCheckErrorKind::Failed);
    assert!(format!("{error:?}").ends_with("the pool is closed"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_sends_the_host_of_the_resource_and_nothing_to_the_issuer() {
    let fixture = Fixture::cold();
    let host = |request: &Request<Body>| request.headers()[header::HOST].as_bytes() == b"mcp.example.com";
    let app =
        route().route_layer(fixture.server.bearer_layer().allow_anonymous()).merge(fixture.server.metadata_router());
    let app = app.layer(from_fn(move |request: Request<Body>, next: Next| async move {
        assert!(host(&request));
        next.run(request).await
    }));
    fixture.server.self_check(&app).await.unwrap();
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet) + fixture.issuer.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_check_does_not_count_as_a_client_that_reaches_the_metadata() {
    let capture = Capture::of_this_thread();
    let server = Fixture::cold().server;
    let app = route().route_layer(server.bearer_layer()).merge(server.metadata_router());
    capture.take();
    for _ in 0..20 {
        server.self_check(&app).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let lines = capture.take();
    assert!(lines.iter().any(|(_, line)| line.contains("no client has requested the metadata document")), "{lines:?}");
}
