//! Explanations: the checks of a request, without its traces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mcp_bearer::events::Event;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::verify::{CheckOutcome, TokenCheck};
use mcp_bearer::{RejectionKind, ResourceServer};
use serde_json::json;

use crate::capture::Capture;
use crate::support::{App, Fixture, ISSUER, RESOURCE};

fn credentials() -> ClientCredentials {
    ClientCredentials::basic("rs", "secret")
}

fn introspecting() -> TestIssuer {
    TestIssuer::builder(ISSUER).introspection_client("rs", "secret").build()
}

#[tokio::test(start_paused = true)]
async fn an_explanation_names_the_check_that_a_request_fails() {
    let fixture = Fixture::new().await;
    let app = App::new(fixture.server.bearer_layer());
    let valid = || fixture.issuer.token().audience(RESOURCE);
    let signed = valid().sign();
    let (rest, _) = signed.rsplit_once('.').unwrap();
    for (token, check, cause, text) in [
        ("A".repeat(20_000), TokenCheck::Length, "too_long", "the token has 20000 bytes"),
        ("opaque-1".to_owned(), TokenCheck::CompactForm, "not_jwt", "`Issuer::introspect_opaque`"),
        // An opaque token of Ory Hydra has a dot.
        ("ory_at_opaque.1".to_owned(), TokenCheck::CompactForm, "not_jwt", "`Issuer::introspect_opaque`"),
        ("a.b.c".to_owned(), TokenCheck::CompactForm, "malformed", "not a JWT in compact form"),
        (rest.to_owned(), TokenCheck::CompactForm, "malformed", "unchanged and complete"),
        (valid().header("alg", "HS256").sign(), TokenCheck::Header, "algorithm", "found \"HS256\""),
        (valid().header("typ", "logout+jwt").sign(), TokenCheck::Header, "token_type", "found \"logout+jwt\""),
        (valid().claim("exp", "1").sign(), TokenCheck::Claims, "claims", "the claim \"exp\""),
        (valid().claim("iss", "https://other").sign(), TokenCheck::Issuer, "issuer", "found \"https://other\""),
        (
            valid().claim("aud", "other").sign(),
            TokenCheck::Audience,
            "audience",
            "expected \"https://mcp.example.com/mcp\"",
        ),
        (valid().without("aud").sign(), TokenCheck::Audience, "no_audience", "no audience"),
        (valid().expired().sign(), TokenCheck::Times, "expired", "ago"),
        (valid().without("exp").sign(), TokenCheck::Times, "no_expiry", "`exp`"),
        (valid().claim("cnf", json!({"jkt": "x"})).sign(), TokenCheck::TokenKind, "sender_constrained", "RFC 9449"),
        (valid().header("kid", "other").sign(), TokenCheck::Key, "unknown_key", "`kid`"),
        (format!("{rest}.AAAA"), TokenCheck::Signature, "signature", "invalid signature"),
    ] {
        let explanation = fixture.server.explain(&token).await;
        assert!(!explanation.is_accepted(), "{cause}");
        let failed = explanation.failed().unwrap();
        assert_eq!((failed.check(), failed.cause()), (check, Some(cause)), "{explanation}");
        let summary = failed.summary().unwrap();
        let printed = explanation.to_string();
        assert!(printed.contains(text), "{text} in {printed}");
        for known in [Some(summary), failed.detail()].into_iter().flatten() {
            assert!(printed.contains(known), "{known} in {printed}");
        }
        assert!(!printed.contains(&token) && failed.advice().is_some(), "{printed}");
        // All checks before it passed, except those that do not apply; no check after it was reached.
        let position = explanation.checks().iter().position(|other| other.check() == check).unwrap();
        for (index, other) in explanation.checks().iter().enumerate() {
            let expected = match index.cmp(&position) {
                std::cmp::Ordering::Less if other.check() != TokenCheck::Delegated => CheckOutcome::Passed,
                std::cmp::Ordering::Equal => CheckOutcome::Failed,
                _ => CheckOutcome::NotReached,
            };
            assert_eq!(other.outcome(), expected, "{cause}: {explanation}");
        }
        // A request with the token is rejected for the same cause.
        match app.with_token(&token).await.rejection.unwrap().kind() {
            RejectionKind::InvalidToken(failure) => assert_eq!(failure.label(), cause),
            other => panic!("{cause}: {other:?}"),
        }
    }
    // With and without a cached result, a valid token passes every check that applies.
    for _ in 0..2 {
        let explanation = fixture.server.explain(&signed).await;
        assert!(explanation.is_accepted() && explanation.failed().is_none(), "{explanation}");
        assert_eq!(explanation.issuer(), Some(ISSUER));
        for check in explanation.checks() {
            use TokenCheck::{Delegated, Revocation, RevocationList};
            let is_needed = !matches!(check.check(), Delegated | Revocation | RevocationList);
            let expected = if is_needed { CheckOutcome::Passed } else { CheckOutcome::NotNeeded };
            assert_eq!(check.outcome(), expected, "{explanation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_introspected_token_is_explained() {
    let issuer = introspecting();
    let server = ResourceServer::builder(RESOURCE)
        .issuer(issuer.issuer().introspect_opaque(credentials()))
        .build()
        .await
        .unwrap();
    for (token, claims, expected) in [
        ("active", json!({"active": true, "aud": RESOURCE}), None),
        ("inactive", json!({"active": false}), Some((TokenCheck::Delegated, "inactive"))),
        ("other", json!({"active": true, "aud": "other"}), Some((TokenCheck::Audience, "audience"))),
        (
            "foreign",
            json!({"active": true, "aud": RESOURCE, "iss": "https://other"}),
            Some((TokenCheck::Issuer, "issuer")),
        ),
    ] {
        issuer.introspection_answer(token, claims);
        let explanation = server.explain(token).await;
        let failed = explanation.failed().map(|failed| (failed.check(), failed.cause().unwrap()));
        assert_eq!(failed, expected, "{explanation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_leaves_a_check_undecided() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let explanation = fixture.server.explain(&fixture.token()).await;
    let failed = explanation.failed().unwrap();
    assert_eq!((failed.check(), failed.outcome()), (TokenCheck::Key, CheckOutcome::Undecided), "{explanation}");
    assert!(explanation.to_string().contains("status 500"), "{explanation}");
    assert!(failed.detail().unwrap().contains("status 500"), "{explanation}");
}

#[tokio::test(start_paused = true)]
async fn an_explanation_leaves_no_trace() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let (issuer, events) = (introspecting(), Arc::new(AtomicUsize::new(0)));
    let observed = Arc::clone(&events);
    let server = ResourceServer::builder(RESOURCE)
        .issuer(issuer.issuer().introspect_opaque(credentials()))
        .observer(move |_: &Event<'_>| _ = observed.fetch_add(1, Ordering::SeqCst))
        .build()
        .await
        .unwrap();
    let valid = issuer.token().audience(RESOURCE).sign();
    issuer.introspection_answer("opaque", json!({"active": true, "aud": RESOURCE}));
    issuer.introspection_answer("gone", json!({"active": false}));
    capture.take();
    let before = events.swap(0, Ordering::SeqCst);
    assert!(before > 0);
    for _ in 0..2 {
        for token in [&valid, "opaque", "gone", "a.b.c", &issuer.token().audience("other").sign()] {
            server.explain(token).await;
        }
    }
    assert_eq!(events.load(Ordering::SeqCst), 0);
    let lines: Vec<_> = capture.take().into_iter().filter(|(_, line)| line.starts_with("mcp_bearer")).collect();
    assert!(lines.is_empty(), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_remembered_by_an_explanation() {
    // An unknown key that is published a moment later. After a request, the key is not fetched again for a while.
    for (explained, verdict) in [(true, "OK"), (false, "R401")] {
        let fixture = Fixture::new().await;
        let app = App::new(fixture.server.bearer_layer());
        let new = fixture.issuer.add_key(Algorithm::ES256);
        let published = fixture.issuer.jwk_set();
        let token = fixture.issuer.token().audience(RESOURCE).key(&new).sign();
        let without_new = json!({"keys": [published["keys"][0]]});
        fixture.issuer.publish_key_set(without_new);
        if explained {
            assert_eq!(fixture.server.explain(&token).await.failed().unwrap().check(), TokenCheck::Key);
        } else {
            assert_eq!(app.with_token(&token).await.verdict(), "R401");
        }
        fixture.issuer.publish_key_set(published);
        assert_eq!(app.with_token(&token).await.verdict(), verdict, "explained: {explained}");
    }
    // An opaque token that is inactive and becomes active. After a request, the result is cached.
    for (explained, verdict) in [(true, "OK"), (false, "R401")] {
        let issuer = introspecting();
        let configured = issuer.issuer().introspect_opaque(credentials());
        let server = ResourceServer::builder(RESOURCE).issuer(configured).build().await.unwrap();
        let app = App::new(server.bearer_layer());
        issuer.introspection_answer("opaque", json!({"active": false}));
        if explained {
            assert!(!server.explain("opaque").await.is_accepted());
        } else {
            assert_eq!(app.with_token("opaque").await.verdict(), "R401");
        }
        issuer.introspection_answer("opaque", json!({"active": true, "aud": RESOURCE}));
        assert_eq!(app.with_token("opaque").await.verdict(), verdict, "explained: {explained}");
        // An explanation uses the result that a request has cached.
        let sent = issuer.requests(Endpoint::Introspection);
        server.explain("opaque").await;
        assert_eq!(issuer.requests(Endpoint::Introspection), sent);
    }
}

#[tokio::test(start_paused = true)]
async fn an_explanation_is_serialised_for_machines() {
    let fixture = Fixture::new().await;
    let token = fixture.issuer.token().claim("aud", "other").sign();
    let explanation = serde_json::to_value(fixture.server.explain(&token).await).unwrap();
    assert_eq!(explanation["accepted"], false);
    assert_eq!(explanation["issuer"], ISSUER);
    assert_eq!(explanation["checks"][0], json!({"check": "length", "outcome": "passed"}));
    let failed = explanation["checks"].as_array().unwrap().iter().find(|check| check["outcome"] == "failed").unwrap();
    assert_eq!(
        *failed,
        json!({
            "check": "audience",
            "outcome": "failed",
            "cause": "audience",
            "summary": "audience mismatch",
            "expected": RESOURCE,
            "found": "other",
            "detail": null,
            "advice": mcp_bearer::verify::CheckFailure::Audience.advice(),
        })
    );
}
