//! Errors of a server that does not start: what is wrong, the value, and what to do.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use mcp_bearer::http_client::{FetchErrorKind, HttpClient, HttpError, HttpErrorKind, HttpFuture, RequestLimits};
use mcp_bearer::jose::JwkSet;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{BuildError, BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{ISSUER, RESOURCE};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OIDC: &str = "/.well-known/openid-configuration";

/// Answers by path, and with 404 for all other paths.
#[derive(Clone, Default)]
struct Pages(Arc<HashMap<String, (u16, Bytes)>>);

impl Pages {
    fn of<const N: usize>(pages: [(&str, u16, &str); N]) -> Self {
        let pages = pages.map(|(path, status, body)| (path.to_owned(), (status, Bytes::from(body.to_owned()))));
        Self(Arc::new(pages.into()))
    }
}

impl HttpClient for Pages {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let (status, body) = self.0.get(request.uri().path()).cloned().unwrap_or((404, Bytes::new()));
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Box::pin(async move { Ok(response) })
    }
}

/// The error of building a server, and the log lines at warn or above.
async fn error_of(issuer: Issuer) -> (BuildError, String) {
    let capture = Capture::of_this_thread();
    capture.take();
    let error = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap_err();
    let lines = capture.take().into_iter().filter(|(level, line)| *level <= Level::WARN && line.starts_with("mcp_"));
    (error, lines.map(|(_, line)| line + "\n").collect())
}

fn metadata(members: Value) -> String {
    let mut document = json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks")});
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    document.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_unusable_document_is_in_the_error_with_its_remedy_and_not_in_the_log() {
    let long = format!("http://keys.internal/{}", "x".repeat(500));
    for (what, members, value, remedies) in [
        ("plain http", json!({"jwks_uri": "http://keys.internal/jwks"}), "http://keys.internal/jwks", JWKS),
        ("relative", json!({"jwks_uri": "/protocol/certs"}), "\"/protocol/certs\"", JWKS),
        ("a number", json!({"jwks_uri": 7_654_321}), "\"7654321\"", JWKS),
        ("long", json!({"jwks_uri": long}), &long[..128], JWKS),
        ("control characters", json!({"jwks_uri": "http://h/\r\n\u{1b}x"}), "http://h/\\r\\n\\u{1b}x", JWKS),
        ("another issuer", json!({"issuer": "http://keycloak.internal/realms/x"}), "http://keycloak.internal", OTHER),
        ("a slash", json!({"issuer": "https://auth.example.com/"}), "\"https://auth.example.com/\"", OTHER),
    ] {
        let document = metadata(members);
        let (error, log) = error_of(Issuer::discover(ISSUER).http_client(Pages::of([(OAUTH, 200, &document)]))).await;
        let shown = format!("{error:?}");
        assert!(shown.contains(value), "{what}: {shown}");
        assert!(!shown.contains(&"x".repeat(200)) && !shown.contains('\n'), "{what}: {shown}");
        for remedy in remedies {
            assert!(shown.contains(remedy), "{what}: {remedy} is missing in {shown}");
        }
        assert!(log.contains("issuer"), "{what}: {log}");
        // The name in a document of another issuer is the only exception.
        assert_eq!(log.contains(value), remedies == OTHER, "{what}: {log}");
    }
}

const JWKS: &[&str] = &["\"jwks_uri\"", "`jwks_uri(..)`", "`dangerously_allow_http()`"];
const OTHER: &[&str] = &["\"issuer\"", "configure the issuer exactly", "`jwks_uri(..)`", "`dangerously_allow_http()`"];

#[tokio::test(start_paused = true)]
async fn an_error_for_invalid_json_names_the_problem() {
    let keys = TestIssuer::new(ISSUER).jwk_set().to_string();
    for (body, expected) in [
        (format!("\u{feff}{keys}"), "byte order mark"),
        (String::new(), "the document is empty"),
        (" \n".to_owned(), "the document is empty"),
        ("<!DOCTYPE html><p>Log in</p>".to_owned(), "HTML"),
        ("{\"keys\": [".to_owned(), "line 1, column 10"),
        ("{\n\n \"keys\": NaN}".to_owned(), "line 3, column"),
    ] {
        for path in [OAUTH, "/jwks"] {
            let valid = metadata(json!({}));
            let pages = Pages::of([(OAUTH, 200, &valid), (path, 200, &body)]);
            let (error, log) = error_of(Issuer::oauth(ISSUER).http_client(pages)).await;
            let shown = format!("{error:?}");
            assert!(shown.contains(expected), "{path} {body:?}: {shown}");
            assert!(log.contains(expected), "{path} {body:?}: {log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_401_or_403_takes_precedence_over_other_statuses() {
    for status in [401, 403] {
        for (first, second) in [(404, status), (status, 404), (status, 200), (400, status)] {
            let pages = Pages::of([(OAUTH, first, "<html>"), (OIDC, second, "<html>")]);
            let (error, log) = error_of(Issuer::discover(ISSUER).http_client(pages)).await;
            let shown = format!("{error:?}");
            assert!(shown.contains(&format!("status {status}")), "{first} {second}: {shown}");
            assert!(shown.contains("`http_client(..)`"), "{shown}");
            assert!(log.contains(&format!("status {status}")), "{log}");
        }
    }
    // A document with another issuer is the more specific error, whatever the other location answers.
    let other = metadata(json!({"issuer": "https://other.example"}));
    let pages = Pages::of([(OAUTH, 200, &other), (OIDC, 403, "")]);
    let (error, _) = error_of(Issuer::discover(ISSUER).http_client(pages)).await;
    assert_eq!(error.fetch_error().unwrap().kind(), FetchErrorKind::IssuerMismatch);
}

/// Fails with an error that has three levels of causes.
struct DeepError;

impl HttpClient for DeepError {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let bottom = HttpError::new(HttpErrorKind::Other).with_source("invalid peer certificate: UnknownIssuer");
        let error = HttpError::new(HttpErrorKind::Connect).with_source(bottom);
        Box::pin(async move { Err(error) })
    }
}

#[tokio::test(start_paused = true)]
async fn every_cause_is_in_the_log_and_in_the_error() {
    let (error, log) = error_of(Issuer::discover(ISSUER).http_client(DeepError)).await;
    for text in [format!("{error:?}"), log] {
        assert!(text.contains("no response from https://auth.example.com/.well-known"), "{text}");
        assert!(text.contains("no connection could be made: "), "{text}");
        assert!(text.contains("UnknownIssuer"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_for_an_issuer_with_an_internal_url_names_the_settings() {
    // In a container, `localhost` is another machine than in the tokens, so the issuer is unreachable.
    let stopped = TestIssuer::new("http://localhost:8080/realms/demo");
    stopped.stop();
    let (error, _) = error_of(stopped.issuer()).await;
    assert_eq!(error.kind(), BuildErrorKind::Unreachable);
    let in_a_container = error.to_string();
    // With the internal name, the errors name both settings too.
    let internal = Issuer::discover("http://keycloak:8080/realms/demo");
    let plain = ResourceServer::builder(RESOURCE).issuer(internal.clone()).build_lazy().unwrap_err();
    assert!(plain.to_string().contains("`dangerously_allow_http()`"), "{plain}");
    let document = metadata(json!({"issuer": "http://localhost:8080/realms/demo"}));
    let path = format!("{OAUTH}/realms/demo");
    let pages = Pages::of([(path.as_str(), 200, &document)]);
    let (error, _) = error_of(internal.dangerously_allow_http().http_client(pages)).await;
    let mismatch = format!("{error:?}");
    assert!(mismatch.contains("\"http://localhost:8080/realms/demo\""), "{mismatch}");
    for text in [in_a_container, mismatch] {
        for remedy in ["`jwks_uri(..)`", "`well_known_url(..)`", "`dangerously_allow_http()`"] {
            assert!(text.contains(remedy), "{remedy} is missing in {text}");
        }
    }
}

#[tokio::test]
async fn missing_ca_certificates_are_an_error_except_for_plain_http() {
    const CHILD: &str = "MCP_BEARER_TEST_WITHOUT_CA";
    if std::env::var_os(CHILD).is_none() {
        let this = "first_errors::missing_ca_certificates_are_an_error_except_for_plain_http";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", this]).env(CHILD, "1");
        child.env("SSL_CERT_FILE", "/nonexistent.pem").env("SSL_CERT_DIR", "/nonexistent");
        let output = child.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
        return;
    }
    let build = |issuer: Issuer| ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy();
    for issuer in [
        Issuer::discover(ISSUER),
        Issuer::discover("http://127.0.0.1:1").jwks_uri("https://h/jwks"),
        Issuer::discover(ISSUER).well_known_url("https://h/metadata"),
    ] {
        let error = build(issuer).unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::HttpClient);
        assert!(error.to_string().contains("no CA certificates were found"), "{error}");
    }
    let issuer = TestIssuer::serve().unwrap();
    let server = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(issuer.url())).build().await.unwrap();
    assert!(server.health().is_ready());
    build(Issuer::discover(ISSUER).jwks_uri("http://127.0.0.1:1/jwks")).unwrap();
    build(Issuer::discover(ISSUER).well_known_url("http://127.0.0.1:1/metadata")).unwrap();
    build(Issuer::with_jwks(ISSUER, JwkSet::from_json(issuer.jwk_set().to_string()).unwrap())).unwrap();
}
