//! The check of a configured introspection endpoint when a server starts. Each case runs against a real server.

use std::time::Duration;

use mcp_bearer::http_client::FetchErrorKind;
use mcp_bearer::introspection::{ClientCredentials, Introspection, IntrospectionState};
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer, ResourceServerBuilder};
use tokio::time::{Instant, sleep};
use tracing::Level;

use super::credentials;
use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE, quiet};
use crate::unreachable::{Reply, closed_port, json, serve, status};

const PATH: &str = "/admin/oauth2/introspect";
const HTML: &str = "<html>Log in</html>";
const INVALID_CLIENT: &str = r#"{"error":"invalid_client"}"#;

const fn with_body(code: u16, body: &'static str) -> Reply {
    Reply { body, ..status(code) }
}

fn redirect(location: &'static str) -> Reply {
    Reply { location: Some(location), ..status(302) }
}

fn builder(endpoint: &str) -> ResourceServerBuilder {
    let introspected = Issuer::discover(ISSUER).introspect_all(credentials()).introspection_endpoint(endpoint);
    ResourceServer::builder(RESOURCE).issuer(introspected)
}

/// The log lines of this crate at `warn` or above.
fn lines(capture: &Capture) -> Vec<(Level, String)> {
    let lines = capture.take().into_iter();
    lines.filter(|(level, line)| *level <= Level::WARN && line.starts_with("mcp_")).collect()
}

/// Builds a lazy server, and waits for the log line of its check.
async fn lazy(endpoint: &str) -> (ResourceServer, Vec<(Level, String)>) {
    let capture = Capture::of_this_thread();
    capture.take();
    let server = builder(endpoint).build_lazy().unwrap();
    let start = Instant::now();
    let mut found = Vec::new();
    while found.is_empty() && start.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(10)).await;
        found = lines(&capture);
    }
    // Nothing follows.
    sleep(Duration::from_millis(300)).await;
    found.extend(lines(&capture));
    (server, found)
}

fn state(server: &ResourceServer) -> (IntrospectionState, bool) {
    let health = server.health();
    (health.issuers()[0].introspection(), health.is_ready())
}

#[tokio::test]
async fn an_endpoint_that_does_not_introspect_fails_the_build_with_what_came_and_the_repair() {
    for (what, reply, kind, shown, is_lazy_advised) in [
        (
            "a redirect",
            redirect("https://login.example.com/"),
            FetchErrorKind::Status(302),
            "status 302 and redirects to \"https://login.example.com/\", and redirects are not followed",
            false,
        ),
        (
            "a login page",
            with_body(200, HTML),
            FetchErrorKind::Document,
            "the response is HTML or XML, not JSON",
            false,
        ),
        ("text", with_body(200, "OK"), FetchErrorKind::Document, "the response is not a JSON object", false),
        ("nothing", status(200), FetchErrorKind::Document, "the response is not a JSON object", false),
        ("another document", json(r#"{"keys":[]}"#), FetchErrorKind::Document, "have a boolean \"active\"", false),
        ("another method", status(405), FetchErrorKind::Status(405), "status 405, so it does not introspect", false),
        ("no error code", status(400), FetchErrorKind::Status(400), "status 400, so it does not introspect", false),
        ("a failure", status(500), FetchErrorKind::Status(500), "status 500; check whether", true),
        ("no capacity", status(503), FetchErrorKind::Status(503), "status 503; check whether", true),
    ] {
        let endpoint = format!("{}{PATH}", serve([(PATH, reply)]).await);
        let error = builder(&endpoint).build().await.expect_err(what);
        let text = error.to_string();
        assert_eq!((error.kind(), error.fetch_error().unwrap().kind()), (BuildErrorKind::Unreachable, kind), "{text}");
        let start = format!("the introspection endpoint \"{endpoint}\" of the issuer \"{ISSUER}\" ");
        assert!(text.starts_with(&start) && text.contains(shown), "{what}: {text}");
        assert_eq!(text.contains("`build_lazy`"), is_lazy_advised, "{what}: {text}");
        assert!(is_lazy_advised || text.contains("`introspection_endpoint(..)`"), "{what}: {text}");

        // A lazy server starts, and logs the same once.
        let (server, lines) = lazy(&endpoint).await;
        let [(Level::ERROR, line)] = &lines[..] else { panic!("{what}: {lines:?}") };
        assert!(line.contains("the configured introspection endpoint cannot be used"), "{line}");
        assert!(line.replace("\\\"", "\"").contains(&start) && line.replace("\\\"", "\"").contains(shown), "{line}");
        assert_eq!(state(&server), (IntrospectionState::Unconfirmed, true), "{what}");
        assert_eq!(server.warm_up().await.unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn an_endpoint_without_a_server_fails_the_build() {
    let endpoint = format!("http://{}{PATH}", closed_port());
    let error = builder(&endpoint).build().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&endpoint) && text.contains("cannot be reached: the connection was refused"), "{text}");
    assert!(text.contains("`localhost` is the container itself") && text.contains("`build_lazy`"), "{text}");
    assert_eq!(error.fetch_error().unwrap().kind(), FetchErrorKind::NoResponse);
    let (_, lines) = lazy(&endpoint).await;
    let [(Level::ERROR, line)] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains(&endpoint) && line.contains("the connection was refused"), "{line}");
}

#[tokio::test]
async fn rejected_credentials_fail_the_build_with_the_url_and_the_status() {
    for code in [400, 401, 403, 404] {
        for body in [INVALID_CLIENT, r#"{"error":"unauthorized_client"}"#] {
            let endpoint = format!("{}{PATH}", serve([(PATH, with_body(code, body))]).await);
            let error = builder(&endpoint).build().await.unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::Credentials, "{error}");
            let text = error.to_string();
            assert!(text.contains(&endpoint) && text.ends_with(&format!("status {code}")), "{text}");
            assert!(text.contains("check the client id") && text.contains("`ClientCredentials::none`"), "{text}");
        }
    }
    let endpoint = format!("{}{PATH}", serve([(PATH, with_body(404, INVALID_CLIENT))]).await);
    let (server, lines) = lazy(&endpoint).await;
    assert_eq!((state(&server), lines.len()), ((IntrospectionState::CredentialsRejected, false), 1), "{lines:?}");
}

#[tokio::test]
async fn an_error_that_may_be_about_the_made_up_token_is_one_warning() {
    for (code, body) in [
        (401, ""),
        (401, r#"{"error":"invalid_token"}"#),
        (403, HTML),
        (404, ""),
        (404, HTML),
        (400, r#"{"error":"invalid_request"}"#),
    ] {
        let capture = Capture::of_this_thread();
        capture.take();
        let endpoint = format!("{}{PATH}", serve([(PATH, with_body(code, body))]).await);
        let server = builder(&endpoint).build().await.unwrap();
        assert_eq!(state(&server), (IntrospectionState::Unconfirmed, true), "{code} {body}");
        server.warm_up().await.unwrap();
        let lines = lines(&capture);
        let [(Level::WARN, line)] = &lines[..] else { panic!("{code}: {lines:?}") };
        assert!(line.contains("rejects a made-up token") && line.contains(&format!("status {code}")), "{line}");
        assert!(line.contains(&endpoint) && !line.contains("Log in"), "{line}");

        let (server, lines) = lazy(&endpoint).await;
        assert_eq!((state(&server), lines.len()), ((IntrospectionState::Unconfirmed, true), 1), "{lines:?}");
    }
}

#[tokio::test]
async fn a_working_endpoint_is_tried_once_and_confirmed() {
    let issuer = TestIssuer::serve().unwrap();
    let introspected = Issuer::discover(issuer.url()).introspect_opaque(ClientCredentials::none());
    let introspected = introspected.introspection_endpoint(format!("{}/introspect", issuer.url()));
    let server = ResourceServer::builder(RESOURCE).issuer(introspected).build().await.unwrap();
    assert_eq!(state(&server), (IntrospectionState::Ready, true));
    server.warm_up().await.unwrap();
    assert_eq!(issuer.requests(Endpoint::Introspection), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_fails_the_build_within_its_time_limit() {
    let issuer = TestIssuer::builder(ISSUER).build();
    issuer.fault(Endpoint::Introspection, Fault::Delay(Duration::from_secs(60)));
    let introspection = Introspection::new(credentials()).max_wait(Duration::ZERO);
    let introspected = issuer.issuer().introspect_all(introspection);
    let introspected = introspected.introspection_endpoint(format!("{ISSUER}/introspect"));
    let start = Instant::now();
    let error = ResourceServer::builder(RESOURCE).issuer(introspected).build().await.unwrap_err();
    assert!(error.to_string().contains("the request timed out"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_does_not_count_for_the_circuit_breaker() {
    let issuer = TestIssuer::builder(ISSUER).introspection_client(super::CLIENT, super::SECRET).build();
    let introspected = issuer.issuer().introspect_all(credentials());
    let introspected = introspected.introspection_endpoint(format!("{ISSUER}/introspect"));
    let server = quiet(ResourceServer::builder(RESOURCE).issuer(introspected));
    issuer.fault(Endpoint::Introspection, Fault::Html);
    for _ in 0..6 {
        server.warm_up().await.unwrap_err();
    }
    assert!(server.health().issuers()[0].retry_in().is_zero());
    issuer.heal();
    let token = issuer.token().audience(RESOURCE).opaque();
    assert_eq!(App::new(server.bearer_layer()).with_token(&token).await.verdict(), "OK");
    // A token confirms what the check could not.
    issuer.fault(Endpoint::Introspection, Fault::Html);
    server.warm_up().await.unwrap();
    assert_eq!(state(&server), (IntrospectionState::Ready, true));
}
