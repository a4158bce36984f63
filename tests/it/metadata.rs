//! The protected resource metadata over HTTP.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Method, Request, StatusCode, header};
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, ISSUER, RESOURCE};

const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

fn guarded(server: &ResourceServer) -> Router {
    Router::new()
        .route("/mcp", get(|| async { "ok" }))
        .route_layer(server.bearer_layer())
        .merge(server.metadata_router())
}

async fn send(app: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn the_document_is_served_without_a_token_and_while_the_issuer_is_down() {
    let fixture = Fixture::cold();
    fixture.issuer.stop();
    let app = guarded(&fixture.server);
    let answer = send(&app, Method::GET, PATH, &[("host", "evil.example.com"), ("x-forwarded-host", "evil")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("max-age=3600"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.json(),
        json!({
            "resource": RESOURCE,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["mcp:tools"],
            "bearer_methods_supported": ["header"],
        })
    );
    assert_eq!(fixture.issuer.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn methods_are_answered_as_http_has_them() {
    let app = guarded(&Fixture::cold().server);
    let got = send(&app, Method::GET, PATH, &[]).await;
    let head = send(&app, Method::HEAD, PATH, &[]).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.header("content-length"), Some(got.body.len().to_string().as_str()));
    let etag = got.header("etag").unwrap();
    for tag in [etag, &format!("W/{etag}"), &format!("\"other\", {etag}"), "*"] {
        let answer = send(&app, Method::GET, PATH, &[("if-none-match", tag)]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{tag}");
        assert_eq!(answer.header("etag"), Some(etag));
    }
    assert_eq!(send(&app, Method::GET, PATH, &[("if-none-match", "\"other\"")]).await.status, StatusCode::OK);
    let preflight = [
        ("origin", "https://inspector.example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ];
    let answer = send(&app, Method::OPTIONS, PATH, &preflight).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("mcp-protocol-version"));
    assert_eq!(answer.header("vary"), Some("Access-Control-Request-Headers"));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = send(&app, method, PATH, &[]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_suffixes_are_404_and_never_reflected() {
    let app = guarded(&Fixture::cold().server);
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/oauth-protected-resource/mcp/x",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = send(&app, Method::GET, path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.body.contains("other"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_form_of_a_resource_is_served_where_its_clients_look() {
    for (resource, paths) in [
        ("https://h", &["/.well-known/oauth-protected-resource"][..]),
        ("https://h/", &["/.well-known/oauth-protected-resource"]),
        ("https://h/a/b", &["/.well-known/oauth-protected-resource/a/b"]),
        (
            "https://h/mcp/",
            &["/.well-known/oauth-protected-resource/mcp/", "/.well-known/oauth-protected-resource/mcp"],
        ),
        ("https://h//", &["/.well-known/oauth-protected-resource//", "/.well-known/oauth-protected-resource/"]),
        ("https://h/mcp?x=1", &["/.well-known/oauth-protected-resource/mcp?x=1"]),
        ("https://h/:id/*/%7Bx%7D", &["/.well-known/oauth-protected-resource/:id/*/%7Bx%7D"]),
    ] {
        let issuer = TestIssuer::new(ISSUER);
        let server = ResourceServer::builder(resource).issuer(issuer.issuer()).build().await.unwrap();
        for path in paths {
            let answer = send(&guarded(&server), Method::GET, path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert_eq!(answer.json()["resource"], resource);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_can_be_served_elsewhere_too() {
    let server = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::discover(ISSUER).http_client(TestIssuer::new(ISSUER).http_client()))
        .root_alias(true)
        .metadata_path("/internal/metadata")
        .build()
        .await
        .unwrap();
    for known in [PATH, "/.well-known/oauth-protected-resource"] {
        let issuer = Issuer::discover(ISSUER).http_client(TestIssuer::new(ISSUER).http_client());
        let twice = ResourceServer::builder(RESOURCE).issuer(issuer).root_alias(true).metadata_path(known);
        let app = guarded(&twice.build().await.unwrap());
        assert_eq!(send(&app, Method::GET, known, &[]).await.status, StatusCode::OK);
    }
    let nested = Router::new().nest("/prefix", guarded(&server));
    for path in [PATH, "/.well-known/oauth-protected-resource", "/internal/metadata"] {
        let answer = send(&nested, Method::GET, &format!("/prefix{path}"), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.json()["resource"], RESOURCE);
    }
}

#[tokio::test(start_paused = true)]
async fn several_issuers_are_named_in_order_and_offline_access_is_not() {
    let (one, two) = (TestIssuer::new("https://one.example.com/"), TestIssuer::new("https://two.example.com"));
    let server = ResourceServer::builder(RESOURCE)
        .issuer(one.issuer())
        .issuer(two.issuer())
        .scopes_supported(["a", "offline_access"])
        .metadata(|metadata| metadata.resource_name("Notes").resource_name_in("fr", "Les notes"))
        .build()
        .await
        .unwrap();
    let document: serde_json::Value = serde_json::from_slice(server.metadata_service().document()).unwrap();
    assert_eq!(document["authorization_servers"], json!(["https://one.example.com/", "https://two.example.com"]));
    assert_eq!(document["scopes_supported"], json!(["a"]));
    assert_eq!(document["resource_name#fr"], "Les notes");
}

#[tokio::test(start_paused = true)]
async fn the_service_works_without_a_router() {
    let service = Fixture::cold().server.metadata_service();
    assert_eq!(service.paths().collect::<Vec<_>>(), [PATH]);
    let request = |path: &str| Request::get(path).header(header::ACCEPT, "*/*").body(()).unwrap();
    assert_eq!(service.clone().oneshot(request(PATH)).await.unwrap().status(), StatusCode::OK);
    assert_eq!(service.clone().oneshot(request("/other")).await.unwrap().status(), StatusCode::NOT_FOUND);
}
