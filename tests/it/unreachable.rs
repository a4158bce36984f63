//! Errors of a start-up that an authorization server prevents. Each cause has its own advice, in one log line at most. Each
//! case runs against a real server.

use std::error::Error as _;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use http::{Response, StatusCode, header};
use mcp_bearer::http_client::{FetchErrorKind, ReqwestClient};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{BuildError, BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::Level;

use crate::capture::Capture;
use crate::hostile::network::{serve_tls, trusts_root};
use crate::support::{ISSUER, RESOURCE};

/// A response: status, content type, `Location` and body. `{here}` in the body means the URL of the server.
#[derive(Clone, Copy)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub location: Option<&'static str>,
    pub body: &'static str,
}

pub const fn status(status: u16) -> Reply {
    Reply { status, content_type: "text/plain", location: None, body: "" }
}

pub const fn json(body: &'static str) -> Reply {
    Reply { status: 200, content_type: "application/json", location: None, body }
}

/// A server that responds by the path of a request, and with 404 to other paths. Returns its URL.
pub async fn serve<const N: usize>(replies: [(&'static str, Reply); N]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let here = url.clone();
    let respond = move |request: Request| {
        let reply = replies.iter().find(|(path, _)| *path == request.uri().path()).map(|(_, reply)| *reply);
        let reply = reply.unwrap_or(status(404));
        let body = reply.body.replace("{here}", &here);
        let response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
        let response = response.header(header::CONTENT_TYPE, reply.content_type);
        let response = reply.location.into_iter().fold(response, |built, to| built.header(header::LOCATION, to));
        async move { response.body(axum::body::Body::from(body)).unwrap() }
    };
    tokio::spawn(axum::serve(listener, Router::new().fallback(respond)).into_future());
    url
}

/// A port on which nothing listens.
pub fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The error of building a server. Building writes one log line at info or above at most.
async fn error_of(what: &str, issuer: Issuer) -> (BuildError, String) {
    let capture = Capture::of_this_thread();
    capture.take();
    let error = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.expect_err(what);
    let lines = capture.take().into_iter().filter(|(level, line)| *level <= Level::INFO && line.starts_with("mcp_"));
    let lines: Vec<_> = lines.map(|(_, line)| line).collect();
    assert!(lines.len() <= 1, "{what}: {lines:#?}");
    (error, lines.concat())
}

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OIDC: &str = "/.well-known/openid-configuration";
const LAZY: &str = "`build_lazy`";

/// Asserts that `Display` has each of these texts, and advises `build_lazy` only where it helps.
fn assert_shows(what: &str, error: &BuildError, expected: &[&str], is_lazy_advised: bool) {
    let text = error.to_string();
    for expected in expected {
        assert!(text.contains(expected), "{what}: {expected:?} is missing in {text}");
    }
    assert_eq!(text.contains(LAZY), is_lazy_advised, "{what}: {text}");
    assert!(!text.contains(['\r', '\n', '\u{1b}']) && text.len() < 1_500, "{what}: {text}");
}

#[tokio::test]
async fn a_missing_document_lists_all_urls_with_their_results() {
    let url = serve([]).await;
    let (error, _) = error_of("404", Issuer::discover(format!("{url}/realms/demo"))).await;
    let tried = format!(
        "no metadata at {url}{OAUTH}/realms/demo (status 404), {url}{OIDC}/realms/demo (status 404), \
         {url}/realms/demo{OIDC} (status 404)"
    );
    assert_shows("404", &error, &[&tried, "redirects are not followed", "realm or tenant"], false);
    assert_eq!(error.fetch_error().unwrap().kind(), FetchErrorKind::Status(404));

    // Each URL has its own result.
    let html = Reply { content_type: "text/html", body: "<html>", ..status(200) };
    let moved = Reply { location: Some("/login"), ..status(307) };
    let url =
        serve([("/.well-known/openid-configuration/a", html), ("/a/.well-known/openid-configuration", moved)]).await;
    let (error, _) = error_of("mixed", Issuer::discover(format!("{url}/a"))).await;
    let tried = format!(
        "no metadata at {url}{OAUTH}/a (status 404), {url}{OIDC}/a (not the expected document), {url}/a{OIDC} (status 307, a \
         redirect)"
    );
    assert_shows("mixed", &error, &[&tried, "HTML"], false);

    // A failure of the server may end.
    let url = serve([(OIDC, status(500))]).await;
    let (error, _) = error_of("500", Issuer::discover(&*url)).await;
    assert_shows("500", &error, &["(status 404)", "(status 500)", LAZY], true);
}

#[tokio::test]
async fn a_redirect_is_shown_and_not_followed() {
    for (location, shown) in [
        ("https://login.example.com/metadata", "redirects to \"https://login.example.com/metadata\""),
        ("/other", "redirects to \"/other\""),
    ] {
        let url = serve([(OIDC, Reply { location: Some(location), ..status(302) })]).await;
        let (error, log) = error_of(location, Issuer::discover(&*url)).await;
        let target = if location.starts_with('/') { format!("{url}{location}") } else { location.to_owned() };
        let line = format!("`well_known_url(\"{target}\")`");
        assert_shows(location, &error, &[shown, "redirects are not followed", &line], false);
        assert!(!log.contains(location), "{log}");
    }
    // The value is escaped and cut.
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!("/\u{e9}{}", "x".repeat(300)));
    let url = serve([(OIDC, Reply { location: Some(LONG.as_str()), ..status(302) })]).await;
    let (error, _) = error_of("long", Issuer::oidc(&*url)).await;
    assert_shows("long", &error, &["redirects to \"/\\u{e9}x", "`well_known_url(..)`"], false);
    let x = "x".repeat(110);
    assert!(error.to_string().contains(&x) && !error.to_string().contains(&"x".repeat(128)), "{error}");

    let url = serve([
        (OAUTH, json(r#"{"issuer":"{here}","jwks_uri":"{here}/jwks"}"#)),
        ("/jwks", Reply { location: Some("keys"), ..status(301) }),
    ])
    .await;
    let (error, log) = error_of("key set", Issuer::discover(&*url)).await;
    let line = format!("`jwks_uri(\"{url}/keys\")`");
    assert_shows("key set", &error, &["the key set", "redirects to \"keys\"", &line], false);
    assert!(log.contains("key set not available"), "{log}");
}

#[tokio::test]
async fn another_issuer_is_shown_with_the_line_to_write() {
    for (configured, found) in
        [("{here}/", "{here}"), ("{localhost}", "{here}"), ("{here}", "https://auth.example.com/realms/x")]
    {
        let document = format!(r#"{{"issuer":"{found}","jwks_uri":"{{here}}/jwks"}}"#);
        let document: &'static str = Box::leak(document.into_boxed_str());
        let url = serve([(OAUTH, json(document)), (OIDC, json(document))]).await;
        let at =
            |text: &str| text.replace("{here}", &url).replace("{localhost}", &url.replace("127.0.0.1", "localhost"));
        let (error, log) = error_of(configured, Issuer::discover(at(configured))).await;
        let line = format!("write `Issuer::discover(\"{}\")`", at(found));
        let both = format!("configured as \"{}\", but its metadata has the issuer \"{}\"", at(configured), at(found));
        assert_shows(configured, &error, &[&both, &line, "`Issuer::discover(\"", ").well_known_url(\""], false);
        // The log line has both names too.
        assert!(log.contains(&format!("expected={:?} found={:?}", at(configured), at(found))), "{log}");
    }
    // A name that is not an issuer is shown, and not advised.
    let document = r#"{"issuer":"https://h/\r\n\u001b[2J<script>","jwks_uri":"{here}/jwks"}"#;
    let url = serve([(OAUTH, json(document)), (OIDC, json(document))]).await;
    let (error, log) = error_of("escaped", Issuer::discover(&*url)).await;
    assert_shows("escaped", &error, &["\"https://h/\\r\\n\\u{1b}[2J<script>\"", "check the URL of the issuer"], false);
    assert!(!log.contains(['\r', '\n', '\u{1b}']), "{log}");
}

#[tokio::test]
async fn a_document_that_is_not_json_is_shown_with_its_content_type() {
    for (what, content_type, body, expected) in [
        (
            "a login page",
            "text/html; charset=utf-8",
            "<!doctype html>",
            "HTML or XML, not JSON (content type \"text/html; charset=utf-8\")",
        ),
        ("a text", "text/plain", "it works", "(content type \"text/plain\")"),
        ("no body", "text/html", "", "the document is empty"),
        ("JSON", "application/json", "[", "is not a JSON object with unique names (line 1, column"),
    ] {
        let url = serve([(OAUTH, Reply { content_type, body, ..status(200) })]).await;
        let (error, log) = error_of(what, Issuer::oauth(&*url)).await;
        assert_shows(what, &error, &["the metadata of the issuer", expected], false);
        assert!(!log.contains(content_type) && !log.is_empty(), "{what}: {log}");
    }
}

#[tokio::test]
async fn metadata_without_a_key_set_leads_to_introspection() {
    let document = r#"{"issuer":"{here}","introspection_endpoint":"{here}/introspect"}"#;
    let url = serve([(OAUTH, json(document)), (OIDC, json(document))]).await;
    let credentials = || ClientCredentials::basic("client", "secret");
    for issuer in [Issuer::discover(&*url), Issuer::discover(&*url).introspect_opaque(credentials())] {
        let (error, _) = error_of("no jwks_uri", issuer).await;
        let expected =
            ["no \"jwks_uri\"", "`introspect_all(..)`", "replaces `introspect_opaque(..)`", "`jwks_uri(..)`"];
        assert_shows("no jwks_uri", &error, &expected, false);
    }
    let alone = serve([(OAUTH, json(r#"{"issuer":"{here}"}"#))]).await;
    let (error, _) = error_of("nothing", Issuer::oauth(alone)).await;
    assert_shows("nothing", &error, &["no \"jwks_uri\": call `jwks_uri(..)` with the URL of the key set"], false);
    assert!(!error.to_string().contains("introspect"), "{error}");
    let advised = Issuer::discover(&*url).introspect_all(credentials());
    ResourceServer::builder(RESOURCE).issuer(advised).build().await.unwrap();
}

#[tokio::test]
async fn a_failed_connection_is_explained() {
    let (port, silent) = (closed_port(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let impatient = ReqwestClient::configured(|builder| builder.connect_timeout(Duration::from_nanos(1))).unwrap();
    let container = "as inside a container";
    let plain = serve([]).await.replace("http://", "https://");
    for (what, issuer, expected, is_lazy_advised) in [
        ("refused", Issuer::discover(format!("http://{port}")), &["connection was refused", container, LAZY][..], true),
        (
            "no connection in time",
            Issuer::oauth(silent).http_client(impatient),
            &["the request timed out", "firewalls", LAZY],
            true,
        ),
        (
            "no such host",
            Issuer::discover("https://keycloak.invalid/realms/x"),
            &["host name does not have an address", "spelling", container],
            false,
        ),
        ("TLS at a plain port", Issuer::discover(plain), &["does not respond with TLS", "scheme and the port"], false),
    ] {
        let (error, log) = error_of(what, issuer).await;
        assert_eq!(error.kind(), BuildErrorKind::Unreachable, "{what}");
        assert_shows(what, &error, expected, is_lazy_advised);
        assert!(log.contains("no response from"), "{what}: {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_respond_is_explained() {
    // It accepts the connection. Nothing else happens, so the paused time runs.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (error, _) = error_of("silent", Issuer::oauth(format!("http://{}", silent.local_addr().unwrap()))).await;
    assert_shows("silent", &error, &["the request timed out", "firewalls"], true);
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_explained() {
    let client = trusts_root();
    let by_default = ReqwestClient::new().unwrap();
    for (what, certificate, client, problem, repair) in [
        (
            "an unknown root",
            &include_bytes!("hostile/tls/good.pem")[..],
            &by_default,
            "UnknownIssuer",
            "`ReqwestClient::configured",
        ),
        (
            "self-signed",
            include_bytes!("hostile/tls/self_signed.pem"),
            &client,
            "UnknownIssuer",
            "`Issuer::http_client`",
        ),
        ("expired", include_bytes!("hostile/tls/expired.pem"), &client, "expired", "renew the certificate"),
        (
            "another host",
            include_bytes!("hostile/tls/other_host.pem"),
            &client,
            "not valid for name",
            "use a host name",
        ),
    ] {
        let url = serve_tls(certificate, String::new());
        let (error, log) = error_of(what, Issuer::discover(ISSUER).jwks_uri(url).http_client(client.clone())).await;
        assert_shows(what, &error, &["invalid peer certificate", problem, repair], false);
        assert!(log.contains("invalid peer certificate"), "{what}: {log}");
    }
    // The advised client trusts the CA.
    let ca = reqwest::Certificate::from_pem(include_bytes!("hostile/tls/ca.pem")).unwrap();
    let advised = ReqwestClient::configured(|builder| builder.tls_certs_merge([ca.clone()])).unwrap();
    let keys = TestIssuer::new(ISSUER).jwk_set().to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{keys}", keys.len());
    let url = serve_tls(include_bytes!("hostile/tls/good.pem"), answer);
    let issuer = Issuer::discover(ISSUER).jwks_uri(url).http_client(advised);
    ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap();
}

#[test]
fn plain_http_and_the_url_of_a_document_are_rejected_with_the_call_to_write() {
    let error_of = |issuer: &str| {
        ResourceServer::builder(RESOURCE).issuer(Issuer::discover(issuer)).build_lazy().unwrap_err().to_string()
    };
    let plain = error_of("http://keycloak:8080/realms/demo");
    assert!(plain.contains("call `dangerously_allow_http()` for a host inside a private network"), "{plain}");
    for url in [
        "https://auth.example.com/realms/demo/.well-known/openid-configuration",
        "https://auth.example.com/.well-known/oauth-authorization-server/realms/demo",
    ] {
        let pasted = error_of(url);
        let line =
            "give the issuer, without `/.well-known/...`: `Issuer::discover(\"https://auth.example.com/realms/demo\")`";
        assert!(pasted.contains(line), "{pasted}");
    }
}

#[tokio::test]
async fn each_cause_appears_once_in_an_error() {
    let (error, _) = error_of("refused", Issuer::discover(format!("http://{}", closed_port()))).await;
    let nearest = error.fetch_error().unwrap().to_string();
    let shown = error.to_string();
    assert!(shown.ends_with(&nearest), "{shown}");
    let mut chain = shown.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain = format!("{chain}: {error}");
        cause = error.source();
    }
    assert_eq!(format!("{error:?}"), chain);
    assert_eq!(chain.matches(&nearest).count(), 1, "{chain}");
    assert!(chain.len() > shown.len(), "{chain}");

    // The message has the cause that `source()` returns, so `Debug` leaves it out.
    let url = serve([(OAUTH, Reply { content_type: "text/html", body: "<html>", ..status(200) })]).await;
    let (error, _) = error_of("HTML", Issuer::oauth(url)).await;
    assert_eq!(format!("{error:?}").matches("HTML").count(), 1, "{error:?}");
}

#[tokio::test]
async fn a_mistake_in_metadata_is_one_log_line_for_keys_and_introspection() {
    let document: Value = json!({"issuer": "https://other.example.com"});
    let document: &'static str = Box::leak(document.to_string().into_boxed_str());
    let url = serve([(OAUTH, json(document))]).await;
    let credentials = ClientCredentials::basic("client", "secret");
    let (_, log) = error_of("mismatch", Issuer::oauth(&*url).introspect_opaque(credentials)).await;
    assert!(log.contains("metadata names another issuer"), "{log}");
}
