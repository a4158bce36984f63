//! K: responses of an authorization server to introspection requests (RFC 7662, section 2.2).

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use mcp_bearer::AuthInfo;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use serde_json::{Value, json};
use tracing::Level;

use super::canned::{Canned, INTROSPECT, Page};
use super::trial::{self, Trial, bearer, credentials, with};
use crate::capture::Capture;
use crate::support::{Answer, ISSUER, RESOURCE, unavailable};
use crate::transport;

/// The time of the test clock, which does not advance.
const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";

/// The introspection response for a valid token.
fn active() -> Value {
    json!({"active": true, "iss": ISSUER, "sub": "alice", "client_id": "test-client", "aud": RESOURCE,
        "exp": NOW + 300, "iat": NOW, "scope": "mcp:tools", "token_type": "Bearer"})
}

/// The same response with a member that has exactly this JSON text.
fn with_text(member: &str, text: &str) -> String {
    format!("{{\"{member}\":{text},{}", &with(active(), json!({member: null})).to_string()[1..])
}

/// Sends a token whose introspection response is this page. After an outage, the next response is used.
async fn expect(id: &str, what: &str, page: Page, verdict: &str) -> Answer {
    let canned = Canned::default();
    let trial = canned.introspecting(credentials());
    canned.set(INTROSPECT, page);
    let answer = trial.token(id, what, TOKEN, verdict).await;
    let urls = canned.urls();
    assert!(!urls.is_empty() && urls.iter().all(|url| url == INTROSPECT), "{id} {what}: {urls:?}");
    canned.set(INTROSPECT, Page::ok(active().to_string()));
    match verdict {
        "R503" => {
            // The circuit breaker may have opened.
            tokio::time::advance(Duration::from_secs(5)).await;
            drop(trial.token(id, &format!("{what}, then an answer"), TOKEN, "OK").await);
        }
        // These results are cached, so the new response is not used yet.
        verdict => drop(trial.token(id, &format!("{what}, again"), TOKEN, verdict).await),
    }
    answer
}

#[tokio::test(start_paused = true)]
async fn active_must_be_a_boolean() {
    expect("control", "true", Page::ok(active().to_string()), "OK").await;
    for (id, value) in [
        ("K01", "\"true\""),
        ("K01", "\"false\""),
        ("K01", "\"\""),
        ("K01", "1"),
        ("K01", "0"),
        ("K01", "1.0"),
        ("K01", "null"),
        ("K01", "[]"),
        ("K01", "[true]"),
        ("K01", "{}"),
        ("K01", "{\"active\":true}"),
    ] {
        expect(id, value, Page::ok(with_text("active", value)), "R503").await;
    }
    let missing = with(active(), json!({"active": null})).to_string();
    for (id, answer) in [
        ("K01", missing.clone()),
        ("K01", format!("{{\"Active\":true,{}", &missing[1..])),
        ("K01", format!("{{\"active \":true,{}", &missing[1..])),
        ("K01", format!("{{\"data\":{}}}", active())),
        ("K01", format!("{{\"active\":false,{}", &active().to_string()[1..])),
        ("K01", format!("{{\"active\":true,{}", &with(active(), json!({"active": false})).to_string()[1..])),
        ("K01", format!("{{\"\\u0061ctive\":false,{}", &active().to_string()[1..])),
    ] {
        expect(id, &answer, Page::ok(answer.clone()), "R503").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_members_of_an_inactive_response_are_ignored() {
    for (id, answer) in [
        ("K02", json!({"active": false})),
        ("K02", json!({"active": false, "sub": "admin", "scope": "*"})),
        ("K02", with(active(), json!({"active": false}))),
        ("K02", json!({"active": false, "iss": 1, "aud": {}, "exp": "soon", "scope": 7, "cnf": []})),
    ] {
        let rejected = expect(id, &answer.to_string(), Page::ok(answer.to_string()), "R401").await;
        let shown = format!("{:?}{}", rejected.headers, rejected.body);
        assert!(!shown.contains("admin") && !shown.contains('*'), "{id} {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_introspection_response_is_an_outage() {
    const LIMIT: usize = 64 * 1024;
    let valid = active().to_string();
    let padded = |length: usize| format!("{}{valid}", " ".repeat(length - valid.len()));
    let nested = |depth: usize| format!("{{\"x\":{}{},{}", "[".repeat(depth), "]".repeat(depth), &valid[1..]);
    // This crate does not request a signed response (RFC 9701) and does not accept one. A downgrade is not possible.
    let signed = {
        let trial = Trial::cold();
        let claims = json!({"iss": ISSUER, "aud": RESOURCE, "iat": NOW, "token_introspection": active()});
        trial.sign(with(trial.header(), json!({"typ": "token-introspection+jwt"})).to_string(), claims.to_string())
    };
    for (id, what, body) in [
        ("K04", "array", format!("[{valid}]").into_bytes()),
        ("K04", "string", Value::from(valid.clone()).to_string().into_bytes()),
        ("K04", "null", b"null".to_vec()),
        ("K04", "true", b"true".to_vec()),
        ("K04", "empty", Vec::new()),
        ("K04", "HTML", b"<!doctype html><title>Sign in</title>".to_vec()),
        ("K04", "half", valid.as_bytes()[..valid.len() / 2].to_vec()),
        ("K04", "without its end", valid.as_bytes()[..valid.len() - 1].to_vec()),
        ("K04", "invalid UTF-8", [b"{\"x\":\"\xff\",", &valid.as_bytes()[1..]].concat()),
        ("K04", "BOM", format!("\u{feff}{valid}").into_bytes()),
        ("K04", "UTF-16", valid.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("K04", "two", format!("{valid}{valid}").into_bytes()),
        ("K04", "two lines", format!("{valid}\n{{\"active\":false}}").into_bytes()),
        ("K04", "NUL", format!("{valid}\0").into_bytes()),
        ("K04", "a name twice", format!("{{\"sub\":\"mallory\",{}", &valid[1..]).into_bytes()),
        ("K04", "a name twice, deep", format!("{{\"x\":[{{\"y\":1,\"y\":1}}],{}", &valid[1..]).into_bytes()),
        ("K04", "deep", nested(200).into_bytes()),
        ("K04", "very deep", format!("{{\"x\":{}", "[".repeat(60_000)).into_bytes()),
        ("K04", "64 KiB and 1", padded(LIMIT + 1).into_bytes()),
        ("K04", "5 MiB", padded(5 << 20).into_bytes()),
        ("K21", "JWT", signed.into_bytes()),
    ] {
        expect(id, what, Page::ok(body), "R503").await;
    }
    for (id, status) in [("K04", 201), ("K04", 202), ("K04", 204), ("K04", 206), ("K04", 302), ("K04", 304)] {
        expect(id, &status.to_string(), Page::status(status, valid.clone()), "R503").await;
    }
    expect("control", "64 KiB", Page::ok(padded(LIMIT)), "OK").await;
    expect("control", "not deep", Page::ok(nested(20)), "OK").await;
}

#[tokio::test(start_paused = true)]
async fn the_times_of_an_active_token_are_checked() {
    // The clock skew is 60 seconds.
    for (id, member, text, verdict) in [
        ("K05", "exp", (NOW - 3600).to_string(), "R401"),
        ("K05", "exp", (NOW - 60).to_string(), "R401"),
        ("K05", "exp", (NOW - 59).to_string(), "OK"),
        ("K05", "exp", "0".to_owned(), "R401"),
        ("K05", "exp", format!("{}.5", NOW + 60), "OK"),
        // `null` counts as absent: some servers write it for unknown times.
        ("K05", "exp", "null".to_owned(), "OK"),
        ("K05", "nbf", (NOW + 60).to_string(), "OK"),
        ("K05", "nbf", (NOW + 61).to_string(), "R401"),
        ("K05", "iat", (NOW + 60).to_string(), "OK"),
        ("K05", "iat", (NOW + 61).to_string(), "R401"),
        // The end of the year 9999, and later times: milliseconds instead of seconds, and larger values.
        ("K05", "exp", "253402300799".to_owned(), "OK"),
        ("K05", "exp", format!("{NOW}000"), "R503"),
        ("K05", "exp", "18446744073709551616".to_owned(), "R503"),
        ("K05", "exp", format!("\"{}\"", NOW + 300), "R503"),
        ("K05", "exp", "-1".to_owned(), "R503"),
        ("K05", "exp", "1e400".to_owned(), "R503"),
        ("K05", "exp", "true".to_owned(), "R503"),
        ("K05", "exp", "[]".to_owned(), "R503"),
        ("K05", "nbf", format!("\"{NOW}\""), "R503"),
        ("K05", "iat", "{}".to_owned(), "R503"),
    ] {
        let canned = Canned::default();
        let trial = canned.introspecting(credentials());
        canned.set(INTROSPECT, Page::ok(with_text(member, &text)));
        trial.token(id, &format!("{member} {text}"), TOKEN, verdict).await;
        // The times of a cached result are checked for each request.
        trial.token(id, &format!("{member} {text}, again"), TOKEN, verdict).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_iss_of_a_response_must_be_the_issuer_that_sent_it() {
    for (id, iss, verdict) in [
        ("K06", "\"https://evil.example.com\"", "R401"),
        ("K06", "\"https://auth.example.com/\"", "R401"),
        ("K06", "\"https://AUTH.example.com\"", "R401"),
        ("K06", "\"http://auth.example.com\"", "R401"),
        ("K06", "\"\"", "R401"),
        ("K06", "1", "R503"),
        ("K06", "[\"https://auth.example.com\"]", "R503"),
        // Without `iss`, the token belongs to the issuer that was asked.
        ("K06", "null", "OK"),
    ] {
        expect(id, iss, Page::ok(with_text("iss", iss)), verdict).await;
    }
    expect("K06", "missing", Page::ok(with(active(), json!({"iss": null})).to_string()), "OK").await;
}

#[tokio::test(start_paused = true)]
async fn each_of_two_issuers_is_asked_only_about_its_own_tokens() {
    const OTHER: &str = "https://other.example.com";
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let other = TestIssuer::builder(OTHER).clock(clock.clone()).build();
    let endpoint = |issuer: &TestIssuer| {
        issuer.issuer().introspection_endpoint(format!("{}/introspect", issuer.url())).introspect_all(credentials())
    };
    let accepted = [endpoint(&issuer), endpoint(&other)];
    let trial = Trial::of(issuer, clock, |server| {
        let server = server.route_opaque(|token| token.starts_with("other_").then_some(OTHER).or(Some(ISSUER)));
        accepted.into_iter().fold(server, |server, issuer| server.issuer(issuer))
    });
    async fn handler(auth: AuthInfo) -> String {
        auth.issuer().unwrap().to_owned()
    }
    let app = Router::new().route("/mcp", get(handler)).route_layer(trial.fixture.server.bearer_layer());
    for (id, token, iss, expected) in [
        ("K06", "mine", json!(null), ISSUER),
        ("K06", "mine_2", json!(ISSUER), ISSUER),
        ("K06", "mine_3", json!(OTHER), "R401"),
        ("K06", "other_1", json!(null), OTHER),
        ("K06", "other_2", json!(OTHER), OTHER),
        ("K06", "other_3", json!(ISSUER), "R401"),
    ] {
        let issuer = if token.starts_with("other_") { &other } else { &trial.fixture.issuer };
        let everywhere = trial.requests().0 + other.total_requests();
        let before = issuer.total_requests();
        issuer.introspection_answer(token, with(active(), json!({"iss": iss})));
        let answer = Answer::of(transport::send(app.clone(), bearer(token)).await).await;
        let verdict = answer.verdict();
        assert_eq!(if verdict == "OK" { &answer.body } else { &verdict }, expected, "{id} {token}");
        assert_eq!(issuer.total_requests(), before + 1, "{id} {token}");
        assert_eq!(
            trial.requests().0 + other.total_requests(),
            everywhere + 1,
            "{id} {token}: another issuer received a request"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_bearer_access_token_is_accepted_as_active() {
    for (id, member, text, verdict) in [
        ("K08", "token_type", "\"Bearer\"", "OK"),
        ("K08", "token_type", "\"bearer\"", "OK"),
        ("K08", "token_type", "\"BEARER\"", "OK"),
        ("K08", "token_type", "\"access_token\"", "OK"),
        ("K08", "token_type", "\"refresh_token\"", "R401"),
        ("K08", "token_type", "\"Refresh\"", "R401"),
        ("K08", "token_type", "\"id_token\"", "R401"),
        ("K08", "token_type", "\"N_A\"", "R401"),
        ("K08", "token_type", "\"mac\"", "R401"),
        ("K08", "token_type", "\"DPoP\"", "R401"),
        ("K08", "token_type", "\"bearer \"", "R401"),
        ("K08", "token_type", "\"\"", "R401"),
        ("K08", "token_type", "null", "OK"),
        ("K08", "token_type", "1", "R503"),
        ("K08", "token_type", "[\"Bearer\"]", "R503"),
        ("K08", "cnf", "{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}", "R401"),
        ("K08", "cnf", "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"}", "R401"),
        ("K08", "cnf", "{}", "R401"),
        ("K08", "cnf", "null", "R401"),
        ("K08", "cnf", "\"x\"", "R401"),
    ] {
        expect(id, &format!("{member} {text}"), Page::ok(with_text(member, text)), verdict).await;
    }
    expect("K08", "missing", Page::ok(with(active(), json!({"token_type": null})).to_string()), "OK").await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_our_client_credentials_is_an_outage() {
    let error =
        |code: &str| json!({"error": code, "error_description": "the client mcp-server is unknown"}).to_string();
    let misconfigured = RejectionKind::Misconfigured;
    let unavailable = unavailable();
    for (id, status, body, kind) in [
        ("K09", 401, error("invalid_client"), misconfigured),
        ("K09", 403, error("invalid_client"), misconfigured),
        // These errors may be about the token.
        ("K09", 401, error("invalid_token"), unavailable),
        ("K09", 401, String::new(), unavailable),
        ("K09", 401, "<html>mcp-server</html>".to_owned(), unavailable),
        ("K09", 401, active().to_string(), unavailable),
        ("K09", 403, String::new(), unavailable),
        ("K09", 403, "<html>mcp-server</html>".to_owned(), unavailable),
        ("K09", 400, error("invalid_client"), misconfigured),
        ("K09", 400, error("unauthorized_client"), misconfigured),
        ("K09", 400, error("invalid_request"), unavailable),
        ("K09", 400, String::new(), unavailable),
    ] {
        let what = format!("{status} {body}");
        let capture = Capture::of_this_thread();
        capture.take();
        let rejected = expect(id, &what, Page::status(status, body), "R503").await;
        assert_eq!(rejected.rejection.as_ref().unwrap().kind(), kind, "{id} {what}");
        let log = capture.take();
        // Errors that may be about the token must not let clients fill the log. If no token was ever active, the crate
        // reports once that 401 and 403 may be about the client.
        let level = if kind == misconfigured || matches!(status, 401 | 403) { Level::ERROR } else { Level::DEBUG };
        let event = |target: &str| log.iter().find(|(_, line)| line.starts_with(target)).unwrap();
        let own = log.iter().filter(|(_, line)| line.starts_with("mcp_bearer::introspection"));
        assert_eq!(own.map(|(level, _)| *level).min(), Some(level), "{id} {what}: {log:?}");
        assert!(event("mcp_bearer::rejection").0 <= Level::INFO, "{id} {what}: {log:?}");
        let shown = format!("{:?}{}{log:?}", rejected.headers, rejected.body);
        for secret in ["mcp-server", "s3cret", "unknown", "<html>", TOKEN] {
            assert!(!shown.contains(secret), "{id} {what}: {secret} in {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_is_an_outage_and_opens_the_circuit_breaker() {
    for (id, fault, retry_after) in [
        ("K10", Fault::Status(429), "5"),
        ("K10", Fault::Status(500), "5"),
        ("K10", Fault::Status(503), "5"),
        ("K10", Fault::RetryAfter(Duration::from_secs(20)), "20"),
        ("K10", Fault::RetryAfter(Duration::from_secs(86_400)), "60"),
        ("K10", Fault::Delay(Duration::from_secs(3600)), "5"),
        ("K10", Fault::Drop, "5"),
        ("K10", Fault::Garbage, "5"),
        ("K10", Fault::Oversize, "5"),
    ] {
        let trial = Trial::introspecting(credentials());
        let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").opaque();
        trial.fixture.issuer.fault(Endpoint::Introspection, fault.clone());
        for failures in 1..=5 {
            let start = tokio::time::Instant::now();
            // Each request sends another token, since a single token could be the cause.
            let failing = format!("failing-{failures}");
            let answer = trial.token(id, &format!("{fault:?} {failures}"), &failing, "R503").await;
            assert_eq!(answer.header("retry-after"), Some(retry_after), "{id} {fault:?}");
            assert!(start.elapsed() <= Duration::from_secs(3), "{id} {fault:?}: {:?}", start.elapsed());
        }
        // After five failures in a row, no token is introspected.
        let before = trial.introspections();
        for other in 0..100 {
            trial.token(id, &format!("{fault:?} suspended"), &format!("token-{other}"), "R503").await;
        }
        assert_eq!(trial.introspections(), before, "{id} {fault:?}");
        trial.fixture.issuer.heal();
        tokio::time::advance(Duration::from_secs(60)).await;
        trial.token(id, &format!("{fault:?}, then an answer"), &token, "OK").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_one_token_may_cause_does_not_affect_other_tokens() {
    for (id, status) in [("K10", 400), ("K10", 413), ("K10", 414), ("K10", 422), ("K10", 431)] {
        let trial = Trial::introspecting(credentials());
        trial.fixture.issuer.fault_times(Endpoint::Introspection, Fault::Status(status), 20);
        for number in 0..20 {
            trial.token(id, &status.to_string(), &format!("token-{number}"), "R503").await;
        }
        let valid = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").opaque();
        trial.token(id, &format!("a valid token after {status}"), &valid, "OK").await;
        assert_eq!(trial.introspections(), 21, "{id} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_an_outage() {
    let trial = Trial::introspecting(credentials());
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").opaque();
    trial.fixture.issuer.stop();
    trial.token("K10", "rejected", &token, "R503").await;
    trial.fixture.issuer.restart().unwrap();
    trial.token("K10", "back", &token, "OK").await;
}
