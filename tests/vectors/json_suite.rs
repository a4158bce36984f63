//! JSONTestSuite, fed to every parser that reads JSON. Files named `y_` are JSON, files named `n_` are not, and a
//! parser may accept or reject files named `i_`.
//!
//! A file of the suite alone is never a document that a parser expects, so every parser rejects it. The suite also puts
//! each file into a valid document, as the value of an unknown member. Such a document is accepted if the file is JSON,
//! and rejected if it is not. The unknown member is first in one document and last in another.

use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::JwkSet;
use serde_json::{Value, json};

use crate::canned::{Canned, INTROSPECT, KEYS, Page};
use crate::collection;
use crate::ledger::{Counts, Ledger, Outcome};
use crate::support::{ISSUER, RESOURCE};
use crate::trial::{Trial, assert_rejection, credentials};

#[tokio::test]
async fn token_headers_are_strict_json() {
    let trial = Trial::warm().await;
    let header = async |what: &str, header: &[u8]| send_without_fetch(&trial, what, &trial.with_header(header)).await;
    suite("jsontestsuite/header", &trial.header(), 2, header).await;
}

#[tokio::test]
async fn claims_are_strict_json() {
    let trial = Trial::warm().await;
    let claims = async |what: &str, claims: &[u8]| send_without_fetch(&trial, what, &trial.with_payload(claims)).await;
    suite("jsontestsuite/claims", &trial.claims(), 2, claims).await;
}

#[tokio::test]
async fn key_sets_are_strict_json() {
    // All servers of this test accept the key of this issuer, and each starts with empty caches.
    let other = Trial::cold();
    let valid = other.fixture.issuer.jwk_set();
    let key_set = async |what: &str, document: &[u8]| {
        let canned = Canned::default();
        canned.set(KEYS, Page::ok(document));
        let outcome = send(&canned.trial(), what, &other.fixture.token(), "R503").await;
        assert_eq!(JwkSet::from_json(document).is_ok(), outcome == Outcome::Accepted, "{what}");
        outcome
    };
    suite("jsontestsuite/key_set", &valid, 0, key_set).await;
}

#[tokio::test]
async fn each_key_of_a_set_is_strict_json() {
    let valid = Trial::cold().fixture.issuer.jwk_set()["keys"][0].clone();
    let key = async |_: &str, key: &[u8]| {
        Outcome::accepted_if(JwkSet::from_json([b"{\"keys\":[", key, b"]}"].concat()).is_ok())
    };
    suite("jsontestsuite/key", &valid, 2, key).await;
}

#[tokio::test]
async fn metadata_documents_are_strict_json() {
    let other = Trial::cold();
    let keys = other.fixture.issuer.jwk_set().to_string();
    let metadata = async |what: &str, document: &[u8]| {
        let canned = Canned::default();
        canned.set(KEYS, Page::ok(keys.as_str()));
        canned.set(&format!("{ISSUER}/.well-known/oauth-authorization-server"), Page::ok(document));
        let outcome = send(&canned.discovering(), what, &other.fixture.token(), "R503").await;
        let read = AuthorizationServerMetadata::from_json(document).is_ok();
        assert_eq!(read, outcome == Outcome::Accepted, "{what}");
        outcome
    };
    suite("jsontestsuite/metadata", &json!({"issuer": ISSUER, "jwks_uri": KEYS}), 2, metadata).await;
}

#[tokio::test]
async fn introspection_responses_are_strict_json() {
    let answer = async |what: &str, document: &[u8]| {
        let canned = Canned::default();
        canned.set(INTROSPECT, Page::ok(document));
        send(&canned.introspecting(credentials()), what, "2YotnFZFEjr1zCsicMWpAA", "R503").await
    };
    let active = json!({"active": true, "sub": "alice", "aud": RESOURCE, "scope": "mcp:tools"});
    suite("jsontestsuite/introspection", &active, 2, answer).await;
}

/// Feeds the whole suite to a parser that accepts documents such as `valid`.
async fn suite(set: &'static str, valid: &Value, exceptions: usize, parse: impl AsyncFn(&str, &[u8]) -> Outcome) {
    let Some(files) = collection::files("jsontestsuite") else { return };
    let valid = valid.to_string();
    let members = valid.strip_prefix('{').unwrap().strip_suffix('}').unwrap().as_bytes();
    assert_eq!(parse(set, valid.as_bytes()).await, Outcome::Accepted, "{set}: a valid document is accepted");
    let mut ledger = Ledger::open(set);
    for (name, bytes) in &files {
        let what = format!("{set} {name}");
        assert_eq!(parse(&format!("{what} alone"), bytes).await, Outcome::Rejected, "{what} alone");
        let first = [b"{\"vector\":", bytes.as_slice(), b",", members, b"}"].concat();
        let last = [b"{", members, b",\"vector\":", bytes.as_slice(), b"}"].concat();
        let ours = parse(&format!("{what} first"), &first).await;
        assert_eq!(parse(&format!("{what} last"), &last).await, ours, "{what}: first and last");
        let published = match name.get(..2) {
            Some("y_") => "valid",
            Some("n_") => "invalid",
            Some("i_") => "acceptable",
            _ => panic!("{what}"),
        };
        ledger.record(name, published, ours);
    }
    assert_eq!(ledger.close(), Counts { cases: 318, exceptions, unsupported: 0 });
}

/// Sends a token, valid or invalid, that must not cause a request to the issuer.
async fn send_without_fetch(trial: &Trial, what: &str, token: &str) -> Outcome {
    let before = trial.requests();
    let outcome = send(trial, what, token, "R401").await;
    assert_eq!(trial.requests(), before, "{what}: the token caused a request");
    outcome
}

/// Sends a token that must either be accepted or be rejected with the given verdict.
async fn send(trial: &Trial, what: &str, token: &str, rejected: &str) -> Outcome {
    let reached = trial.app.reached();
    let answer = trial.app.with_token(token).await;
    let verdict = answer.verdict();
    assert!(verdict == "OK" || verdict == rejected, "{what}: {answer:?}");
    let outcome = Outcome::accepted_if(verdict == "OK");
    assert_eq!(trial.app.reached() - reached, usize::from(outcome == Outcome::Accepted), "{what}: the handler");
    if outcome == Outcome::Rejected {
        assert_rejection(&answer, false, what);
    }
    outcome
}
