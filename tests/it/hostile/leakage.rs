//! O: secrets that must not appear in a log, in `Debug` output or in a response. Every [`Trial`] also checks the log,
//! at all levels.

use axum::body::Body;
use http::{Request, header};
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{AuthInfo, Issuer};
use serde_json::json;
use tracing::Level;

use super::canned::{Canned, Page};
use super::trial::{Trial, bearer, own_key, with};
use crate::capture::Capture;
use crate::support::{Answer, Credentials, ISSUER, RESOURCE};
use crate::transport;

const SECRET: &str = "correct-horse-battery-stapler-32";

/// The events that this thread has logged since the first [`Trial`].
fn log() -> Vec<(Level, String)> {
    let events = Capture::of_this_thread().take().into_iter();
    events.filter(|(_, line)| line.starts_with("mcp_bearer") || line.starts_with("span mcp_bearer")).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_logged_at_any_level() {
    let valid = json!({"active": true, "sub": "a-subject-of-24-letters", "aud": RESOURCE, "scope": "mcp:tools"});
    for (id, page, verdict) in [
        ("O01", Page::ok(valid.to_string()), "OK"),
        ("O01", Page::ok(with(valid.clone(), json!({"active": false})).to_string()), "R401"),
        ("O01", Page::ok(with(valid.clone(), json!({"scope": "of-another-kind"})).to_string()), "R403"),
        ("O01", Page::ok(with(valid.clone(), json!({"aud": "https://an.other.resource"})).to_string()), "R401"),
        ("O01", Page::ok("<html>a-page-of-somebody-else"), "R503"),
        ("O01", Page::status(401, "the-client-is-unknown-here"), "R503"),
        ("O01", Page::status(500, "a-stack-trace-of-the-server"), "R503"),
    ] {
        let canned = Canned::default();
        let trial = canned.introspecting(ClientCredentials::basic("an-id-of-a-client", SECRET));
        log();
        canned.set(super::canned::INTROSPECT, page);
        trial.token(id, verdict, "an-opaque-token-of-somebody", verdict).await;
        let log = format!("{:?}", log());
        assert!(verdict == "OK" || !log.is_empty(), "{id}");
        for secret in
            [SECRET, "an-id-of-a-client", "opaque-token", "a-subject-of", "a-page-of", "unknown-here", "a-stack-trace"]
        {
            assert!(!log.contains(secret), "{id} {secret}: {log}");
        }
    }
}

#[tokio::test]
async fn debug_output_contains_no_secret() {
    let trial = Trial::warm().await;
    let token = trial.with_payload(with(trial.claims(), json!({"email": "alice@example.com"})).to_string());
    let credentials = ClientCredentials::basic("an-id-of-a-client", SECRET);
    let posted = ClientCredentials::post("an-id-of-a-client", SECRET);
    let introspection = Introspection::new(credentials.clone());
    let issuer = Issuer::discover(ISSUER).introspect_all(introspection.clone());
    let server = &trial.fixture.server;
    let rejected = trial.token("O02", "rejected", &format!("{token}x"), "R401").await;
    let key = std::array::from_fn(|index| SECRET.as_bytes()[index]);
    let mcp = server.mcp_layer(McpScopes::new()).bind_sessions_with_key(&key);
    for (id, printed) in [
        ("O02", format!("{credentials:?} {posted:?}")),
        ("O02", format!("{introspection:?}")),
        ("O02", format!("{issuer:?}")),
        ("O02", format!("{server:?}")),
        ("O02", format!("{:?} {mcp:?}", server.bearer_layer())),
        ("O02", format!("{:?} {}", rejected.rejection, rejected.rejection.as_ref().unwrap())),
        ("O02", format!("{:?}", server.health())),
    ] {
        assert!(!printed.contains(SECRET) && !printed.contains("alice"), "{id} {printed}");
        Credentials::of(&bearer(&token)).assert_not_in(id, &printed);
    }
}

#[tokio::test]
async fn text_from_a_client_cannot_start_a_new_log_line() {
    let trial = Trial::warm().await;
    for (id, kid) in [
        ("O04", "a\r\nmcp_bearer::rejection forged=1".to_owned()),
        ("O04", "\u{1b}[31mred\u{1b}[0m".to_owned()),
        ("O04", "\u{202e}right to left\u{2028}".to_owned()),
        ("O04", "k".repeat(512)),
        ("O04", "\u{7}".repeat(512)),
        ("O04", "k".repeat(65_536)),
    ] {
        log();
        let header = with(trial.header(), json!({"kid": kid}));
        trial.token(id, &kid, &trial.with_header(header.to_string()), "R401").await;
        for (_, line) in log() {
            assert!(line.chars().all(|character| (' '..='~').contains(&character)), "{id} {line:?}");
            assert!(line.len() < 500 && !line.contains(&"k".repeat(65)), "{id} {line:?}");
        }
    }
}

#[tokio::test]
async fn events_contain_only_the_claim_that_was_rejected() {
    // An operator compares the rejected value with the configuration. No event contains another value of a token, except
    // the shortened `kid`.
    let trial = Trial::warm().await;
    for (id, changes, shown) in [
        ("O05", json!({"iss": "https://shown.example.com", "sub": "label-1"}), true),
        ("O05", json!({"sub": "label-2", "aud": "shown"}), true),
        ("O05", json!({"client_id": "label-4", "scope": "label-5", "exp": 1}), false),
        ("O05", json!({"scope": "label-6"}), false),
    ] {
        log();
        let header = json!({"alg": "EdDSA", "kid": trial.fixture.issuer.key_id(), "typ": "at+jwt", "x": "label-7"});
        trial.token(id, "forged", &own_key::sign(&header, &with(trial.claims(), changes.clone())), "R401").await;
        let log = format!("{:?}", log());
        assert!(log.contains("rejection") && !log.contains("label-"), "{id} {log}");
        assert_eq!(log.contains("shown"), shown, "{id} {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn client_credentials_are_marked_as_sensitive() {
    let canned = Canned::default();
    for (id, credentials) in [
        ("O06", ClientCredentials::basic("an-id-of-a-client", SECRET)),
        ("O06", ClientCredentials::bearer(|| SECRET.to_owned())),
    ] {
        let trial = canned.introspecting(credentials);
        trial.token(id, "no such page", "opaque", "R503").await;
        let request = canned.requests().pop().unwrap();
        assert!(request.headers()[header::AUTHORIZATION].is_sensitive(), "{id}");
        assert!(!format!("{:?}", request.headers()).contains(SECRET), "{id}");
    }
}

#[tokio::test]
async fn a_handler_gets_the_claims_but_not_the_token() {
    // This does not compile if `AuthInfo` implements `Serialize`, since then both implementations apply.
    trait Either<A> {
        fn applies() -> bool {
            true
        }
    }
    struct Serialised;
    impl<T> Either<()> for T {}
    impl<T: serde::Serialize> Either<Serialised> for T {}
    assert!(<AuthInfo as Either<_>>::applies());

    let trial = Trial::warm().await;
    let token = trial.fixture.token();
    async fn show(auth: AuthInfo) -> String {
        format!("{auth:?} {:?} {:?}", auth.clone().claims(), auth.identity())
    }
    let app = axum::Router::new().route("/mcp", axum::routing::get(show)).layer(trial.fixture.server.bearer_layer());
    let answer = Answer::of(transport::send(app, bearer(&token)).await).await;
    assert!(answer.body.contains("alice"), "O09");
    Credentials::of(&bearer(&token)).assert_not_in("O09", &answer.body);
}

#[tokio::test(start_paused = true)]
async fn rejections_are_not_cacheable_and_other_responses_are_unchanged() {
    let trial = Trial::warm().await;
    let issuer = &trial.fixture.issuer;
    let token = |scope: &str| issuer.token().audience(RESOURCE).scope(scope).sign();
    // `request` asserts `no-store` on every rejection.
    trial.request("O10", "no token", Request::get("/mcp").body(Body::empty()).unwrap(), "R401N").await;
    trial.token("O10", "an invalid token", "invalid", "R401").await;
    trial.token("O10", "no scope", &token("other"), "R403").await;
    let passed = trial.token("O10", "valid", &token("mcp:tools"), "OK").await;
    assert_eq!(passed.header("cache-control"), None, "O10: the handler decides whether a response may be cached");
    issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let unknown = with(trial.header(), json!({"kid": "unknown"}));
    trial.token("O10", "an outage", &trial.with_header(unknown.to_string()), "R503").await;
}
