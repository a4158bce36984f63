//! The number of concurrent introspection requests, and how long requests wait for them.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_bearer::http_client::{AddressPolicy, HttpErrorKind};
use mcp_bearer::introspection::Introspection;
use tokio::time::Instant;

use super::stub::{Page, Stub, active};
use super::{Fixture, count, credentials, numbered, server_of};
use crate::support::{Answer, App};

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Sends one request per token, all at once. Returns each response and the time that it took.
async fn timed(app: &App, tokens: &[String]) -> Vec<(Answer, Duration)> {
    let started = Instant::now();
    join_all(tokens.iter().map(|token| async move { (app.with_token(token).await, started.elapsed()) })).await
}

async fn time(app: &App, token: &str) -> (String, u128) {
    let started = Instant::now();
    (app.with_token(token).await.verdict(), started.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn concurrency_starts_at_eight_and_grows_to_forty_eight_for_unknown_tokens() {
    let stub = Stub::with_page(Page::json(&active()).after(milliseconds(100)));
    let app = stub.app();
    let answers = timed(&app, &numbered("token", 8)).await;
    assert!(answers.iter().all(|(answer, took)| answer.verdict() == "OK" && took.as_millis() <= 101));
    assert_eq!(stub.most_open(), 8);
    // After one successful round, the limit is nine, so the tenth request waits.
    let answers = timed(&app, &numbered("more", 10)).await;
    assert_eq!(answers.iter().filter(|(_, took)| took.as_millis() > 150).count(), 1);
    for round in 0..6 {
        let tokens = numbered(&format!("round-{round}"), 500);
        assert_eq!(count(&super::all(&app, &tokens).await, "OK"), 500);
    }
    // A quarter of the 64 places is reserved for tokens that were active before.
    assert_eq!(stub.most_open(), 48);
}

#[tokio::test(start_paused = true)]
async fn unknown_tokens_wait_for_at_most_five_seconds_and_get_retry_after() {
    let stub = Stub::with_page(Page::json(&active()).after(milliseconds(1_400)));
    let app = stub.app();
    let answers = timed(&app, &numbered("token", 100)).await;
    let (passed, rejected): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| answer.verdict() == "OK");
    // 8 requests run at once, then 9, 10 and 11. The last of them start after 4.2 s.
    assert_eq!((passed.len(), stub.introspections()), (38, 38));
    for (answer, waited) in &rejected {
        assert_eq!(answer.verdict(), "R503");
        assert!((5_000..=5_001).contains(&waited.as_millis()), "{waited:?}");
    }
    // The other 62 requests would take up to 8 s, at about 8 per second. The jitter comes on top.
    let retry_after = rejected.iter().map(|(answer, _)| answer.header("retry-after").unwrap().parse::<u64>().unwrap());
    let (least, most) = (retry_after.clone().min().unwrap(), retry_after.max().unwrap());
    assert!(least == 1 && (6..=11).contains(&most), "{least} to {most}");
    // The endpoint works, so later requests are sent.
    assert_eq!(app.with_token("later").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn max_wait_and_time_limit_are_configurable() {
    let stub = Stub::with_page(Page::json(&active()).after(milliseconds(400)));
    let introspection = Introspection::new(credentials()).max_in_flight(1);
    let build = |introspection| App::new(server_of(stub.issuer(introspection)).bearer_layer());
    for (max_wait, passed) in [(0, 1), (500, 2), (1_000, 3), (30_000, 20)] {
        let app = build(introspection.clone().max_wait(milliseconds(max_wait)));
        let answers = super::all(&app, &numbered(&format!("wait-{max_wait}"), 20)).await;
        assert_eq!((count(&answers, "OK"), stub.most_open()), (passed, 1), "{max_wait}");
    }
    for (limit, expected, took) in [(100, "R503", 100), (399, "R503", 399), (401, "OK", 400), (30_000, "OK", 400)] {
        let app = build(introspection.clone().time_limit(milliseconds(limit)));
        let (verdict, waited) = time(&app, &format!("limit-{limit}")).await;
        assert!(verdict == expected && (took..=took + 1).contains(&waited), "{limit}: {verdict} after {waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_768_unknown_tokens_wait_and_the_next_is_rejected_at_once() {
    let stub = Stub::with_page(Page::json(&active()).after(milliseconds(900)));
    let app = stub.app();
    super::all(&app, &["first"]).await;
    let answers = timed(&app, &numbered("token", 1_200)).await;
    let at_once: Vec<_> = answers.iter().filter(|(_, waited)| waited.is_zero()).collect();
    assert_eq!(at_once.len(), 1_200 - 8 - 768);
    // 768 requests wait before them, at eight at once. That takes more than a minute.
    assert!(at_once.iter().all(|(answer, _)| answer.header("retry-after") == Some("60")));
    assert!(answers.iter().all(|(answer, _)| ["OK", "R503"].contains(&answer.verdict().as_str())));
}

#[tokio::test(start_paused = true)]
async fn known_tokens_are_introspected_during_a_flood() {
    let stub = Stub::new(|token| {
        let page = if token.starts_with("valid") { Page::json(&active()) } else { Page::ok(r#"{"active":false}"#) };
        page.after(milliseconds(500))
    });
    let app = stub.app();
    let valid = numbered("valid", 30);
    assert_eq!(count(&super::all(&app, &valid).await, "OK"), 30);
    // The cached results have expired.
    tokio::time::advance(Duration::from_secs(31)).await;
    let flood = numbered("garbage", 2_000);
    let (flooded, answers) = tokio::join!(timed(&app, &flood), super::all(&app, &valid));
    assert_eq!(count(&answers, "OK"), 30);
    assert!(flooded.iter().any(|(answer, _)| answer.verdict() == "R503"));
}

#[tokio::test(start_paused = true)]
async fn concurrency_of_an_endpoint_is_shared_by_all_servers_of_an_issuer() {
    let stub = Stub::with_page(Page::json(&active()).after(milliseconds(300)));
    let issuer = stub.issuer(super::credentials());
    let apps = [(); 4].map(|()| App::new(super::server_of(issuer.clone()).bearer_layer()));
    let tokens: Vec<_> = (0..4).map(|app| numbered(&format!("token-{app}"), 2)).collect();
    let answers = join_all(apps.iter().zip(&tokens).map(|(app, tokens)| super::all(app, tokens))).await;
    let passed: usize = answers.iter().map(|answers| count(answers, "OK")).sum();
    assert_eq!((passed, stub.most_open()), (8, 8));
    let tokens: Vec<_> = (0..4).map(|app| numbered(&format!("more-{app}"), 10)).collect();
    let answers = join_all(apps.iter().zip(&tokens).map(|(app, tokens)| super::all(app, tokens))).await;
    let passed: usize = answers.iter().map(|answers| count(answers, "OK")).sum();
    assert!(passed == 40 && stub.most_open() < 16, "{passed} {}", stub.most_open());
}

#[tokio::test(start_paused = true)]
async fn a_request_times_out_after_three_seconds_including_its_retry() {
    for (page, requests) in [
        (Page::json(&active()).after(Duration::from_secs(3600)), 1),
        // The retry gets the rest of the time.
        (Page::status(503).after(milliseconds(2_000)), 2),
        (Page::error(HttpErrorKind::Connect).after(milliseconds(2_000)), 2),
    ] {
        let stub = Stub::with_page(page);
        let (verdict, took) = time(&stub.app(), "opaque").await;
        assert_eq!((verdict.as_str(), stub.introspections()), ("R503", requests));
        assert!((3000..=3001).contains(&took), "{took}");
    }
    let stub = Stub::with_page(Page::json(&active()).after(milliseconds(2_990)));
    assert_eq!(time(&stub.app(), "opaque").await.0, "OK");
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_starts_when_the_request_is_sent() {
    let stub = Stub::new(|token| {
        let delay = if token.starts_with("first") { 1_900 } else { 2_900 };
        Page::json(&active()).after(milliseconds(delay))
    });
    let app = stub.app();
    let first = numbered("first", 16);
    let (first, (verdict, took)) = tokio::join!(super::all(&app, &first), time(&app, "second"));
    assert_eq!((count(&first, "OK"), verdict.as_str()), (16, "OK"));
    assert!((3_800 + 2_900..=3_800 + 2_902).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_before_a_retry_does_not_count_as_a_concurrent_request() {
    let stub = Stub::new(|token| if token.starts_with("valid") { Page::json(&active()) } else { Page::status(503) });
    let app = App::new(server_of(stub.issuer(Introspection::new(credentials()).max_in_flight(1))).bearer_layer());
    assert_eq!(time(&app, "valid").await, ("OK".to_owned(), 0));
    let odd = numbered("odd", 3);
    let (odd, valid) = tokio::join!(super::all(&app, &odd), async {
        tokio::time::sleep(milliseconds(10)).await;
        time(&app, "valid-too").await
    });
    // The request is sent at once, during the pauses of the others.
    assert_eq!((count(&odd, "R503"), valid), (3, ("OK".to_owned(), 0)));
}

#[tokio::test(start_paused = true)]
async fn only_transient_failures_are_retried_once() {
    use HttpErrorKind as Error;
    for (index, (page, retried)) in [
        (Page::status(502), true),
        (Page::status(503), true),
        (Page::status(504), true),
        (Page::error(Error::Connect), true),
        (Page::status(500), false),
        (Page::status(501), false),
        (Page::status(400), false),
        (Page::status(401), false),
        (Page::status(404), false),
        (Page::status(429), false),
        (Page::ok("<html>"), false),
        // The authorization server may have received the request.
        (Page::error(Error::Other), false),
        (Page::error(Error::Timeout), false),
        (Page::error(Error::TooLarge), false),
        (Page::error(Error::ForbiddenAddress), false),
        (Page::error(Error::Redirected), false),
    ]
    .into_iter()
    .enumerate()
    {
        let stub = Stub::with_page(page);
        let (verdict, took) = time(&stub.app(), "opaque").await;
        assert_eq!((verdict.as_str(), stub.introspections()), ("R503", 1 + usize::from(retried)), "{index}");
        let expected = if retried { 50..=151 } else { 0..=0 };
        assert!(expected.contains(&took), "{index}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_successful_retry_leaves_no_error_in_health() {
    use mcp_bearer::testing::{Endpoint, Fault};
    for fault in [Fault::Status(502), Fault::Status(503), Fault::Status(504), Fault::RetryAfter(milliseconds(60_000))] {
        let fixture = Fixture::new().await;
        fixture.issuer.fault_times(Endpoint::Introspection, fault, 1);
        assert_eq!(
            (fixture.app().with_token(&fixture.token()).await.verdict().as_str(), fixture.introspections()),
            ("OK", 2)
        );
        assert!(fixture.server.health().issuers()[0].last_error().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_http_client_gets_the_connect_timeout_and_the_size_limit() {
    let stub = Stub::with_page(Page::json(&active()));
    assert_eq!(stub.app().with_token("opaque").await.verdict(), "OK");
    let (_, limits) = stub.last();
    assert_eq!((limits.connect, limits.body), (Duration::from_secs(2), 64 * 1024));
    // The operator configured this endpoint. See `discovery` for an endpoint from fetched metadata.
    assert_eq!(limits.addresses, AddressPolicy::Any);
}
