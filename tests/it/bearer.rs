//! Credentials, rejections and challenges of the bearer layer.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use mcp_bearer::bearer::RejectionKind;

use crate::support::{App, Fixture, METADATA_URL};

#[tokio::test(start_paused = true)]
async fn a_request_with_a_valid_token_reaches_the_handler() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let answer = app.with_token(&fixture.token()).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "alice"));
    assert!(answer.challenge().is_none());
    assert_eq!(app.reached(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_gets_a_challenge_without_an_error() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    for method in [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS] {
        let request = Request::builder().method(method.clone()).uri("/mcp").body(Body::empty()).unwrap();
        let answer = app.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method}");
        let expected = [("resource_metadata", METADATA_URL), ("scope", "mcp:tools")];
        assert_eq!(answer.challenge().unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.body, "");
        assert_eq!(answer.rejection.unwrap().kind(), RejectionKind::MissingToken);
    }
    assert_eq!(app.reached(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_unauthenticated_request_is_never_read() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let body = Body::new(UnreadableBody);
    let answer = app.send(Request::post("/mcp").body(body).unwrap()).await;
    assert_eq!(answer.verdict(), "R401N");
}

struct UnreadableBody;

impl http_body::Body for UnreadableBody {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        panic!("the body must not be read")
    }
}

#[tokio::test(start_paused = true)]
async fn every_rejection_has_its_status_code_and_challenge() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let token = fixture.token();
    let scopeless = fixture.issuer.token().audience(crate::support::RESOURCE).sign();
    for (authorization, verdict) in [
        ("Basic dXNlcjpwYXNz".to_owned(), "R401N"),
        ("Bearer".to_owned(), "R400"),
        (format!("Bearer {token} {token}"), "R400"),
        ("Bearer garbage".to_owned(), "R401"),
        (format!("Bearer {token}x"), "R401"),
        (format!("Bearer {scopeless}"), "R403"),
    ] {
        let answer = app.get(&authorization).await;
        assert_eq!(answer.verdict(), verdict, "{authorization:.40}");
        assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(METADATA_URL));
        assert_eq!(answer.parameter("scope").as_deref(), Some("mcp:tools"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        if verdict != "R401N" {
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.json()["error_description"].as_str(), answer.parameter("error_description").as_deref());
        }
        assert!(answer.rejection.is_some());
    }
    assert_eq!(app.reached(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_challenge_depends_only_on_the_configuration() {
    let fixture = Fixture::new().await;
    let request = Request::get("https://evil.example.com/mcp?access_token=x")
        .header(header::HOST, "evil.example.com")
        .header("x-forwarded-host", "evil.example.com")
        .header("forwarded", "host=evil.example.com;proto=http")
        .body(Body::empty())
        .unwrap();
    let answer = fixture.app().send(request).await;
    assert_eq!(answer.verdict(), "R401N");
    assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(METADATA_URL));
}

#[tokio::test(start_paused = true)]
async fn no_part_of_a_token_is_in_the_response() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let token = fixture.issuer.token().audience("https://evil\",error=\"x").subject("s\r\nSet-Cookie").sign();
    let answer = app.with_token(&token).await;
    assert_eq!(answer.verdict(), "R401");
    let seen = format!("{:?}{}", answer.headers, answer.body);
    assert!(!seen.contains("evil") && !seen.contains("Cookie"));
    assert!(token.split('.').all(|part| !seen.contains(part)));
}

#[tokio::test(start_paused = true)]
async fn a_preflight_passes_and_other_options_requests_do_not() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let preflight = Request::options("/mcp")
        .header(header::ORIGIN, "https://inspector.example.com")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let answer = app.send(preflight.body(Body::empty()).unwrap()).await;
    // The request reached the handler. Its extractor rejects a preflight, since no layer allowed it as anonymous.
    assert_eq!((answer.verdict().as_str(), answer.rejection.is_some()), ("R401N", true));
    assert_eq!(app.reached(), 0);
    let open = axum::Router::new().route("/mcp", axum::routing::any(|| async { "preflight" }));
    let open = open.route_layer(fixture.server.bearer_layer());
    let preflight = Request::options("/mcp")
        .header(header::ORIGIN, "https://inspector.example.com")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let response = tower::ServiceExt::oneshot(open, preflight.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let plain = Request::options("/mcp").header(header::ORIGIN, "https://inspector.example.com");
    assert_eq!(app.send(plain.body(Body::empty()).unwrap()).await.verdict(), "R401N");
}

#[tokio::test(start_paused = true)]
async fn anonymous_requests_are_allowed_if_configured_and_invalid_tokens_never() {
    let fixture = Fixture::new().await;
    let app = App::new(fixture.server.bearer_layer().required_scopes(["mcp:tools"]).allow_anonymous());
    let anonymous = app.send(Request::get("/mcp").body(Body::empty()).unwrap()).await;
    assert_eq!((anonymous.status, anonymous.body.as_str()), (StatusCode::OK, "anonymous"));
    assert_eq!(app.with_token(&fixture.token()).await.body, "alice");
    let expired = fixture.issuer.token().audience(crate::support::RESOURCE).scope("mcp:tools").expired().sign();
    assert_eq!(app.with_token(&expired).await.verdict(), "R401");
    assert_eq!(app.get("Bearer").await.verdict(), "R400");
    let scopeless = fixture.issuer.token().audience(crate::support::RESOURCE).sign();
    assert_eq!(app.with_token(&scopeless).await.verdict(), "R403");
    assert_eq!(app.reached(), 2);
}

#[tokio::test(start_paused = true)]
async fn any_scope_needs_one_of_several_and_the_challenge_contains_the_first() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().any_scope(["notes:write", "notes:read"]);
    let app = App::new(layer);
    let with = |scope: &str| fixture.issuer.token().audience(crate::support::RESOURCE).scope(scope).sign();
    assert_eq!(app.with_token(&with("notes:read")).await.status, StatusCode::OK);
    assert_eq!(app.with_token(&with("x notes:write")).await.status, StatusCode::OK);
    let answer = app.with_token(&with("notes")).await;
    assert_eq!(answer.verdict(), "R403");
    assert_eq!(answer.parameter("scope").as_deref(), Some("notes:write"));
}

#[tokio::test(start_paused = true)]
async fn a_challenge_never_contains_offline_access() {
    let fixture = Fixture::new().await;
    let app = App::new(fixture.server.bearer_layer().required_scopes(["offline_access", "mcp:tools"]));
    assert_eq!(app.get("Basic x").await.parameter("scope").as_deref(), Some("mcp:tools"));
    assert_eq!(app.with_token(&fixture.token()).await.parameter("scope").as_deref(), Some("mcp:tools"));
}

#[tokio::test(start_paused = true)]
async fn on_rejection_can_add_headers_but_not_remove_the_challenge() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]).on_rejection(|rejection| {
        http::Response::builder()
            .status(rejection.status())
            .header("x-request-id", "7")
            .header(header::CACHE_CONTROL, "public, max-age=1000")
            .header(header::WWW_AUTHENTICATE, "DPoP algs=\"ES256\"")
            .body(bytes::Bytes::from(format!("<p>{rejection}</p>")))
            .unwrap()
    });
    let answer = App::new(layer).get("Basic x").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.body, "<p>An access token is needed</p>");
    assert_eq!(answer.header("x-request-id"), Some("7"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let challenges: Vec<_> = answer.headers.get_all(header::WWW_AUTHENTICATE).iter().collect();
    assert!(challenges[0].to_str().unwrap().starts_with("Bearer resource_metadata="));
    assert_eq!(challenges[1], "DPoP algs=\"ES256\"");
}

#[tokio::test(start_paused = true)]
async fn on_rejection_cannot_remove_retry_after() {
    let fixture = Fixture::cold();
    fixture.issuer.stop();
    let plain = |rejection: &mcp_bearer::bearer::Rejection| {
        http::Response::builder().status(rejection.status()).body(bytes::Bytes::new()).unwrap()
    };
    let answer = App::new(fixture.server.bearer_layer().on_rejection(plain)).with_token(&fixture.token()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
}

#[tokio::test(start_paused = true)]
async fn a_request_with_other_credentials_is_never_anonymous() {
    let fixture = Fixture::new().await;
    let strict = App::new(fixture.server.bearer_layer().required_scopes(["mcp:tools"]));
    let open = App::new(fixture.server.bearer_layer().required_scopes(["mcp:tools"]).allow_anonymous());
    let token = fixture.token();
    for (authorization, verdict) in [
        (format!("DPoP {token}"), "R401N"),
        (format!("dpop {token}"), "R401N"),
        ("Basic dXNlcjpwYXNz".to_owned(), "R401N"),
        ("Digest username=\"x\", realm=\"y\"".to_owned(), "R401N"),
        ("Negotiate YII".to_owned(), "R401N"),
        ("AWS4-HMAC-SHA256 Credential=x".to_owned(), "R401N"),
        (format!("Token {token}"), "R401N"),
        (format!("Bearerx {token}"), "R401N"),
        (token.clone(), "R401N"),
        (format!("\"Bearer {token}\""), "R401N"),
        (format!(":{token}"), "R401N"),
        ("DPoP".to_owned(), "R401N"),
        ("null".to_owned(), "R401N"),
        (String::new(), "R401N"),
        ("  ".to_owned(), "R401N"),
        ("Bearer".to_owned(), "R400"),
        ("Bearer ".to_owned(), "R400"),
        ("Bearer undefined null".to_owned(), "R400"),
        (format!("DPoP x, Bearer {token}"), "R400"),
        ("Bearer garbage".to_owned(), "R401"),
    ] {
        for app in [&strict, &open] {
            let answer = app.get(&authorization).await;
            assert_eq!(answer.verdict(), verdict, "{authorization:.40}");
            assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(METADATA_URL), "{authorization:.40}");
            assert_eq!(app.reached(), 0, "{authorization:.40}");
        }
    }
    let twice = Request::get("/mcp").header(header::AUTHORIZATION, "DPoP x").header(header::AUTHORIZATION, "DPoP x");
    assert_eq!(open.send(twice.body(Body::empty()).unwrap()).await.verdict(), "R400");
    assert_eq!(open.send(Request::get("/mcp").body(Body::empty()).unwrap()).await.body, "anonymous");
}

#[tokio::test(start_paused = true)]
async fn white_space_around_the_header_value_is_ignored() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let token = fixture.token();
    for (authorization, verdict) in [
        (format!(" Bearer {token}"), "OK"),
        (format!("Bearer {token} "), "OK"),
        (format!("\t Bearer {token}\t "), "OK"),
        (format!(" Bearer \t{token}"), "R400"),
        (format!("\tBearer\t{token}"), "R400"),
        (format!("Bearer {token} ,"), "R400"),
        (" \t".to_owned(), "R401N"),
        (" Bearer \t".to_owned(), "R400"),
    ] {
        assert_eq!(app.get(&authorization).await.verdict(), verdict, "{authorization:.20?}");
    }
}
