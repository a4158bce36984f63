//! Several issuers behind one door: each token is shown to one of them at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mcp_bearer::testing::{Endpoint, TestClock, TestIssuer};
use mcp_bearer::{BuildErrorKind, ResourceServer};
use serde_json::{Value, json};

use super::stub::active;
use super::{auth_info, credentials, issuer};
use crate::support::{App, RESOURCE};

const ACME: &str = "https://acme.example.com";
const INITECH: &str = "https://initech.example.com";

/// Two issuers that are asked about every token, and a server that routes opaque ones.
struct Two {
    acme: TestIssuer,
    initech: TestIssuer,
    server: ResourceServer,
}

impl Two {
    fn routed(route: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        let ((acme, clock), (initech, _)) = (issuer(ACME), issuer(INITECH));
        let builder = ResourceServer::builder(RESOURCE).clock(clock).route_opaque(route);
        let builder = builder.issuer(acme.issuer().introspect_all(credentials()));
        let server = builder.issuer(initech.issuer().introspect_all(credentials())).build_lazy().unwrap();
        Self { acme, initech, server }
    }

    fn by_prefix() -> Self {
        Self::routed(|token| match token.split('_').next() {
            Some("acme") => Some(ACME),
            Some("initech") => Some(INITECH),
            Some("slash") => Some("https://acme.example.com/"),
            Some("stranger") => Some("https://evil.example.com"),
            _ => None,
        })
    }

    /// How often each was asked about a token.
    fn asked(&self) -> (usize, usize) {
        (self.acme.requests(Endpoint::Introspection), self.initech.requests(Endpoint::Introspection))
    }

    /// Both vouch for a token.
    fn vouch(&self, token: &str, answer: &Value) {
        for issuer in [&self.acme, &self.initech] {
            issuer.introspection_answer(token, answer.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn which_token_two_opaque_issuers_need_a_route() {
    let (acme, initech) = (TestIssuer::new(ACME), TestIssuer::new(INITECH));
    let builder = ResourceServer::builder(RESOURCE).issuer(acme.issuer().introspect_all(credentials()));
    let error = builder.issuer(initech.issuer().introspect_opaque(credentials())).build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Issuer);
    assert!(error.to_string().contains("`route_opaque`"), "{error}");
    assert_eq!((acme.total_requests(), initech.total_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn which_token_is_asked_about_at_the_routes_issuer_and_nowhere_else() {
    let two = Two::by_prefix();
    let app = App::new(two.server.bearer_layer());
    for (token, expected, asked) in [
        ("acme_1", "OK", (1, 0)),
        ("initech_1", "OK", (0, 1)),
        ("acme_2.with.dots", "OK", (1, 0)),
        ("initech_a.b.c.d.e", "OK", (0, 1)),
        ("nobodys_1", "R401", (0, 0)),
        // A route that leads nowhere is a mistake of ours, and says nothing about the token.
        ("stranger_1", "R503", (0, 0)),
        ("slash_1", "R503", (0, 0)),
    ] {
        // Wherever it was asked about, it would be good.
        two.vouch(token, &active());
        let before = two.asked();
        assert_eq!(app.with_token(token).await.verdict(), expected, "{token}");
        let after = two.asked();
        assert_eq!((after.0 - before.0, after.1 - before.1), asked, "{token}");
    }
    // One that its issuer does not know is not shown to the other.
    two.initech.introspection_answer("acme_3", active());
    let before = two.asked();
    assert_eq!(app.with_token("acme_3").await.verdict(), "R401");
    assert_eq!(two.asked(), (before.0 + 1, before.1));
}

#[tokio::test(start_paused = true)]
async fn which_token_an_outage_of_one_issuer_does_not_send_its_tokens_to_the_other() {
    let two = Two::by_prefix();
    let app = App::new(two.server.bearer_layer());
    two.vouch("acme_1", &active());
    two.vouch("initech_1", &active());
    two.acme.stop();
    assert_eq!(app.with_token("acme_1").await.verdict(), "R503");
    assert_eq!(app.with_token("initech_1").await.verdict(), "OK");
    assert_eq!(two.asked(), (0, 1));
    let health = two.server.health();
    let ready: Vec<bool> = health.issuers().iter().map(mcp_bearer::server::IssuerHealth::is_ready).collect();
    assert_eq!((ready, health.is_ready()), (vec![false, true], false));
}

#[tokio::test(start_paused = true)]
async fn which_token_jwts_go_by_their_issuer_and_never_by_the_route() {
    let routed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&routed);
    let two = Two::routed(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(ACME)
    });
    let app = App::new(two.server.bearer_layer());
    let of = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).sign();
    let stranger = TestIssuer::new("https://evil.example.com");
    assert_eq!((app.with_token(&of(&two.acme)).await.verdict().as_str(), two.asked()), ("OK", (1, 0)));
    assert_eq!((app.with_token(&of(&two.initech)).await.verdict().as_str(), two.asked()), ("OK", (1, 1)));
    assert_eq!((app.with_token(&of(&stranger)).await.verdict().as_str(), two.asked()), ("R401", (1, 1)));
    // Signed by one in the name of the other: the other is asked, and knows better.
    let forged = two.acme.token().claim("iss", INITECH).audience(RESOURCE).sign();
    assert_eq!((app.with_token(&forged).await.verdict().as_str(), two.asked()), ("R401", (1, 2)));
    assert_eq!(routed.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn which_token_one_issuer_that_is_asked_leaves_the_others_jwts_alone() {
    let ((acme, clock), (initech, _)) = (issuer(ACME), issuer(INITECH));
    let builder = ResourceServer::builder(RESOURCE).clock(clock).issuer(acme.issuer());
    let builder = builder.issuer(initech.issuer().introspect_all(credentials()));
    let server = builder.build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let asked = || (acme.requests(Endpoint::Introspection), initech.requests(Endpoint::Introspection));
    let good = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).sign();
    assert_eq!((app.with_token(&good(&acme)).await.verdict().as_str(), asked()), ("OK", (0, 0)));
    assert_eq!((app.with_token(&good(&initech)).await.verdict().as_str(), asked()), ("OK", (0, 1)));
    let opaque = initech.token().audience(RESOURCE).opaque();
    assert_eq!((app.with_token(&opaque).await.verdict().as_str(), asked()), ("OK", (0, 2)));
    let opaque = acme.token().audience(RESOURCE).opaque();
    assert_eq!((app.with_token(&opaque).await.verdict().as_str(), asked()), ("R401", (0, 3)));
    // Beside an issuer that may sign as it likes, the other's rules hold.
    let odd = acme.token().audience(RESOURCE).header("alg", "x-own").sign();
    assert_eq!((app.with_token(&odd).await.verdict().as_str(), asked()), ("R401", (0, 3)));
}

#[tokio::test(start_paused = true)]
async fn checks_when_active_let_no_issuer_speak_for_another() {
    let two = Two::by_prefix();
    let app = App::new(two.server.bearer_layer());
    for (token, named, expected) in [
        ("acme_1", ACME, "OK"),
        ("acme_2", INITECH, "R401"),
        ("acme_3", "https://evil.example.com", "R401"),
        ("initech_1", INITECH, "OK"),
        ("initech_2", ACME, "R401"),
    ] {
        let mut answer = active();
        answer["iss"] = named.into();
        two.vouch(token, &answer);
        assert_eq!(app.with_token(token).await.verdict(), expected, "{token}");
    }
    // Nor does a JWT that the asked issuer calls active as somebody else's.
    let token = two.acme.token().audience(RESOURCE).sign();
    let mut answer = active();
    answer["iss"] = INITECH.into();
    two.acme.introspection_answer(&token, answer);
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn checks_when_active_tell_the_same_subject_of_two_issuers_apart() {
    let two = Two::by_prefix();
    for (token, expected) in [("acme_1", ACME), ("initech_1", INITECH)] {
        two.vouch(token, &active());
        let auth = auth_info(&two.server, token).await.unwrap();
        assert_eq!((auth.issuer(), auth.identity()), (expected, Some((expected, "alice"))));
    }
}

#[tokio::test(start_paused = true)]
async fn checks_when_active_accept_every_name_of_an_issuer() {
    let (acme, clock) = issuer(ACME);
    let configured = acme.issuer().introspect_all(credentials()).also_issued_as(INITECH);
    let server = ResourceServer::builder(RESOURCE).issuer(configured).clock(clock).build_lazy().unwrap();
    for (token, named, expected) in [("a", Some(ACME), ACME), ("b", Some(INITECH), INITECH), ("c", None, ACME)] {
        let mut answer = active();
        answer["iss"] = json!(named);
        acme.introspection_answer(token, answer);
        assert_eq!(auth_info(&server, token).await.unwrap().issuer(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn key_keeps_the_answers_of_two_issuers_apart() {
    let to_initech = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&to_initech);
    let two = Two::routed(move |_| Some(if switch.load(Ordering::SeqCst) { INITECH } else { ACME }));
    let app = App::new(two.server.bearer_layer());
    two.acme.introspection_answer("shared", active());
    for _ in 0..2 {
        for (initech, expected) in [(false, "OK"), (true, "R401")] {
            to_initech.store(initech, Ordering::SeqCst);
            assert_eq!(app.with_token("shared").await.verdict(), expected);
        }
    }
    assert_eq!(two.asked(), (1, 1));
    // Forgotten is forgotten at both.
    two.server.forget("shared");
    for initech in [false, true] {
        to_initech.store(initech, Ordering::SeqCst);
        app.with_token("shared").await;
    }
    assert_eq!(two.asked(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn breaker_and_limits_of_one_issuer_are_nothing_to_another() {
    let two = Two::by_prefix();
    let app = App::new(two.server.bearer_layer());
    two.server.warm_up().await.unwrap();
    two.acme.fault(Endpoint::Introspection, mcp_bearer::testing::Fault::Status(429));
    for token in super::numbered("acme_failed", 8) {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    assert_eq!(two.asked(), (5, 0));
    two.vouch("initech_1", &active());
    assert_eq!(app.with_token("initech_1").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn which_token_a_route_is_called_with_the_token_as_it_was_sent() {
    let ((acme, _), clock) = (issuer(ACME), TestClock::new());
    let builder = ResourceServer::builder(RESOURCE).clock(clock).issuer(acme.issuer().introspect_all(credentials()));
    let server = builder.route_opaque(|token| (token == "a+b/c~d==").then_some(ACME)).build_lazy().unwrap();
    acme.introspection_answer("a+b/c~d==", active());
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token("a+b/c~d==").await.verdict(), "OK");
    assert_eq!(app.with_token("other").await.verdict(), "R401");
    assert_eq!(acme.requests(Endpoint::Introspection), 1);
}
