//! J: protected resource metadata (RFC 9728).

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{HeaderMap, Method, Request};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::resource::ProtectedResourceMetadata;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer, ResourceServerBuilder};
use serde_json::{Value, json};

use super::trial::{self, base64url};
use crate::support::{Answer, ISSUER, RESOURCE};
use crate::transport;

const PREFIX: &str = "/.well-known/oauth-protected-resource";

fn builder(resource: &str) -> ResourceServerBuilder {
    ResourceServer::builder(resource).issuer(Issuer::discover(ISSUER))
}

async fn send(server: &ResourceServer, request: Request<Body>) -> Answer {
    Answer::of(transport::send(server.metadata_router(), request).await).await
}

async fn get(server: &ResourceServer, path: &str) -> Answer {
    send(server, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_path_of_the_document_follows_from_the_resource() {
    for (id, resource, url, found, missing) in [
        ("J01", "https://h", "https://h{}", &["{}"][..], &["{}/", "{}/mcp"][..]),
        ("J01", "https://h/", "https://h{}", &["{}"], &["{}/mcp"]),
        ("J01", "https://h/mcp", "https://h{}/mcp", &["{}/mcp"], &["{}", "{}/mcp/", "{}/MCP", "/mcp{}", "{}/mcp/x"]),
        ("J01", "https://h/mcp/", "https://h{}/mcp/", &["{}/mcp/", "{}/mcp"], &["{}"]),
        ("J01", "https://h/a/b", "https://h{}/a/b", &["{}/a/b"], &["{}/a", "{}"]),
        ("J01", "https://h:8443/x", "https://h:8443{}/x", &["{}/x"], &["{}"]),
        ("J01", "https://h/mcp?x=1", "https://h{}/mcp?x=1", &["{}/mcp?x=1", "{}/mcp"], &["{}?x=1"]),
    ] {
        let server = trial::server(builder(resource)).unwrap();
        assert_eq!(server.metadata_url(), url.replace("{}", PREFIX), "{id} {resource}");
        for path in found {
            let answer = get(&server, &path.replace("{}", PREFIX)).await;
            assert_eq!(answer.status, 200, "{id} {resource} {path}");
            assert_eq!(answer.json()["resource"], *resource, "{id} {path}");
        }
        for path in missing {
            assert_eq!(get(&server, &path.replace("{}", PREFIX)).await.status, 404, "{id} {resource} {path}");
        }
    }
}

#[test]
fn a_resource_is_an_https_url_without_fragment() {
    for (id, resource) in [
        ("J02", "http://mcp.example.com/mcp"),
        ("J02", "https://mcp.example.com/mcp#x"),
        ("J02", "https://mcp.example.com/mcp#"),
        ("J02", "https://user@mcp.example.com/mcp"),
        ("J02", "https://user:secret@mcp.example.com/mcp"),
        ("J02", "/mcp"),
        ("J02", "mcp.example.com/mcp"),
        ("J02", "//mcp.example.com/mcp"),
        ("J02", ""),
        ("J02", "https://mcp.example.com/./mcp"),
        ("J02", "https://mcp.example.com/a/../mcp"),
        ("J02", "https://mcp.example.com/a/%2e%2E/mcp"),
        ("J02", "urn:example:mcp"),
        ("J02", "https:mcp.example.com"),
        ("J02", "https://mcp.example.com\\mcp"),
    ] {
        let error = trial::server(builder(resource)).unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Resource, "{id} {resource:?} {error}");
    }
    assert!(trial::server(builder("http://127.0.0.1:9000/mcp")).is_ok(), "J02");
}

#[tokio::test]
async fn the_document_does_not_depend_on_the_request() {
    let server = trial::server(builder(RESOURCE)).unwrap();
    let path = format!("{PREFIX}/mcp");
    let plain = get(&server, &path).await;
    for (id, uri, name, value) in [
        ("J04", path.clone(), "host", "evil.example.com"),
        ("J04", path.clone(), "x-forwarded-host", "evil.example.com"),
        ("J04", path.clone(), "x-forwarded-proto", "http"),
        ("J04", path.clone(), "x-forwarded-prefix", "/evil"),
        ("J04", path.clone(), "forwarded", "host=evil.example.com"),
        ("J04", path.clone(), "accept", "text/html"),
        ("J04", format!("http://evil.example.com{path}"), "host", "evil.example.com"),
        ("J04", format!("{path}?resource=https://evil.example.com"), "origin", "https://evil.example.com"),
    ] {
        let answer = send(&server, Request::get(&uri).header(name, value).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.body, plain.body, "{id} {uri} {name}");
        // Over a socket, the `Date` header may differ between the two responses.
        let without_date = |headers: &HeaderMap| {
            let mut headers = headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&answer.headers), without_date(&plain.headers), "{id} {uri} {name}");
    }
}

#[tokio::test]
async fn the_document_supports_get_head_and_options_only() {
    let server = trial::server(builder(RESOURCE)).unwrap();
    let path = format!("{PREFIX}/mcp");
    for (id, method, status, has_body) in [
        ("J05", Method::GET, 200, true),
        ("J05", Method::HEAD, 200, false),
        ("J05", Method::OPTIONS, 204, false),
        ("J05", Method::POST, 405, false),
        ("J05", Method::PUT, 405, false),
        ("J05", Method::DELETE, 405, false),
    ] {
        let answer = send(&server, Request::builder().method(&method).uri(&path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{id} {method}");
        assert_eq!(!answer.body.is_empty(), has_body, "{id} {method}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{id} {method}");
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{id} {method}");
        }
    }
}

#[tokio::test]
async fn the_document_needs_no_token() {
    let server = trial::server(builder(RESOURCE)).unwrap();
    // The setup of the documentation: the layer covers the routes added before it, and the metadata router is merged.
    let guarded = Router::new().route("/mcp", any(|| async {})).route_layer(server.bearer_layer());
    let beside = guarded.clone().merge(server.metadata_router());
    let before = server.metadata_router::<()>().merge(guarded);
    for (id, app) in [("J06", beside), ("J06", before)] {
        for (path, status) in [(format!("{PREFIX}/mcp"), 200), ("/mcp".to_owned(), 401), (format!("{PREFIX}/x"), 404)] {
            let request = Request::get(&path).body(Body::empty()).unwrap();
            let answer = transport::send(app.clone(), request).await;
            assert_eq!(answer.status(), status, "{id} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_lists_the_issuers_and_no_empty_members() {
    for (id, issuers) in [
        ("J09", &["https://auth.example.com"][..]),
        ("J09", &["https://auth.example.com/"]),
        ("J09", &["https://AUTH.example.com:443/a", "https://auth.example.com/a"]),
    ] {
        let builder = ResourceServer::builder(RESOURCE);
        let builder = issuers.iter().fold(builder, |builder, url| builder.issuer(Issuer::discover(*url)));
        let server = std::thread::spawn(move || builder.build_lazy()).join().unwrap().unwrap();
        let document = get(&server, &format!("{PREFIX}/mcp")).await.json();
        assert_eq!(document["authorization_servers"], json!(issuers), "{id}");
        // No scopes are advertised, so the document does not contain an empty `scopes_supported`.
        assert_eq!(document.as_object().unwrap().len(), 3, "J08");
        assert_eq!(document["bearer_methods_supported"], json!(["header"]), "J08");
    }
    let error = trial::server(ResourceServer::builder(RESOURCE)).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Issuer, "J09");
}

#[test]
fn empty_members_are_omitted() {
    type Set = fn(ProtectedResourceMetadata) -> ProtectedResourceMetadata;
    let empty: [(&str, Set); 4] = [
        ("J08", |metadata| metadata.authorization_details_types_supported(Vec::<String>::new())),
        ("J08", |metadata| metadata.resource_signing_alg_values_supported([])),
        ("J08", |metadata| metadata.resource_name("")),
        ("J08", |metadata| metadata.member("x_extension", json!([]))),
    ];
    let plain = trial::server(builder(RESOURCE)).unwrap();
    for (id, set) in empty {
        let server = trial::server(builder(RESOURCE).metadata(set)).unwrap();
        assert_eq!(server.metadata_service().document(), plain.metadata_service().document(), "{id}");
    }
}

#[test]
fn metadata_that_must_not_be_published_is_a_build_error() {
    let signed = |claims: Value| json!(format!("e30.{}.AA", base64url(claims.to_string())));
    for (id, name, value) in [
        ("J10", "resource_signing_alg_values_supported", json!(["none"])),
        ("J10", "resource_signing_alg_values_supported", json!(["ES256", "none"])),
        ("J10", "resource_signing_alg_values_supported", json!(["HS256"])),
        ("J10", "resource_signing_alg_values_supported", json!("ES256")),
        ("J10", "dpop_signing_alg_values_supported", json!(["HS256"])),
        ("J10", "dpop_signing_alg_values_supported", json!(["none"])),
        ("J10", "dpop_signing_alg_values_supported", json!([1])),
        ("J10", "jwks_uri", json!("http://mcp.example.com/jwks")),
        ("J10", "jwks_uri", json!("/jwks")),
        ("J10", "jwks_uri", json!(["https://mcp.example.com/jwks"])),
        ("J12", "resource", json!("https://evil.example.com")),
        ("J12", "resource#en", json!("https://evil.example.com")),
        ("J12", "authorization_servers", json!(["https://evil.example.com"])),
        ("J12", "scopes_supported", json!(["admin"])),
        ("J12", "bearer_methods_supported", json!(["query"])),
        ("J12", "resource_name#fr", json!(1)),
        ("J12", "signed_metadata", json!("x")),
        ("J12", "signed_metadata", signed(json!({"iss": ISSUER, "signed_metadata": "x"}))),
        ("J12", "signed_metadata", signed(json!({"resource": RESOURCE}))),
    ] {
        let built = trial::server(builder(RESOURCE).metadata(|metadata| metadata.member(name, value.clone())));
        assert_eq!(built.unwrap_err().kind(), BuildErrorKind::Metadata, "{id} {name} {value}");
    }
    let server = builder(RESOURCE).metadata(|metadata| {
        let metadata = metadata.resource_name("Notes").resource_name_in("fr", "Notes en fran\u{e7}ais");
        let metadata = metadata.resource_signing_alg_values_supported([Algorithm::ES256]);
        metadata.member("signed_metadata", signed(json!({"iss": ISSUER, "resource": RESOURCE})))
    });
    let server = trial::server(server).unwrap();
    let document: Value = serde_json::from_slice(server.metadata_service().document()).unwrap();
    assert_eq!(document["resource_name#fr"], "Notes en fran\u{e7}ais", "J12");
    assert_eq!(document["resource"], RESOURCE, "J12");
}
