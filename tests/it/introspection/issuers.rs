//! Several issuers of one server: each token is sent to at most one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mcp_bearer::testing::{Endpoint, TestClock, TestIssuer};
use mcp_bearer::{BuildErrorKind, ResourceServer};
use serde_json::{Value, json};

use super::stub::active;
use super::{auth_info, credentials, issuer};
use crate::support::{App, RESOURCE, quiet};

const ACME: &str = "https://acme.example.com";
const INITECH: &str = "https://initech.example.com";

/// Two issuers whose tokens are introspected, and a server with a route for opaque tokens.
struct TwoIssuers {
    acme: TestIssuer,
    initech: TestIssuer,
    server: ResourceServer,
}

impl TwoIssuers {
    fn routed(route: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        let ((acme, clock), (initech, _)) = (issuer(ACME), issuer(INITECH));
        let builder = ResourceServer::builder(RESOURCE).clock(clock).route_opaque(route);
        let builder = builder.issuer(acme.issuer().introspect_all(credentials()));
        let server = quiet(builder.issuer(initech.issuer().introspect_all(credentials())));
        Self { acme, initech, server }
    }

    fn routed_by_prefix() -> Self {
        Self::routed(|token| match token.split('_').next() {
            Some("acme") => Some(ACME),
            Some("initech") => Some(INITECH),
            Some("slash") => Some("https://acme.example.com/"),
            Some("unknown") => Some("https://evil.example.com"),
            _ => None,
        })
    }

    /// The numbers of introspection requests that both issuers received.
    fn introspections(&self) -> (usize, usize) {
        (self.acme.requests(Endpoint::Introspection), self.initech.requests(Endpoint::Introspection))
    }

    /// Both issuers report the token as active.
    fn report_active(&self, token: &str, answer: &Value) {
        for issuer in [&self.acme, &self.initech] {
            issuer.introspection_answer(token, answer.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_issuers_with_opaque_tokens_need_a_route() {
    let (acme, initech) = (TestIssuer::new(ACME), TestIssuer::new(INITECH));
    let builder = ResourceServer::builder(RESOURCE).issuer(acme.issuer().introspect_all(credentials()));
    let error = builder.issuer(initech.issuer().introspect_opaque(credentials())).build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Issuer);
    assert!(error.to_string().contains("`route_opaque`"), "{error}");
    assert_eq!((acme.total_requests(), initech.total_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_opaque_token_is_introspected_only_at_the_issuer_of_its_route() {
    let issuers = TwoIssuers::routed_by_prefix();
    let app = App::new(issuers.server.bearer_layer());
    for (token, expected, requests) in [
        ("acme_1", "OK", (1, 0)),
        ("initech_1", "OK", (0, 1)),
        ("acme_2.with.dots", "OK", (1, 0)),
        ("initech_a.b.c.d.e", "OK", (0, 1)),
        ("nobodys_1", "R401", (0, 0)),
        // A route to an unknown issuer is a configuration mistake, so the response is 503.
        ("unknown_1", "R503", (0, 0)),
        ("slash_1", "R503", (0, 0)),
    ] {
        // Both issuers would report the token as active.
        issuers.report_active(token, &active());
        let before = issuers.introspections();
        assert_eq!(app.with_token(token).await.verdict(), expected, "{token}");
        let after = issuers.introspections();
        assert_eq!((after.0 - before.0, after.1 - before.1), requests, "{token}");
    }
    // A token that its own issuer does not know is not sent to the other issuer.
    issuers.initech.introspection_answer("acme_3", active());
    let before = issuers.introspections();
    assert_eq!(app.with_token("acme_3").await.verdict(), "R401");
    assert_eq!(issuers.introspections(), (before.0 + 1, before.1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_one_issuer_does_not_send_its_tokens_to_the_other() {
    let issuers = TwoIssuers::routed_by_prefix();
    let app = App::new(issuers.server.bearer_layer());
    issuers.report_active("acme_1", &active());
    issuers.report_active("initech_1", &active());
    issuers.acme.stop();
    assert_eq!(app.with_token("acme_1").await.verdict(), "R503");
    assert_eq!(app.with_token("initech_1").await.verdict(), "OK");
    assert_eq!(issuers.introspections(), (0, 1));
    let health = issuers.server.health();
    let ready: Vec<bool> = health.issuers().iter().map(mcp_bearer::server::IssuerHealth::is_ready).collect();
    assert_eq!((ready, health.is_ready()), (vec![false, true], false));
}

#[tokio::test(start_paused = true)]
async fn a_jwt_is_introspected_at_its_issuer_and_never_routed() {
    let routed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&routed);
    let issuers = TwoIssuers::routed(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(ACME)
    });
    let app = App::new(issuers.server.bearer_layer());
    let of = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).sign();
    let unknown = TestIssuer::new("https://evil.example.com");
    assert_eq!((app.with_token(&of(&issuers.acme)).await.verdict().as_str(), issuers.introspections()), ("OK", (1, 0)));
    assert_eq!(
        (app.with_token(&of(&issuers.initech)).await.verdict().as_str(), issuers.introspections()),
        ("OK", (1, 1))
    );
    assert_eq!((app.with_token(&of(&unknown)).await.verdict().as_str(), issuers.introspections()), ("R401", (1, 1)));
    // One issuer signs in the name of the other. The issuer in `iss` is asked, and it does not know the token.
    let forged = issuers.acme.token().claim("iss", INITECH).audience(RESOURCE).sign();
    assert_eq!((app.with_token(&forged).await.verdict().as_str(), issuers.introspections()), ("R401", (1, 2)));
    assert_eq!(routed.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn introspection_at_one_issuer_does_not_affect_jwts_of_another() {
    let ((acme, clock), (initech, _)) = (issuer(ACME), issuer(INITECH));
    let builder = ResourceServer::builder(RESOURCE).clock(clock).issuer(acme.issuer());
    let builder = builder.issuer(initech.issuer().introspect_all(credentials()));
    let server = quiet(builder);
    let app = App::new(server.bearer_layer());
    let introspections = || (acme.requests(Endpoint::Introspection), initech.requests(Endpoint::Introspection));
    let valid = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).sign();
    assert_eq!((app.with_token(&valid(&acme)).await.verdict().as_str(), introspections()), ("OK", (0, 0)));
    assert_eq!((app.with_token(&valid(&initech)).await.verdict().as_str(), introspections()), ("OK", (0, 1)));
    let opaque = initech.token().audience(RESOURCE).opaque();
    assert_eq!((app.with_token(&opaque).await.verdict().as_str(), introspections()), ("OK", (0, 2)));
    let opaque = acme.token().audience(RESOURCE).opaque();
    assert_eq!((app.with_token(&opaque).await.verdict().as_str(), introspections()), ("R401", (0, 3)));
    // The other issuer has a key set, so the usual rules for JWTs apply to its tokens.
    let odd = acme.token().audience(RESOURCE).header("alg", "x-own").sign();
    assert_eq!((app.with_token(&odd).await.verdict().as_str(), introspections()), ("R401", (0, 3)));
}

#[tokio::test(start_paused = true)]
async fn a_response_with_the_iss_of_another_issuer_is_rejected() {
    let issuers = TwoIssuers::routed_by_prefix();
    let app = App::new(issuers.server.bearer_layer());
    for (token, named, expected) in [
        ("acme_1", ACME, "OK"),
        ("acme_2", INITECH, "R401"),
        ("acme_3", "https://evil.example.com", "R401"),
        ("initech_1", INITECH, "OK"),
        ("initech_2", ACME, "R401"),
    ] {
        let mut answer = active();
        answer["iss"] = named.into();
        issuers.report_active(token, &answer);
        assert_eq!(app.with_token(token).await.verdict(), expected, "{token}");
    }
    // The `iss` of a response must also be the issuer of the JWT.
    let token = issuers.acme.token().audience(RESOURCE).sign();
    let mut answer = active();
    answer["iss"] = INITECH.into();
    issuers.acme.introspection_answer(&token, answer);
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn the_same_subject_of_two_issuers_is_two_identities() {
    let issuers = TwoIssuers::routed_by_prefix();
    for (token, expected) in [("acme_1", ACME), ("initech_1", INITECH)] {
        issuers.report_active(token, &active());
        let auth = auth_info(&issuers.server, token).await.unwrap();
        assert_eq!((auth.issuer(), auth.identity()), (Some(expected), Some((expected, "alice"))));
    }
}

#[tokio::test(start_paused = true)]
async fn every_configured_name_of_an_issuer_is_accepted() {
    let (acme, clock) = issuer(ACME);
    let configured = acme.issuer().introspect_all(credentials()).also_issued_as(INITECH);
    let server = ResourceServer::builder(RESOURCE).issuer(configured).clock(clock).build_lazy().unwrap();
    for (token, named, expected) in [("a", Some(ACME), ACME), ("b", Some(INITECH), INITECH), ("c", None, ACME)] {
        let mut answer = active();
        answer["iss"] = json!(named);
        acme.introspection_answer(token, answer);
        assert_eq!(auth_info(&server, token).await.unwrap().issuer(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn cached_results_are_separate_for_each_issuer() {
    let to_initech = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&to_initech);
    let issuers = TwoIssuers::routed(move |_| Some(if switch.load(Ordering::SeqCst) { INITECH } else { ACME }));
    let app = App::new(issuers.server.bearer_layer());
    issuers.acme.introspection_answer("shared", active());
    for _ in 0..2 {
        for (initech, expected) in [(false, "OK"), (true, "R401")] {
            to_initech.store(initech, Ordering::SeqCst);
            assert_eq!(app.with_token("shared").await.verdict(), expected);
        }
    }
    assert_eq!(issuers.introspections(), (1, 1));
    // `forget` removes the cached results of both issuers.
    issuers.server.forget("shared");
    for initech in [false, true] {
        to_initech.store(initech, Ordering::SeqCst);
        app.with_token("shared").await;
    }
    assert_eq!(issuers.introspections(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn breaker_and_limits_of_one_issuer_do_not_affect_another() {
    let issuers = TwoIssuers::routed_by_prefix();
    let app = App::new(issuers.server.bearer_layer());
    issuers.server.warm_up().await.unwrap();
    issuers.acme.fault(Endpoint::Introspection, mcp_bearer::testing::Fault::Status(429));
    for token in super::numbered("acme_failed", 8) {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    // The warm-up has checked the credentials at both.
    assert_eq!(issuers.introspections(), (6, 1));
    issuers.report_active("initech_1", &active());
    assert_eq!(app.with_token("initech_1").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_route_is_called_with_the_token_as_it_was_sent() {
    let ((acme, _), clock) = (issuer(ACME), TestClock::new());
    let builder = ResourceServer::builder(RESOURCE).clock(clock).issuer(acme.issuer().introspect_all(credentials()));
    let server = quiet(builder.route_opaque(|token| (token == "a+b/c~d==").then_some(ACME)));
    acme.introspection_answer("a+b/c~d==", active());
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token("a+b/c~d==").await.verdict(), "OK");
    assert_eq!(app.with_token("other").await.verdict(), "R401");
    assert_eq!(acme.requests(Endpoint::Introspection), 1);
}
