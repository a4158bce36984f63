//! Starting while an issuer is unavailable, and readiness in health checks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use mcp_bearer::http_client::{FetchErrorKind, HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::{ClientCredentials, IntrospectionState};
use mcp_bearer::jose::UnusableKey;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestHttpClient, TestIssuer};
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::json;
use tokio::time::{Instant, advance, sleep};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, Fixture, ISSUER, RESOURCE};

fn lazy(issuer: &TestIssuer) -> ResourceServer {
    ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build_lazy().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lazy_server_fetches_keys_in_the_background() {
    let issuer = TestIssuer::new(ISSUER);
    let server = lazy(&issuer);
    assert!(!server.health().is_ready());
    sleep(Duration::from_millis(1)).await;
    let health = server.health();
    assert!(health.is_ready());
    assert_eq!((health.issuers()[0].issuer(), health.issuers()[0].key_count()), (ISSUER, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lazy_server_answers_503_until_its_issuer_is_available() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.stop();
    let server = lazy(&issuer);
    let app = App::new(server.bearer_layer());
    let token = || issuer.token().audience(RESOURCE).sign();
    assert_eq!(app.with_token(&token()).await.verdict(), "R503");
    assert_eq!(app.get("Basic x").await.verdict(), "R401N");
    let health = server.health();
    assert!(!health.is_ready() && health.issuers()[0].last_error().is_some());
    sleep(Duration::from_secs(600)).await;
    assert!(!server.health().is_ready());
    // With a back-off of up to a minute, and two connections per attempt.
    assert!((20..=120).contains(&issuer.refused_requests()), "{}", issuer.refused_requests());
    issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert!(server.health().is_ready());
    assert_eq!(app.with_token(&token()).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn the_first_valid_token_after_an_outage_is_accepted() {
    for downtime in [1, 5, 47, 600] {
        for opaque in [false, true] {
            let clock = TestClock::new();
            let issuer =
                TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client("client", "secret").build();
            issuer.stop();
            let introspecting = issuer.issuer().introspect_opaque(ClientCredentials::basic("client", "secret"));
            let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build_lazy().unwrap();
            let app = App::new(server.bearer_layer());
            let token = || {
                let token = issuer.token().audience(RESOURCE);
                if opaque { token.opaque() } else { token.sign() }
            };
            // Earlier requests must not delay the recovery.
            for _ in 0..3 {
                assert_eq!(app.with_token(&token()).await.verdict(), "R503");
            }
            sleep(Duration::from_secs(downtime)).await;
            issuer.restart().unwrap();
            let start = Instant::now();
            assert_eq!(app.with_token(&token()).await.verdict(), "OK", "{downtime} s, opaque: {opaque}");
            assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_an_outage_start_one_attempt_per_second() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.stop();
    let server = std::thread::scope(|scope| scope.spawn(|| lazy(&issuer)).join().unwrap());
    let app = App::new(server.bearer_layer());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        let token = issuer.token().audience(RESOURCE).sign();
        let answers = join_all((0..20).map(|_| app.with_token(&token))).await;
        assert!(answers.iter().all(|answer| answer.verdict() == "R503"));
        sleep(Duration::from_millis(50)).await;
    }
    // Each attempt consists of one connection and its retry.
    let attempts = issuer.refused_requests() / 2;
    assert!((30..=62).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_server_stops_its_attempts() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.stop();
    let server = lazy(&issuer);
    sleep(Duration::from_secs(120)).await;
    assert!(issuer.refused_requests() > 0);
    drop(server);
    sleep(Duration::from_secs(120)).await;
    let before = issuer.refused_requests();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(issuer.refused_requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_layer_keeps_the_attempts_of_a_lazy_server_running() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.stop();
    let app = App::new(lazy(&issuer).bearer_layer());
    sleep(Duration::from_secs(120)).await;
    issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert_eq!(issuer.requests(Endpoint::KeySet), 1);
    assert_eq!(app.with_token(&issuer.token().audience(RESOURCE).sign()).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_health_check_outside_a_runtime_causes_no_request() {
    let fixture = Fixture::cold();
    let server = fixture.server.clone();
    let probe = std::thread::spawn(move || {
        for _ in 0..4 {
            _ = server.health();
        }
        server.health()
    });
    let health = probe.join().unwrap();
    assert!(!health.is_ready() && health.issuers()[0].last_error().is_none());
    assert!(health.issuers()[0].retry_in().is_zero());
    fixture.server.warm_up().await.unwrap();
}

#[test]
fn a_lazy_server_can_be_built_without_a_runtime() {
    let issuer = TestIssuer::new(ISSUER);
    let server = lazy(&issuer);
    assert_eq!(issuer.total_requests(), 0);
    assert!(!server.health().is_ready());
}

#[test]
fn build_without_a_runtime_is_an_error_and_not_a_panic() {
    let issuer = TestIssuer::new(ISSUER);
    let building = std::pin::pin!(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = building.poll(&mut context) else { panic!("`build` must not wait") };
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn build_fetches_from_all_issuers_at_once_and_fails_if_one_is_down() {
    let (one, two) = (TestIssuer::new("https://one.example.com"), TestIssuer::new("https://two.example.com"));
    for issuer in [&one, &two] {
        issuer.fault(Endpoint::OauthMetadata, Fault::Delay(Duration::from_secs(4)));
    }
    let before = tokio::time::Instant::now();
    let builder = || ResourceServer::builder(RESOURCE).issuer(one.issuer()).issuer(two.issuer());
    builder().build().await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 4);
    two.stop();
    let error = builder().build().await.unwrap_err();
    assert!(error.to_string().contains("https://two.example.com"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn health_distinguishes_no_answer_from_an_invalid_answer() {
    for (fault, expected) in [
        (Fault::Drop, FetchErrorKind::NoResponse),
        (Fault::Status(404), FetchErrorKind::Status(404)),
        (Fault::Oversize, FetchErrorKind::Document),
        (Fault::Html, FetchErrorKind::Document),
    ] {
        let fixture = Fixture::cold();
        fixture.issuer.fault(Endpoint::KeySet, fault);
        fixture.server.warm_up().await.unwrap_err();
        let health = fixture.server.health();
        assert_eq!(health.issuers()[0].last_error().unwrap().kind(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn health_reports_the_key_set_during_an_outage() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    fixture.issuer.stop();
    advance(Duration::from_secs(400)).await;
    _ = app.with_token(&fixture.token()).await;
    sleep(Duration::from_secs(1)).await;
    let health = fixture.server.health();
    assert!(health.is_ready() && health.issuers()[0].last_error().is_some());
    advance(Duration::from_secs(3600)).await;
    assert!(!fixture.server.health().is_ready());
}

#[tokio::test(start_paused = true)]
async fn health_reads_only() {
    let fixture = Fixture::cold();
    for _ in 0..100 {
        assert!(!fixture.server.health().is_ready());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(fixture.issuer.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_built_outside_a_runtime_stays_ready_after_its_warm_up() {
    let fixture = Fixture::cold();
    fixture.issuer.stop();
    fixture.server.warm_up().await.unwrap_err();
    fixture.issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert!(fixture.server.health().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_traffic_stays_ready_and_sends_one_request_an_hour() {
    let fixture = Fixture::new().await;
    let start = Instant::now();
    for hour in 1..=10 {
        while start.elapsed() < Duration::from_secs(3600) * hour {
            sleep(Duration::from_secs(20)).await;
            assert!(fixture.server.health().is_ready(), "{:?}", start.elapsed());
        }
    }
    // A key set is fetched again shortly before it can no longer be used: here after 62 to 64 minutes.
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 10);
}

#[tokio::test(start_paused = true)]
async fn keys_that_expire_during_an_outage_become_available_again_without_traffic() {
    let fixture = Fixture::new().await;
    fixture.issuer.stop();
    sleep(Duration::from_secs(3600)).await;
    assert!(fixture.server.health().is_ready());
    sleep(Duration::from_secs(600)).await;
    assert!(!fixture.server.health().is_ready());
    // Nobody asks in the meantime.
    sleep(Duration::from_secs(24 * 3600)).await;
    fixture.issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert!(fixture.server.health().is_ready());
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 2);
}

/// An issuer whose client has the secret `secret`, and a server that introspects its tokens with this one.
async fn introspecting(secret: &str) -> (TestIssuer, ResourceServer) {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client("client", "secret").build();
    let introspecting = issuer.issuer().introspect_opaque(ClientCredentials::basic("client", secret));
    let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build_lazy().unwrap();
    sleep(Duration::from_millis(1)).await;
    (issuer, server)
}

fn state(server: &ResourceServer) -> IntrospectionState {
    server.health().issuers()[0].introspection()
}

#[tokio::test(start_paused = true)]
async fn one_made_up_token_confirms_the_credentials() {
    let (issuer, server) = introspecting("secret").await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Ready, true));
    let first = issuer.last_request(Endpoint::Introspection).unwrap().form_value("token").unwrap();
    let (_, other) = introspecting("secret").await;
    assert_eq!(state(&other), IntrospectionState::Ready);
    assert!(first.starts_with("mcp-bearer-check-") && first.len() > 40, "{first}");
    // The credentials are checked once.
    sleep(Duration::from_secs(3000)).await;
    server.warm_up().await.unwrap();
    assert_eq!(issuer.requests(Endpoint::Introspection), 1);
    let (again, _) = introspecting("secret").await;
    assert_ne!(again.last_request(Endpoint::Introspection).unwrap().form_value("token").unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn servers_with_one_issuer_share_its_background_requests() {
    let issuer = TestIssuer::builder(ISSUER).introspection_client("client", "secret").build();
    issuer.fault(Endpoint::Introspection, Fault::Delay(Duration::from_secs(1)));
    let shared = issuer.issuer().introspect_opaque(ClientCredentials::basic("client", "secret"));
    let resources = ["https://mcp.example.com/a", "https://mcp.example.com/b", "https://mcp.example.com/c"];
    let server = |resource| ResourceServer::builder(resource).issuer(shared.clone()).build_lazy().unwrap();
    let servers = resources.map(server);
    sleep(Duration::from_secs(3600)).await;
    assert!(servers.iter().all(|server| state(server) == IntrospectionState::Ready));
    // One metadata document, one key set and one introspection.
    assert_eq!(issuer.total_requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_does_not_delay_another() {
    let (slow, fast) = (TestIssuer::new("https://slow.example.com"), TestIssuer::new("https://fast.example.com"));
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
        slow.fault(endpoint, Fault::Delay(Duration::from_secs(3600)));
    }
    let server = ResourceServer::builder(RESOURCE).issuer(slow.issuer()).issuer(fast.issuer()).build_lazy().unwrap();
    sleep(Duration::from_millis(1)).await;
    let ready = || server.health().issuers().iter().map(|issuer| issuer.is_ready()).collect::<Vec<_>>();
    assert_eq!(ready(), [false, true]);
    slow.heal();
    sleep(Duration::from_secs(90)).await;
    assert_eq!(ready(), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn rejected_credentials_are_not_ready_until_they_are_accepted() {
    let capture = Capture::of_this_thread();
    capture.take();
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let client = Introspecting::with(&issuer, 401, r#"{"error":"invalid_client"}"#);
    let introspecting = Issuer::discover(ISSUER).http_client(client.clone());
    let introspecting = introspecting.introspect_all(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build_lazy().unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::CredentialsRejected, false));
    let error = server.health().issuers()[0].last_error().unwrap().kind();
    assert_eq!(error, FetchErrorKind::CredentialsRejected(401));
    // The check is repeated with a back-off of up to a minute, and logged once.
    sleep(Duration::from_secs(600)).await;
    let checks = client.introspections.load(Ordering::SeqCst);
    assert!((8..=60).contains(&checks), "{checks}");
    let errors = capture.take().into_iter().filter(|(level, line)| *level == Level::ERROR && line.starts_with("mcp_"));
    assert_eq!(errors.count(), 1);
    let error = server.warm_up().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Credentials);
    for expected in ["rejects the client credentials", "client id", "`client_secret_basic`", "status 401"] {
        assert!(error.to_string().contains(expected), "{error}");
    }
    // The authorization server now has this client. Nobody sends a token.
    *client.page.lock().unwrap() = None;
    sleep(Duration::from_secs(61)).await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Ready, true));
    let token = issuer.token().audience(RESOURCE).opaque();
    assert_eq!(App::new(server.bearer_layer()).with_token(&token).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_server_with_rejected_credentials_is_not_built() {
    let capture = Capture::of_this_thread();
    for (status, code) in [(401, "invalid_client"), (400, "invalid_client"), (400, "unauthorized_client")] {
        let issuer = TestIssuer::builder(ISSUER).build();
        let client = Introspecting::with(&issuer, status, &json!({"error": code}).to_string());
        let introspecting = Issuer::discover(ISSUER).http_client(client);
        let introspecting = introspecting.introspect_all(ClientCredentials::basic("client", "secret"));
        capture.take();
        let error = ResourceServer::builder(RESOURCE).issuer(introspecting).build().await.unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Credentials, "{status} {code}");
        let lines =
            capture.take().into_iter().filter(|(level, line)| *level <= Level::INFO && line.starts_with("mcp_"));
        assert_eq!(lines.count(), 1, "{status} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_shows_nothing_about_the_credentials_is_ready() {
    for (status, body) in [
        (401, ""),
        (403, "<html>"),
        (404, ""),
        (400, r#"{"error":"invalid_request"}"#),
        (401, r#"{"error":"invalid_token"}"#),
        (500, r#"{"error":"invalid_client"}"#),
        (503, ""),
        (200, "<html>"),
    ] {
        let (issuer, clock) = (TestIssuer::new(ISSUER), TestClock::new());
        let client = Introspecting::with(&issuer, status, body);
        let introspecting = Issuer::discover(ISSUER).http_client(client);
        let introspecting = introspecting.introspect_all(ClientCredentials::basic("client", "secret"));
        let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build().await.unwrap();
        assert_eq!(
            (state(&server), server.health().is_ready()),
            (IntrospectionState::Unconfirmed, true),
            "{status} {body}"
        );
        // It counts for nothing, so a failure of the endpoint needs five more.
        sleep(Duration::from_secs(600)).await;
        assert!(server.health().issuers()[0].last_error().is_none(), "{status} {body}");
        assert!(server.health().issuers()[0].retry_in().is_zero(), "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_confirms_the_credentials_at_a_server_that_rejects_made_up_tokens() {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let client = MadeUpRejected(issuer.http_client());
    let introspecting = Issuer::discover(ISSUER).http_client(client);
    let introspecting = introspecting.introspect_all(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build_lazy().unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(state(&server), IntrospectionState::CredentialsRejected);
    // The check does not keep real tokens from the endpoint.
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token(&issuer.token().audience(RESOURCE).opaque()).await.verdict(), "OK");
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Ready, true));
    // Made-up tokens of strangers do not make it unready, even long after the last token was confirmed.
    sleep(Duration::from_secs(600)).await;
    assert_eq!(app.with_token("mcp-bearer-check-stranger").await.verdict(), "R503");
    sleep(Duration::from_secs(600)).await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Ready, true));
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_rejected_later_are_not_ready_until_they_are_accepted() {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let client = Introspecting::with(&issuer, 401, r#"{"error":"invalid_client"}"#);
    let rejection = client.page.lock().unwrap().take();
    let introspecting = Issuer::discover(ISSUER).http_client(client.clone());
    let introspecting = introspecting.introspect_all(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = || issuer.token().audience(RESOURCE).opaque();
    assert_eq!(app.with_token(&token()).await.verdict(), "OK");
    // The client gets another secret at the authorization server.
    *client.page.lock().unwrap() = rejection;
    sleep(Duration::from_secs(180)).await;
    assert_eq!(app.with_token(&token()).await.verdict(), "R503");
    assert_eq!(state(&server), IntrospectionState::Ready, "one token may be the cause");
    for _ in 0..5 {
        assert_eq!(app.with_token(&token()).await.verdict(), "R503");
    }
    // It stays so, also when the circuit breaker lets a request through.
    for _ in 0..100 {
        assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::CredentialsRejected, false));
        sleep(Duration::from_secs(7)).await;
    }
    *client.page.lock().unwrap() = None;
    sleep(Duration::from_secs(61)).await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Ready, true));
}

#[tokio::test(start_paused = true)]
async fn every_state_of_introspection_is_reported() {
    let fixture = Fixture::new().await;
    assert_eq!(state(&fixture.server), IntrospectionState::NotUsed);
    let (issuer, clock) = (TestIssuer::new(ISSUER), TestClock::new());
    issuer.stop();
    let introspecting = issuer.issuer().introspect_all(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock).build_lazy().unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::EndpointUnknown, false));
    issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Ready, true));
    issuer.stop();
    let app = App::new(server.bearer_layer());
    for number in 0..5 {
        assert_eq!(app.with_token(&format!("token-{number}")).await.verdict(), "R503");
    }
    assert_eq!((state(&server), server.health().is_ready()), (IntrospectionState::Suspended, false));
}

#[tokio::test(start_paused = true)]
async fn health_has_a_documented_json_form() {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client("client", "secret").build();
    let mut keys = issuer.jwk_set();
    let unusable = json!({"kty": "RSA", "use": "sig", "kid": "2019\u{1b}", "n": "AQAB", "e": "AQAB"});
    keys["keys"].as_array_mut().unwrap().extend(vec![unusable; 20]);
    issuer.fault(Endpoint::KeySet, Fault::Document(keys));
    issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "max-age=600")]));
    let configured = issuer.issuer().introspect_opaque(ClientCredentials::basic("client", "wrong"));
    let server = ResourceServer::builder(RESOURCE).issuer(configured).clock(clock.clone()).build_lazy().unwrap();
    let revocations =
        json!({"entry_count": 0, "shared": false, "current": true, "outdated_since": null, "last_error": null});
    let empty = json!({"ready": false, "issuers": [{
        "issuer": ISSUER, "ready": false, "key_count": 0, "seeded": false, "fetched_at": null, "fresh_until": null, "unusable_key_count": 0,
        "unusable_keys": [], "introspection": "endpoint_unknown", "last_error": null, "retry_in": 0,
    }], "revocations": revocations});
    assert_eq!(serde_json::to_value(server.health()).unwrap(), empty);
    sleep(Duration::from_millis(1)).await;
    clock.advance(Duration::from_secs(7));
    let health = server.health();
    let fetched_at = health.issuers()[0].fetched_at().unwrap();
    let lifetime = health.issuers()[0].fresh_until().unwrap().duration_since(fetched_at).unwrap();
    // A lifetime is shortened by up to a tenth.
    assert!((540..=600).contains(&lifetime.as_secs()), "{lifetime:?}");
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let key = json!({"name": "2019\\u{1b}", "reason": "its modulus or exponent has a size that is not accepted"});
    let expected = json!({"ready": false, "issuers": [{
        "issuer": ISSUER, "ready": false, "key_count": 1, "seeded": false,
        "fetched_at": 1_800_000_007_u64, "fresh_until": since_1970(health.issuers()[0].fresh_until().unwrap()),
        "unusable_key_count": 20, "unusable_keys": vec![key; 16], "introspection": "credentials_rejected",
        "last_error": "https://auth.example.com/introspect rejects the client credentials of this server with status 401",
        "retry_in": health.issuers()[0].retry_in().as_secs_f64().ceil() as u64,
    }], "revocations": revocations});
    assert_eq!(serde_json::to_value(&health).unwrap(), expected);
    let key = &health.issuers()[0].unusable_keys()[0];
    assert_eq!((key.name(), key.reason()), (Some("2019\\u{1b}"), UnusableKey::Size));
}

/// Answers introspection with this page, and everything else as the issuer does. Without a page, the issuer answers.
#[derive(Clone)]
struct Introspecting {
    issuer: TestHttpClient,
    page: Arc<Mutex<Option<(u16, String)>>>,
    introspections: Arc<AtomicUsize>,
}

impl Introspecting {
    fn with(issuer: &TestIssuer, status: u16, body: &str) -> Self {
        let page = Arc::new(Mutex::new(Some((status, body.to_owned()))));
        Self { issuer: issuer.http_client(), page, introspections: Arc::default() }
    }
}

impl HttpClient for Introspecting {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        let is_introspection = request.uri().path() == "/introspect";
        self.introspections.fetch_add(usize::from(is_introspection), Ordering::SeqCst);
        let page = self.page.lock().unwrap().clone().filter(|_| is_introspection);
        let Some((status, body)) = page else { return self.issuer.send(request, limits) };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status.try_into().unwrap();
        Box::pin(async move { Ok(response) })
    }
}

/// Rejects the credentials in each request with a made-up token, as some authorization servers do.
struct MadeUpRejected(TestHttpClient);

impl HttpClient for MadeUpRejected {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        if !request.body().starts_with(b"token=mcp-bearer-check-") {
            return self.0.send(request, limits);
        }
        let mut response = Response::new(Bytes::from_static(br#"{"error":"invalid_client"}"#));
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
        Box::pin(async move { Ok(response) })
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_over_a_real_socket() {
    tokio::time::resume();
    let issuer = TestIssuer::serve_at("/tenant").unwrap();
    let server = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(issuer.url())).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token(&issuer.token().audience(RESOURCE).sign()).await.verdict(), "OK");
    issuer.rotate();
    assert_eq!(app.with_token(&issuer.token().audience(RESOURCE).sign()).await.verdict(), "OK");
    issuer.stop();
    assert_eq!(app.with_token(&issuer.token().audience(RESOURCE).sign()).await.verdict(), "OK");
    issuer.rotate();
    assert_eq!(app.with_token(&issuer.token().audience(RESOURCE).sign()).await.verdict(), "R503");
}
