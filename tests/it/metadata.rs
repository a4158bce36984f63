//! The protected resource metadata over HTTP.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Method, Request, StatusCode, header};
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, ISSUER, RESOURCE};

const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

fn protected(server: &ResourceServer) -> Router {
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
async fn the_document_is_served_without_a_token_and_during_an_outage() {
    let fixture = Fixture::cold();
    fixture.issuer.stop();
    let app = protected(&fixture.server);
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
async fn the_service_responds_alike_with_and_without_tower() {
    let service = Fixture::cold().server.metadata_service();
    let (get, other_path) = (Request::get(PATH), "/.well-known/oauth-protected-resource");
    let etag = service.respond(&get.body(()).unwrap().into_parts().0).headers()[header::ETAG].clone();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::DELETE] {
        for path in [PATH, other_path, "/"] {
            for tag in [etag.as_bytes(), b"\"other\""] {
                let request = || Request::builder().method(&method).uri(path).header(header::IF_NONE_MATCH, tag);
                let (expected, body) = service.clone().oneshot(request().body(()).unwrap()).await.unwrap().into_parts();
                let answer = service.respond(&request().body(()).unwrap().into_parts().0);
                assert_eq!(answer.status(), expected.status, "{method} {path}");
                assert_eq!((answer.headers(), &answer.body()[..]), (&expected.headers, body.as_bytes()));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn http_methods_and_conditional_requests_are_supported() {
    let app = protected(&Fixture::cold().server);
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
async fn unknown_paths_are_404_and_not_repeated_in_the_response() {
    let app = protected(&Fixture::cold().server);
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
async fn every_form_of_a_resource_is_served_at_its_metadata_url() {
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
            let answer = send(&protected(&server), Method::GET, path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert_eq!(answer.json()["resource"], resource);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_can_be_served_at_more_paths() {
    let server = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::discover(ISSUER).http_client(TestIssuer::new(ISSUER).http_client()))
        .serve_metadata_at_root()
        .metadata_path("/internal/metadata")
        .build()
        .await
        .unwrap();
    for known in [PATH, "/.well-known/oauth-protected-resource"] {
        let issuer = Issuer::discover(ISSUER).http_client(TestIssuer::new(ISSUER).http_client());
        let twice = ResourceServer::builder(RESOURCE).issuer(issuer).serve_metadata_at_root().metadata_path(known);
        let app = protected(&twice.build().await.unwrap());
        assert_eq!(send(&app, Method::GET, known, &[]).await.status, StatusCode::OK);
    }
    let nested = Router::new().nest("/prefix", protected(&server));
    for path in [PATH, "/.well-known/oauth-protected-resource", "/internal/metadata"] {
        let answer = send(&nested, Method::GET, &format!("/prefix{path}"), &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.json()["resource"], RESOURCE);
    }
}

#[tokio::test(start_paused = true)]
async fn issuers_are_listed_in_order_and_offline_access_is_omitted() {
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

#[tokio::test(start_paused = true)]
async fn a_metadata_url_and_paths_can_be_configured_behind_a_gateway() {
    // The gateway removes the prefix /prod/ from the path. Other paths of the host are not reachable.
    let (resource, url) = ("https://host/prod/mcp", "https://host/prod/.well-known/oauth-protected-resource/mcp");
    let fixture = Fixture::cold();
    let server = ResourceServer::builder(resource)
        .issuer(fixture.issuer.issuer())
        .clock(fixture.clock.clone())
        .metadata_url(url)
        .metadata_path("/.well-known/oauth-protected-resource/mcp")
        .metadata_path("/internal/metadata")
        .metadata_path("/internal/metadata")
        .build()
        .await
        .unwrap();
    assert_eq!(server.metadata_url(), url);
    let layer = server.bearer_layer().required_scopes(["mcp:tools"]);
    let app = Router::new().route("/mcp", get(|| async { "ok" })).route_layer(layer).merge(server.metadata_router());
    let scopeless = format!("Bearer {}", fixture.issuer.token().audience(resource).sign());
    for (authorization, verdict) in
        [("Basic x", "R401N"), ("Bearer", "R400"), ("Bearer garbage", "R401"), (scopeless.as_str(), "R403")]
    {
        let answer = send(&app, Method::GET, "/mcp", &[("authorization", authorization)]).await;
        assert_eq!(answer.verdict(), verdict);
        assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(url), "{verdict}");
    }
    let paths = [
        "/.well-known/oauth-protected-resource/prod/mcp",
        "/prod/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/mcp",
        "/internal/metadata",
    ];
    assert_eq!(server.metadata_service().paths().collect::<Vec<_>>(), paths);
    for path in paths {
        assert_eq!(send(&app, Method::GET, path, &[]).await.json()["resource"], resource, "{path}");
    }
}

#[test]
fn an_invalid_metadata_url_or_path_fails_at_build() {
    let builder = || ResourceServer::builder("https://h.example:8443/mcp").issuer(TestIssuer::new(ISSUER).issuer());
    for url in ["https://h.example:8443/m", "HTTPS://H.EXAMPLE:8443/a/b?c=d", "https://h.example:8443"] {
        assert_eq!(builder().metadata_url(url).build_lazy().unwrap().metadata_url(), url);
    }
    for (url, repair) in [
        ("https://other.example/m", "\"https://h.example:8443\""),
        ("https://h.example/m", "\"https://h.example:8443\""),
        ("https://sub.h.example:8443/m", "\"https://h.example:8443\""),
        ("http://h.example:8443/m", "use https"),
        ("/m", "write it as https://host/path"),
        ("", "give an absolute https URL"),
        ("https://h.example:8443/m#f", "remove the '#'"),
        ("https://u@h.example:8443/m", "remove them"),
        ("https://h.example:8443/m\"", "percent-encode it"),
    ] {
        let error = builder().metadata_url(url).build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Setting, "{url}");
        let text = error.to_string();
        assert!(text.contains(&format!("{url:?}")) && text.contains(repair), "{text}");
    }
    for path in ["well-known", "", "/a b", "/{x}", "/a?b", "/a#b", "/\u{e9}"] {
        let error = builder().metadata_path("/good").metadata_path(path).build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Setting, "{path}");
        assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_metadata_response_has_nosniff() {
    let server = Fixture::cold().server;
    let app = protected(&server);
    let etag = send(&app, Method::GET, PATH, &[]).await.header("etag").unwrap().to_owned();
    for (method, headers, status) in [
        (Method::GET, &[][..], 200),
        (Method::HEAD, &[], 200),
        (Method::GET, &[("if-none-match", etag.as_str())], 304),
        (Method::OPTIONS, &[], 204),
        (Method::POST, &[], 405),
    ] {
        let answer = send(&app, method, PATH, headers).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-content-type-options")), (status, Some("nosniff")));
    }
    let service = server.metadata_service();
    let unknown = service.oneshot(Request::get("/other").body(()).unwrap()).await.unwrap();
    assert_eq!(
        (unknown.status().as_u16(), unknown.headers()["x-content-type-options"].as_bytes()),
        (404, &b"nosniff"[..])
    );
}

#[test]
fn sender_constrained_tokens_cannot_be_advertised() {
    let builder = || ResourceServer::builder(RESOURCE).issuer(TestIssuer::new(ISSUER).issuer());
    // {"iss":"x","dpop_bound_access_tokens_required":true}
    let signed = "e30.eyJpc3MiOiJ4IiwiZHBvcF9ib3VuZF9hY2Nlc3NfdG9rZW5zX3JlcXVpcmVkIjp0cnVlfQ.AA";
    for (name, value) in [
        ("dpop_signing_alg_values_supported", json!(["ES256"])),
        ("dpop_bound_access_tokens_required", json!(true)),
        ("dpop_bound_access_tokens_required", json!(false)),
        ("dpop_bound_access_tokens_required#en", json!(true)),
        ("tls_client_certificate_bound_access_tokens", json!(true)),
        ("tls_client_certificate_bound_access_tokens", json!(false)),
        ("signed_metadata", json!(signed)),
    ] {
        let error = builder().metadata(|metadata| metadata.member(name, value.clone())).build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Metadata, "{name} {value}");
        let text = error.to_string();
        assert!(text.contains(&format!("{name:?}")) && text.contains("sender-constrained"), "{text}");
    }
}
