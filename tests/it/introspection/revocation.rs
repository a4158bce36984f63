//! JWTs that are verified locally and introspected from time to time (`revocation_check`).

use std::time::Duration;

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::introspection::Introspection;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;
use tokio::time::advance;

use super::stub::{ENDPOINT, Page, Stub, active};
use super::{Fixture, auth_info, credentials};
use crate::support::{App, ISSUER, RESOURCE, quiet};

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

async fn checking_every(interval: Duration) -> Fixture {
    Fixture::with(|issuer| issuer.introspect_opaque(credentials()).revocation_check(interval)).await
}

fn jwt(issuer: &TestIssuer) -> String {
    let lifetime = Duration::from_secs(3 * 3600);
    issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(lifetime).sign()
}

#[tokio::test(start_paused = true)]
async fn revocation_check_introspects_only_valid_jwts() {
    let fixture = checking_every(MINUTE).await;
    let (app, issuer) = (fixture.app(), &fixture.issuer);
    let valid = || issuer.token().audience(RESOURCE).scope("mcp:tools");
    let (signed, other) = (valid().sign(), valid().subject("bob").sign());
    let (rest, signature) = (signed.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    for token in [
        format!("{rest}.{signature}"),
        valid().expired().sign(),
        valid().header("alg", "none").sign(),
        valid().header("typ", "logout+jwt").sign(),
        valid().claim("iss", "https://evil.example.com").sign(),
        valid().claim("cnf", json!({ "jkt": "x" })).sign(),
        issuer.token().audience("https://other.example.com").sign(),
        valid().header("kid", "other").sign(),
    ] {
        issuer.introspection_answer(&token, active());
        assert_eq!(app.with_token(&token).await.verdict(), "R401");
    }
    assert_eq!(fixture.introspections(), 0);
    assert_eq!((app.with_token(&signed).await.verdict().as_str(), fixture.introspections()), ("OK", 1));
}

#[tokio::test(start_paused = true)]
async fn revocation_check_introspects_once_per_interval() {
    // The time of the positive cache for opaque tokens has no effect here.
    for (interval, positive) in [(1, 30), (60, 30), (3600, 0), (10, 300)] {
        let introspection = Introspection::new(credentials()).positive_cache(Duration::from_secs(positive));
        let interval = Duration::from_secs(interval);
        let fixture = Fixture::with(|issuer| issuer.introspect_opaque(introspection).revocation_check(interval)).await;
        let (app, token) = (fixture.app(), jwt(&fixture.issuer));
        for requests in 1..=2 {
            for _ in 0..5 {
                assert_eq!(
                    (app.with_token(&token).await.verdict().as_str(), fixture.introspections()),
                    ("OK", requests)
                );
            }
            advance(interval - MILLISECOND).await;
            assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", requests));
            advance(MILLISECOND).await;
        }
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", 3));
        fixture.issuer.revoke(&token);
        advance(interval - MILLISECOND).await;
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        advance(MILLISECOND).await;
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("R401", 4));
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("R401", 4));
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_check_runs_at_once_after_forget() {
    let fixture = checking_every(MINUTE).await;
    let (app, token) = (fixture.app(), jwt(&fixture.issuer));
    assert_eq!(app.with_token(&token).await.verdict(), "OK");
    fixture.issuer.revoke(&token);
    fixture.server.forget(&token);
    assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("R401", 2));
}

#[tokio::test(start_paused = true)]
async fn revocation_check_during_an_outage_is_503_after_the_interval() {
    for fault in [Fault::Status(500), Fault::Status(401), Fault::Html, Fault::Delay(Duration::from_secs(60))] {
        let fixture = checking_every(MINUTE).await;
        let (app, known, unknown) = (fixture.app(), jwt(&fixture.issuer), jwt(&fixture.issuer));
        assert_eq!(app.with_token(&known).await.verdict(), "OK");
        fixture.issuer.fault(Endpoint::Introspection, fault);
        let answer = app.with_token(&unknown).await;
        assert_eq!((answer.verdict().as_str(), answer.header("retry-after")), ("R503", Some("5")));
        assert_eq!(app.with_token(&known).await.verdict(), "OK");
        advance(MINUTE).await;
        assert_eq!(app.with_token(&known).await.verdict(), "R503");
        fixture.issuer.heal();
        assert_eq!(app.with_token(&known).await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_check_may_use_a_stale_response_if_configured() {
    let introspection = Introspection::new(credentials()).stale_on_error(Duration::from_secs(20));
    let fixture = Fixture::with(|issuer| issuer.introspect_opaque(introspection).revocation_check(MINUTE)).await;
    let (app, token) = (fixture.app(), jwt(&fixture.issuer));
    assert_eq!(app.with_token(&token).await.verdict(), "OK");
    fixture.issuer.fault(Endpoint::Introspection, Fault::Status(500));
    advance(Duration::from_secs(80) - MILLISECOND).await;
    assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", 2));
    advance(MILLISECOND).await;
    assert_eq!(app.with_token(&token).await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn revocation_check_at_a_server_that_introspects_no_jwts_is_a_misconfiguration() {
    let (issuer, clock) = (TestIssuer::new(ISSUER), TestClock::new());
    let stub = Stub::with_page(Page::status(400).body(r#"{"error":"unsupported_token_type"}"#));
    let keys = JwkSet::from_json(issuer.jwk_set().to_string()).unwrap();
    let configured = Issuer::with_jwks(ISSUER, keys).introspect_opaque(credentials()).revocation_check(MINUTE);
    let configured = configured.introspection_endpoint(ENDPOINT).http_client(stub.clone());
    let server = quiet(ResourceServer::builder(RESOURCE).issuer(configured).clock(clock.clone()));
    let app = App::new(server.bearer_layer());
    let capture = crate::capture::Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let token = issuer.token().audience(RESOURCE).expires_at(1_800_000_300).claim("iat", 1_800_000_000_u64).sign();
    let answer = app.with_token(&token).await;
    assert_eq!((answer.verdict().as_str(), stub.introspections()), ("R503", 1));
    assert_eq!(answer.rejection.unwrap().kind(), RejectionKind::Misconfigured);
    let log = capture.take();
    assert!(
        log.iter().any(|(level, line)| *level == tracing::Level::ERROR && line.contains("`revocation_check`")),
        "{log:?}"
    );
    // The token is not invalid, and the endpoint has not failed.
    assert!(server.health().is_ready());
    stub.set_page(Page::json(&active()));
    assert_eq!(app.with_token("opaque").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn revocation_check_runs_after_the_keys_are_fetched() {
    let (issuer, clock) = super::issuer(ISSUER);
    let configured = issuer.issuer().introspect_opaque(credentials()).revocation_check(MINUTE);
    let server = quiet(ResourceServer::builder(RESOURCE).issuer(configured).clock(clock));
    let app = App::new(server.bearer_layer());
    let (valid, revoked) = (jwt(&issuer), jwt(&issuer));
    issuer.revoke(&revoked);
    let tokens = [valid.as_str(), &revoked, &valid, &revoked];
    let verdicts: Vec<_> = super::all(&app, &tokens).await.iter().map(super::Answer::verdict).collect();
    assert_eq!(verdicts, ["OK", "R401", "OK", "R401"]);
    assert_eq!((issuer.requests(Endpoint::KeySet), issuer.requests(Endpoint::Introspection)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn revocation_check_ignores_the_claims_of_the_response() {
    let fixture = checking_every(MINUTE).await;
    let token = jwt(&fixture.issuer);
    let mut answer = active();
    for (name, value) in [("sub", json!("root")), ("scope", json!("admin")), ("aud", json!("other")), ("exp", json!(1))]
    {
        answer[name] = value;
    }
    fixture.issuer.introspection_answer(&token, answer);
    let auth = auth_info(&fixture.server, &token).await.unwrap();
    assert_eq!((auth.subject(), auth.has_scope("mcp:tools"), auth.has_scope("admin")), (Some("alice"), true, false));
}

#[tokio::test(start_paused = true)]
async fn revocation_check_leaves_opaque_tokens_to_the_positive_cache() {
    let fixture = checking_every(Duration::from_secs(3600)).await;
    let (app, token) = (fixture.app(), fixture.token());
    for requests in 1..=3 {
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", requests));
        advance(Duration::from_secs(30)).await;
    }
}
