//! The check of the `Origin` header (MCP transport, "Security Warning").

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{Method, Request, header};
use mcp_bearer::BuildErrorKind;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::verify::CheckFailure;
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture};

fn request(method: Method, origins: &[&[u8]]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri("/mcp").body(Body::empty()).unwrap();
    for origin in origins {
        request.headers_mut().append(header::ORIGIN, http::HeaderValue::from_bytes(origin).unwrap());
    }
    request
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

fn open(fixture: &Fixture, allowed: &[&str]) -> Router {
    Router::new().route("/mcp", any(|| async { "ok" })).layer(fixture.server.allowed_origins(allowed))
}

#[tokio::test]
async fn an_origin_is_accepted_only_if_it_is_in_the_list() {
    let fixture = Fixture::cold();
    let allowed = [
        "https://app.example.com",
        "https://app.example.com:8443",
        "HTTP://Intranet.Example:80",
        "http://localhost:*",
        "http://[::1]:*",
        "http://127.0.0.1:6274",
        "https://xn--bcher-kva.example",
        "chrome-extension://abcdefghijklmnop",
    ];
    let app = open(&fixture, &allowed);
    for (origins, expected) in [
        (&[][..], 200),
        (&[&b"https://app.example.com"[..]], 200),
        (&[b"HTTPS://APP.Example.com"], 200),
        (&[b"https://app.example.com:443"], 200),
        (&[b" https://app.example.com\t"], 200),
        (&[b"https://app.example.com:8443"], 200),
        (&[b"http://intranet.example"], 200),
        (&[b"http://localhost"], 200),
        (&[b"http://localhost:1"], 200),
        (&[b"http://localhost:65535"], 200),
        (&[b"http://[::1]:9000"], 200),
        (&[b"http://127.0.0.1:6274"], 200),
        (&[b"https://xn--bcher-kva.example"], 200),
        (&[b"chrome-extension://abcdefghijklmnop"], 200),
        (&[b"null"], 403),
        (&[b"NULL"], 403),
        (&[b""], 403),
        (&[b" "], 403),
        (&[b"*"], 403),
        (&[b"https://evil.example"], 403),
        (&[b"http://app.example.com"], 403),
        (&[b"https://app.example.com:80"], 403),
        (&[b"https://app.example.com:8444"], 403),
        (&[b"https://app.example.com:84430"], 403),
        (&[b"https://app.example.com."], 403),
        (&[b"https://app.example.com.evil.example"], 403),
        (&[b"https://evil.example/https://app.example.com"], 403),
        (&[b"https://user@app.example.com"], 403),
        (&[b"https://app.example.com/"], 403),
        (&[b"https://app.example.com/path"], 403),
        (&[b"app.example.com"], 403),
        (&[b"https:app.example.com"], 403),
        (&[b"http://intranet.example:443"], 403),
        (&[b"https://localhost:1"], 403),
        (&[b"http://localhost:"], 403),
        (&[b"http://localhost:*"], 403),
        (&[b"http://localhost:1@evil.example"], 403),
        (&[b"http://localhost.evil.example"], 403),
        (&[b"http://localhost:123456"], 403),
        (&[b"http://127.0.0.1"], 403),
        (&[b"chrome-extension://abcdefghijklmnoq"], 403),
        (&[b"https://app.example.com https://evil.example"], 403),
        (&[b"https://app.example.com, https://evil.example"], 403),
        (&[b"https://app.example.com\xff"], 403),
        (&[b"https://app.example.com", b"https://app.example.com"], 403),
        (&[b"https://app.example.com", b"https://evil.example"], 403),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let answer = send(&app, request(method, origins)).await;
            assert_eq!(
                answer.status,
                expected,
                "{:?}",
                origins.iter().map(|o| o.escape_ascii().to_string()).collect::<Vec<_>>()
            );
            if expected == 403 {
                assert_eq!(answer.json()["error"]["message"], "The origin of the request is not allowed");
                assert_eq!(answer.json().get("id"), None);
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                assert_eq!(answer.header("www-authenticate"), None);
                assert_eq!(answer.rejection.unwrap().kind(), RejectionKind::Origin);
                assert!(!answer.body.contains("example"));
            }
        }
    }
    let no_origin = open(&fixture, &[]);
    assert_eq!(send(&no_origin, request(Method::POST, &[])).await.status, 200);
    assert_eq!(send(&no_origin, request(Method::POST, &[b"https://app.example.com"])).await.status, 403);
}

#[test]
fn an_invalid_origin_is_an_error_with_a_suggestion() {
    let fixture = Fixture::cold();
    for (origin, suggestion) in [
        ("*", "name the origins"),
        ("null", "remove it"),
        ("", "write it as https://host"),
        ("app.example.com", "write it as https://host"),
        ("https://", "write it as https://host"),
        ("https:app.example.com", "write it as https://host"),
        ("https://app.example.com/", "remove it, because an origin does not have a path"),
        ("https://app.example.com/app", "write it as https://host"),
        ("https://app.example.com?x", "write it as https://host"),
        ("https://user@app.example.com", "write it as https://host"),
        ("https://*.example.com", "write it as https://host"),
        ("https://app.example.com:x", "write it as https://host"),
        ("https://b\u{fc}cher.example", "write it as https://host"),
        ("https://app.example.com:*", "name the port"),
        ("file://", "write it as https://host"),
    ] {
        let error = fixture.server.try_allowed_origins(["https://app.example.com", origin]).unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Setting);
        let text = error.to_string();
        assert!(text.contains(&format!("{origin:?}")) && text.contains(suggestion), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn outside_the_cors_layer_the_check_covers_preflights_and_not_the_metadata() {
    let fixture = Fixture::new().await;
    let app = Router::new()
        .route("/mcp", any(|| async { "ok" }))
        .route_layer(fixture.server.bearer_layer())
        .layer(fixture.server.cors_layer())
        .layer(fixture.server.allowed_origins(["https://app.example.com"]))
        .merge(fixture.server.metadata_router());
    let preflight = |origin: &str| {
        let request = Request::options("/mcp").header(header::ORIGIN, origin);
        request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH").body(Body::empty()).unwrap()
    };
    let allowed = send(&app, preflight("https://app.example.com")).await;
    assert_eq!((allowed.status.as_u16(), allowed.header("access-control-allow-origin")), (200, Some("*")));
    let rejected = send(&app, preflight("https://evil.example")).await;
    assert_eq!((rejected.status.as_u16(), rejected.header("access-control-allow-origin")), (403, None));

    let token = format!("Bearer {}", fixture.token());
    let call = |origin: &str, authorization: &str| {
        let request = Request::post("/mcp").header(header::ORIGIN, origin);
        request.header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap()
    };
    assert_eq!(send(&app, call("https://app.example.com", &token)).await.status, 200);
    assert_eq!(send(&app, call("https://evil.example", &token)).await.status, 403);
    // A page with an allowed origin can read the challenge.
    let challenged = send(&app, call("https://app.example.com", "Bearer garbage")).await;
    assert_eq!((challenged.verdict().as_str(), challenged.header("access-control-allow-origin")), ("R401", Some("*")));
    let kind = challenged.rejection.unwrap().kind();
    assert_eq!(kind, RejectionKind::InvalidToken(CheckFailure::NotJwt));

    let metadata =
        Request::get("/.well-known/oauth-protected-resource/mcp").header(header::ORIGIN, "https://evil.example");
    let metadata = send(&app, metadata.body(Body::empty()).unwrap()).await;
    assert_eq!((metadata.status.as_u16(), metadata.header("access-control-allow-origin")), (200, Some("*")));
}
