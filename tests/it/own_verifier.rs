//! Verifiers of the application: their results, their outages, and the cache and limits around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use mcp_bearer::events::Event;
use mcp_bearer::introspection::{IntrospectionState, LookupLimits};
use mcp_bearer::testing::TestClock;
use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError, VerifyErrorKind};
use mcp_bearer::{BuildErrorKind, CredentialKind, Issuer, ResourceServer, ResourceServerBuilder};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE, published};

const NAME: &str = "urn:example:sessions";
const NOW: u64 = 1_800_000_000;

/// Sessions in a store that can fail. Clones share it.
#[derive(Clone, Default)]
struct Sessions(Arc<Store>);

#[derive(Default)]
struct Store {
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
    fault: AtomicUsize,
    is_deleted: AtomicBool,
}

const FAILS: usize = 1;
const PANICS: usize = 2;
const HANGS: usize = 3;
/// How long a query takes.
const QUERY: Duration = Duration::from_millis(10);
/// How long the client has to wait, as the store says.
const RETRY_AFTER: Duration = Duration::from_secs(7);

impl Sessions {
    fn set_fault(&self, fault: usize) {
        self.0.fault.store(fault, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }
}

impl TokenVerifier for Sessions {
    async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
        let store = &self.0;
        store.calls.fetch_add(1, Ordering::SeqCst);
        store.peak.fetch_max(store.in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(QUERY).await;
        store.in_flight.fetch_sub(1, Ordering::SeqCst);
        match store.fault.load(Ordering::SeqCst) {
            FAILS => return Err(VerifyError::unavailable(Some(RETRY_AFTER)).with_source("the database is down")),
            PANICS => panic!("as planned"),
            HANGS => std::future::pending().await,
            _ => {}
        }
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let alice = Verified::for_this_resource("alice").scopes(["notes:read"]);
        match token {
            "session" if store.is_deleted.load(Ordering::SeqCst) => Err(CheckFailure::Inactive.into()),
            "session" | "other" => Ok(alice),
            "without-scopes" => Ok(Verified::for_this_resource("alice")),
            "brief" => Ok(alice.expires_at(at(NOW + 5))),
            "expired" => Ok(alice.expires_at(at(NOW - 61))),
            "early" => Ok(alice.claim("nbf", NOW + 61)),
            "bound" => Ok(alice.claim("cnf", json!({ "jkt": "x" }))),
            "wrong-scope" => Ok(Verified::for_this_resource("alice").scopes(["two words"])),
            "wrong-claim" => Ok(alice.claim("exp", "tomorrow")),
            "misconfigured" => {
                Err(VerifyError::new(VerifyErrorKind::Misconfigured).with_source("the table does not exist"))
            }
            "revoked" => Err(CheckFailure::Inactive.into()),
            "malformed" => Err(VerifyError::from(CheckFailure::Malformed).with_source("it has no prefix")),
            _ => Err(CheckFailure::Inactive.into()),
        }
    }
}

fn builder(issuer: Issuer) -> (ResourceServerBuilder, TestClock) {
    let clock = TestClock::at(NOW);
    (ResourceServer::builder(RESOURCE).issuer(issuer).clock(clock.clone()), clock)
}

fn server(issuer: Issuer) -> ResourceServer {
    builder(issuer).0.build_lazy().unwrap()
}

fn without_limits(sessions: &Sessions) -> Issuer {
    Issuer::with_verifier(NAME, sessions.clone())
}

fn with_limits(sessions: &Sessions) -> Issuer {
    without_limits(sessions).verifier_limits(LookupLimits::new())
}

fn app(issuer: Issuer) -> App {
    App::new(server(issuer).bearer_layer().required_scopes(["notes:read"]))
}

/// A verifier without and with limits.
fn both(sessions: &Sessions) -> [(&'static str, Issuer); 2] {
    [("without limits", without_limits(sessions)), ("with limits", with_limits(sessions))]
}

#[tokio::test(start_paused = true)]
async fn each_result_of_a_verifier_has_its_response() {
    let sessions = Sessions::default();
    for (what, issuer) in both(&sessions) {
        let server = server(issuer);
        let app = App::new(server.bearer_layer().required_scopes(["notes:read"]));
        for (token, verdict, cause) in [
            ("session", "OK", None),
            ("without-scopes", "R403", None),
            ("brief", "OK", None),
            ("expired", "R401", Some("expired")),
            ("early", "R401", Some("not_yet_valid")),
            ("bound", "R401", Some("sender_constrained")),
            ("revoked", "R401", Some("inactive")),
            ("malformed", "R401", Some("malformed")),
            ("unknown", "R401", Some("inactive")),
            ("wrong-scope", "R503", Some("misconfigured")),
            ("wrong-claim", "R503", Some("misconfigured")),
            ("misconfigured", "R503", Some("misconfigured")),
        ] {
            // The second response is from the cache, if there is one.
            for _ in 0..2 {
                assert_eq!(app.with_token(token).await.verdict(), verdict, "{token} {what}");
                let explanation = server.explain(token).await;
                let failed = explanation.failed();
                assert_eq!(failed.and_then(|check| check.cause()), cause, "{token} {what}");
            }
        }
        assert_eq!(app.with_token("session").await.body, "alice");
    }
}

#[tokio::test(start_paused = true)]
async fn the_claims_of_a_session_are_those_of_the_verifier() {
    let sessions = Sessions::default();
    for (what, issuer) in both(&sessions) {
        let (request, ()) =
            Request::get("/mcp").header("authorization", "Bearer session").body(()).unwrap().into_parts();
        let caller = server(issuer).bearer_layer().authenticate(&request).await.unwrap();
        let auth = caller.auth_info();
        assert_eq!(auth.kind(), CredentialKind::Custom, "{what}");
        assert_eq!(auth.identity(), Some((NAME, "alice")));
        assert_eq!((auth.expires_at(), auth.audience().count()), (None, 0));
        assert_eq!(Value::Object(auth.claims().clone()), json!({ "sub": "alice", "scope": "notes:read" }));
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_learns_the_kind_of_the_credential() {
    let kinds = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    let server = builder(without_limits(&Sessions::default())).0.observer(move |event: &Event<'_>| {
        if let Event::TokenAccepted(accepted) = event {
            seen.lock().unwrap().push((accepted.kind, accepted.issuer.map(str::to_owned)));
        }
    });
    App::new(server.build_lazy().unwrap().bearer_layer()).with_token("session").await;
    assert_eq!(*kinds.lock().unwrap(), [(CredentialKind::Custom, Some(NAME.to_owned()))]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_verifier_is_503_within_the_time_limit() {
    for fault in [FAILS, PANICS, HANGS] {
        let sessions = Sessions::default();
        for (what, issuer) in both(&sessions) {
            let app = app(issuer);
            sessions.set_fault(fault);
            let started_at = Instant::now();
            let answer = app.with_token("session").await;
            assert_eq!(answer.verdict(), "R503", "{fault} {what}");
            assert!(started_at.elapsed() <= Duration::from_secs(10), "{fault} {what}");
            let waits = answer.header("retry-after").unwrap();
            assert_eq!(waits, if fault == FAILS { "7" } else { "5" }, "{fault} {what}");
            sessions.set_fault(0);
            assert_eq!(app.with_token("session").await.verdict(), "OK", "{fault} {what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_of_a_verifier_is_configurable() {
    let sessions = Sessions::default();
    sessions.set_fault(HANGS);
    let limits = LookupLimits::new().time_limit(Duration::from_millis(200));
    let app = app(without_limits(&sessions).verifier_limits(limits));
    let started_at = Instant::now();
    assert_eq!(app.with_token("session").await.verdict(), "R503");
    assert!(started_at.elapsed() < Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_verifier_without_limits_is_called_for_each_request() {
    let sessions = Sessions::default();
    let app = app(without_limits(&sessions));
    for calls in 1..=3 {
        app.with_token("session").await;
        assert_eq!(sessions.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn results_are_cached_for_their_lifetimes() {
    let sessions = Sessions::default();
    let app = app(with_limits(&sessions));
    for (token, verdict, lifetime) in [("session", "OK", 30), ("unknown", "R401", 10)] {
        let calls = sessions.calls();
        for _ in 0..5 {
            assert_eq!(app.with_token(token).await.verdict(), verdict);
            assert_eq!(sessions.calls(), calls + 1, "{token}");
        }
        tokio::time::advance(Duration::from_secs(lifetime)).await;
        app.with_token(token).await;
        assert_eq!(sessions.calls(), calls + 2, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_session_ends_with_its_cached_result_or_when_it_is_forgotten() {
    let sessions = Sessions::default();
    let server = server(with_limits(&sessions));
    let app = App::new(server.bearer_layer());
    for forgets in [false, true] {
        sessions.0.is_deleted.store(false, Ordering::SeqCst);
        server.forget("session");
        assert_eq!(app.with_token("session").await.verdict(), "OK");
        sessions.0.is_deleted.store(true, Ordering::SeqCst);
        assert_eq!(app.with_token("session").await.verdict(), "OK");
        if forgets {
            server.forget("session");
        } else {
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        assert_eq!(app.with_token("session").await.verdict(), "R401");
    }
}

#[tokio::test(start_paused = true)]
async fn no_cached_result_is_used_after_its_token_expired() {
    let sessions = Sessions::default();
    let (builder, clock) = builder(with_limits(&sessions));
    let app = App::new(builder.clock_skew(Duration::ZERO).build_lazy().unwrap().bearer_layer());
    assert_eq!(app.with_token("brief").await.verdict(), "OK");
    clock.advance(Duration::from_secs(4));
    assert_eq!((app.with_token("brief").await.verdict(), sessions.calls()), ("OK".to_owned(), 1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(app.with_token("brief").await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_with_one_token_share_a_call() {
    let sessions = Sessions::default();
    let app = app(with_limits(&sessions));
    let requests = (0..20).map(|_| {
        let app = app.clone();
        tokio::spawn(async move { app.with_token("session").await.verdict() })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), "OK");
    }
    assert_eq!(sessions.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_tokens_causes_a_bounded_number_of_concurrent_calls() {
    let sessions = Sessions::default();
    let limits = LookupLimits::new().max_in_flight(4).max_wait(Duration::from_millis(500));
    let app = app(without_limits(&sessions).verifier_limits(limits));
    assert_eq!(app.with_token("session").await.verdict(), "OK");
    let flood: Vec<_> = (0..1_000)
        .map(|number| {
            let app = app.clone();
            tokio::spawn(async move { app.with_token(&format!("made-up-{number}")).await.verdict() })
        })
        .collect();
    tokio::task::yield_now().await;
    // Tokens that were accepted before are cached, and new ones do not wait for the whole flood.
    assert_eq!(app.with_token("session").await.verdict(), "OK");
    let mut verdicts = std::collections::BTreeMap::<String, usize>::new();
    for request in flood {
        *verdicts.entry(request.await.unwrap()).or_default() += 1;
    }
    assert_eq!(verdicts.keys().collect::<Vec<_>>(), ["R401", "R503"]);
    // Three of the four calls may be for tokens that were never accepted.
    assert_eq!(sessions.0.peak.load(Ordering::SeqCst), 3);
    assert!(sessions.calls() <= 3 * 51 + 1, "{}", sessions.calls());
    let calls = sessions.calls();
    assert_eq!((app.with_token("other").await.verdict(), sessions.calls()), ("OK".to_owned(), calls + 1));
}

#[tokio::test(start_paused = true)]
async fn the_circuit_breaker_opens_after_failures_and_closes_after_a_result() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let sessions = Sessions::default();
    let server = server(with_limits(&sessions));
    let app = App::new(server.bearer_layer());
    let state = || {
        let health = server.health();
        (health.is_ready(), health.issuers()[0].introspection())
    };
    assert_eq!(state(), (true, IntrospectionState::Unconfirmed));
    sessions.set_fault(FAILS);
    for number in 0..5 {
        assert_eq!(app.with_token(&format!("token-{number}")).await.verdict(), "R503");
    }
    assert_eq!(state(), (false, IntrospectionState::Suspended));
    let error = server.health().issuers()[0].last_error().unwrap().to_string();
    assert_eq!(error, "the token verifier of urn:example:sessions failed");
    let calls = sessions.calls();
    let answer = app.with_token("session").await;
    assert_eq!((answer.verdict(), sessions.calls()), ("R503".to_owned(), calls));
    assert!(answer.header("retry-after").is_some());
    sessions.set_fault(0);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(app.with_token("session").await.verdict(), "OK");
    assert_eq!(state(), (true, IntrospectionState::Ready));
    let lines = capture.take();
    for (level, text) in [
        (Level::DEBUG, "introspection failed for a token"),
        (Level::WARN, "introspection failed"),
        (Level::WARN, "introspection suspended"),
        (Level::INFO, "introspection resumed"),
        (Level::DEBUG, "token introspected"),
    ] {
        let is_line = |(at, line): &(Level, String)| *at == level && line.contains(text) && line.contains(NAME);
        assert!(lines.iter().any(is_line), "{text}: {lines:?}");
    }
    assert!(lines.iter().any(|(_, line)| line.contains("the database is down")));
}

#[tokio::test(start_paused = true)]
async fn failures_for_made_up_tokens_do_not_suspend_a_verifier_that_works() {
    /// Fails for made-up tokens, as a database whose column has a shorter type.
    struct Strict;
    impl TokenVerifier for Strict {
        async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
            match token {
                "session" => Ok(Verified::for_this_resource("alice").scopes(["notes:read"])),
                _ => Err(VerifyError::unavailable(None).with_source("value too long")),
            }
        }
    }
    let limits = LookupLimits::new().positive_cache(Duration::ZERO);
    let app = app(Issuer::with_verifier(NAME, Strict).verifier_limits(limits));
    assert_eq!(app.with_token("session").await.verdict(), "OK");
    for number in 0..50 {
        assert_eq!(app.with_token(&format!("made-up-{number}")).await.verdict(), "R503");
        assert_eq!(app.with_token("session").await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_result_outlives_an_outage_only_as_configured() {
    for (stale, verdict) in [(0, "R503"), (20, "OK")] {
        let sessions = Sessions::default();
        let limits = LookupLimits::new().stale_on_error(Duration::from_secs(stale));
        let app = app(without_limits(&sessions).verifier_limits(limits));
        assert_eq!(app.with_token("session").await.verdict(), "OK");
        sessions.set_fault(FAILS);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(app.with_token("session").await.verdict(), verdict);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(app.with_token("session").await.verdict(), "R503");
    }
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_verifier_is_an_error_in_the_log_without_the_token() {
    let sessions = Sessions::default();
    for (what, issuer) in both(&sessions) {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let app = app(issuer);
        app.with_token("misconfigured").await;
        app.with_token("wrong-scope").await;
        let lines = capture.take();
        let errors: Vec<_> = lines.iter().filter(|(level, _)| *level == Level::ERROR).map(|(_, line)| line).collect();
        for cause in ["the table does not exist", "\"two words\" is not a scope"] {
            assert!(errors.iter().any(|line| line.contains(cause)), "{cause} {what}: {errors:?}");
        }
        assert!(lines.iter().all(|(_, line)| !line.contains("wrong-scope")), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_token_is_made_up_to_check_a_verifier() {
    let sessions = Sessions::default();
    let server = builder(with_limits(&sessions)).0.build().await.unwrap();
    server.warm_up().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(server.health().is_ready());
    assert_eq!(sessions.calls(), 0);
}

/// Accepts every token as this subject.
struct Everybody(&'static str);

impl TokenVerifier for Everybody {
    async fn verify(&self, _: &str) -> Result<Verified, VerifyError> {
        Ok(Verified::for_this_resource(self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn opaque_tokens_are_routed_to_one_of_several_verifiers() {
    let server = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::with_verifier("urn:a", Everybody("of a")))
        .issuer(Issuer::with_verifier("urn:b", Everybody("of b")).verifier_limits(LookupLimits::new()))
        .route_opaque(|token| token.split_once('_').map(|(name, _)| format!("urn:{name}")))
        .build_lazy()
        .unwrap();
    let app = App::new(server.bearer_layer());
    for (token, body) in [("a_1", "of a"), ("b_1", "of b")] {
        assert_eq!(app.with_token(token).await.body, body);
    }
    assert_eq!(app.with_token("unknown").await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_is_published_by_default_or_by_name() {
    const OWN: &str = "https://own.example.com";
    let own = || Issuer::with_verifier(OWN, Everybody("alice"));
    let discovered = || Issuer::discover(ISSUER);
    let null = Value::Null;
    for (what, issuers, expected) in [
        ("a verifier", vec![own()], null.clone()),
        ("a published verifier", vec![own().published()], json!([OWN])),
        ("a discovered issuer", vec![discovered()], json!([ISSUER])),
        ("an unpublished one", vec![discovered().unpublished()], null),
        ("both", vec![own(), discovered()], json!([ISSUER])),
        ("both, the other way", vec![own().published(), discovered().unpublished()], json!([OWN])),
        ("the last call", vec![discovered().unpublished().published()], json!([ISSUER])),
    ] {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let builder = issuers.into_iter().fold(ResourceServer::builder(RESOURCE), ResourceServerBuilder::issuer);
        let server = builder.build_lazy().unwrap();
        assert_eq!(published(&server).await, expected, "{what}");
        let warns = |(level, line): &(Level, String)| *level == Level::WARN && line.contains("no issuer is published");
        assert_eq!(capture.take().iter().any(warns), expected.is_null(), "{what}");
    }
}

#[test]
fn a_setting_without_effect_or_out_of_range_is_an_error() {
    let sessions = Sessions::default();
    let limits = LookupLimits::new;
    let long = Duration::from_secs(3600);
    for (issuer, expected) in [
        (Issuer::discover(ISSUER).verifier_limits(limits()), "`verifier_limits` has no effect"),
        (without_limits(&sessions).published(), "`published` needs an issuer from which clients can fetch metadata"),
        (without_limits(&sessions).verifier_limits(limits().positive_cache(long)), "`positive_cache` is 3600 s"),
        (without_limits(&sessions).verifier_limits(limits().negative_cache(long)), "`negative_cache` is 3600 s"),
        (without_limits(&sessions).verifier_limits(limits().stale_on_error(long)), "`stale_on_error` is 3600 s"),
        (without_limits(&sessions).verifier_limits(limits().time_limit(Duration::ZERO)), "`time_limit` is 0 s"),
        (without_limits(&sessions).verifier_limits(limits().max_wait(long)), "`max_wait` is 3600 s"),
        (without_limits(&sessions).verifier_limits(limits().max_in_flight(0)), "`max_in_flight` is 0"),
        (without_limits(&sessions).verifier_limits(limits().max_in_flight(65)), "`max_in_flight` is 65"),
    ] {
        let error = builder(issuer).0.build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Setting, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
