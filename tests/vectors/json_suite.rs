//! JSONTestSuite behind every door that reads JSON: `y_` is JSON, `n_` is not, `i_` may be taken for either.
//!
//! A file by itself is never what the door is for, so it is refused there whatever it is. As the value of a member that nobody
//! reads, first or last in a document that is good otherwise, it is refused if it is no JSON, and taken if it is.

use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::JwkSet;
use serde_json::{Value, json};

use crate::canned::{Canned, INTROSPECT, KEYS, Page};
use crate::collection;
use crate::ledger::{Counts, Ledger, Outcome};
use crate::support::{ISSUER, RESOURCE};
use crate::trial::{Trial, assert_refusal, credentials};

#[tokio::test]
async fn token_headers() {
    let trial = Trial::warm().await;
    let header = async |what: &str, header: &[u8]| unasked(&trial, what, &trial.with_header(header)).await;
    suite("jsontestsuite/header", &trial.header(), 2, header).await;
}

#[tokio::test]
async fn claims() {
    let trial = Trial::warm().await;
    let claims = async |what: &str, claims: &[u8]| unasked(&trial, what, &trial.with_payload(claims)).await;
    suite("jsontestsuite/claims", &trial.claims(), 2, claims).await;
}

#[tokio::test]
async fn key_sets() {
    // All servers of this test know the key of this one, and have no memory of their own.
    let other = Trial::cold();
    let good = other.fixture.issuer.jwk_set();
    let key_set = async |what: &str, document: &[u8]| {
        let canned = Canned::default();
        canned.set(KEYS, Page::ok(document));
        let outcome = sent(&canned.trial(), what, &other.fixture.token(), "R503").await;
        assert_eq!(JwkSet::from_json(document).is_ok(), outcome == Outcome::Accepted, "{what}");
        outcome
    };
    suite("jsontestsuite/key_set", &good, 0, key_set).await;
}

#[tokio::test]
async fn keys_of_a_set() {
    let good = Trial::cold().fixture.issuer.jwk_set()["keys"][0].clone();
    let key = async |_: &str, key: &[u8]| {
        Outcome::accepted_if(JwkSet::from_json([b"{\"keys\":[", key, b"]}"].concat()).is_ok())
    };
    suite("jsontestsuite/key", &good, 2, key).await;
}

#[tokio::test]
async fn metadata() {
    let other = Trial::cold();
    let keys = other.fixture.issuer.jwk_set().to_string();
    let metadata = async |what: &str, document: &[u8]| {
        let canned = Canned::default();
        canned.set(KEYS, Page::ok(keys.as_str()));
        canned.set(&format!("{ISSUER}/.well-known/oauth-authorization-server"), Page::ok(document));
        let outcome = sent(&canned.discovering(), what, &other.fixture.token(), "R503").await;
        let read = AuthorizationServerMetadata::from_json(document).is_ok();
        assert_eq!(read, outcome == Outcome::Accepted, "{what}");
        outcome
    };
    suite("jsontestsuite/metadata", &json!({"issuer": ISSUER, "jwks_uri": KEYS}), 2, metadata).await;
}

#[tokio::test]
async fn introspection_answers() {
    let answer = async |what: &str, document: &[u8]| {
        let canned = Canned::default();
        canned.set(INTROSPECT, Page::ok(document));
        sent(&canned.introspecting(credentials()), what, "2YotnFZFEjr1zCsicMWpAA", "R503").await
    };
    let active = json!({"active": true, "sub": "alice", "aud": RESOURCE, "scope": "mcp:tools"});
    suite("jsontestsuite/introspection", &active, 2, answer).await;
}

/// Feeds the whole suite to a door, which takes documents such as `good`.
async fn suite(set: &'static str, good: &Value, exceptions: usize, door: impl AsyncFn(&str, &[u8]) -> Outcome) {
    let Some(files) = collection::files("jsontestsuite") else { return };
    let good = good.to_string();
    let members = good.strip_prefix('{').unwrap().strip_suffix('}').unwrap().as_bytes();
    assert_eq!(door(set, good.as_bytes()).await, Outcome::Accepted, "{set}: a good document");
    let mut ledger = Ledger::open(set);
    for (name, bytes) in &files {
        let what = format!("{set} {name}");
        assert_eq!(door(&format!("{what} alone"), bytes).await, Outcome::Refused, "{what} alone");
        let first = [b"{\"vector\":", bytes.as_slice(), b",", members, b"}"].concat();
        let last = [b"{", members, b",\"vector\":", bytes.as_slice(), b"}"].concat();
        let ours = door(&format!("{what} first"), &first).await;
        assert_eq!(door(&format!("{what} last"), &last).await, ours, "{what}: first and last");
        let published = match name.get(..2) {
            Some("y_") => "valid",
            Some("n_") => "invalid",
            Some("i_") => "acceptable",
            _ => panic!("{what}"),
        };
        ledger.enter(name, published, ours);
    }
    assert_eq!(ledger.close(), Counts { cases: 318, exceptions, unsupported: 0 });
}

/// Sends a token that must not cause a request, good or bad.
async fn unasked(trial: &Trial, what: &str, token: &str) -> Outcome {
    let before = trial.requests();
    let outcome = sent(trial, what, token, "R401").await;
    assert_eq!(trial.requests(), before, "{what}: the token caused a request");
    outcome
}

/// Sends a token that passes or is refused as this, and in no other way.
async fn sent(trial: &Trial, what: &str, token: &str, refused: &str) -> Outcome {
    let reached = trial.app.reached();
    let answer = trial.app.with_token(token).await;
    let verdict = answer.verdict();
    assert!(verdict == "OK" || verdict == refused, "{what}: {answer:?}");
    let outcome = Outcome::accepted_if(verdict == "OK");
    assert_eq!(trial.app.reached() - reached, usize::from(outcome == Outcome::Accepted), "{what}: the handler");
    if outcome == Outcome::Refused {
        assert_refusal(&answer, what);
    }
    outcome
}
