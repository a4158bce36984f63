//! Starting while an issuer is unavailable, and readiness in health checks.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_bearer::http_client::FetchErrorKind;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use tokio::time::{Instant, advance, sleep};

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
async fn health_checks_keep_an_idle_server_ready() {
    let fixture = Fixture::new().await;
    advance(Duration::from_secs(2 * 3600)).await;
    assert!(!fixture.server.health().is_ready());
    sleep(Duration::from_secs(1)).await;
    assert!(fixture.server.health().is_ready());
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 2);
    for _ in 0..100 {
        assert!(fixture.server.health().is_ready());
    }
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_built_outside_a_runtime_becomes_ready_after_a_health_check() {
    let fixture = Fixture::cold();
    assert!(!fixture.server.health().is_ready());
    sleep(Duration::from_secs(1)).await;
    assert!(fixture.server.health().is_ready());
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
