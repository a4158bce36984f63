//! How much is asked at once, and how long anybody waits.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_bearer::http_client::{AddressPolicy, HttpErrorKind};
use tokio::time::Instant;

use super::stub::{Page, Stub, active};
use super::{Fixture, count, numbered};
use crate::support::{Answer, App};

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Requests with these tokens, all at once, and how long each took.
async fn timed(app: &App, tokens: &[String]) -> Vec<(Answer, Duration)> {
    let started = Instant::now();
    join_all(tokens.iter().map(|token| async move { (app.with_token(token).await, started.elapsed()) })).await
}

async fn time(app: &App, token: &str) -> (String, u128) {
    let started = Instant::now();
    (app.with_token(token).await.verdict(), started.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn concurrency_of_strangers_is_forty_eight_and_others_wait_a_second_at_most() {
    let stub = Stub::saying(Page::json(&active()).after(milliseconds(300)));
    let app = stub.app();
    let answers = timed(&app, &numbered("token", 300)).await;
    // Four times 48 take 1.2 s; the last 48 of them set out after 0.9 s.
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| answer.verdict() == "OK");
    assert_eq!((passed.len(), refused.len(), stub.most_open(), stub.asked()), (192, 108, 48, 192));
    for (answer, waited) in refused {
        assert_eq!((answer.verdict().as_str(), answer.header("retry-after")), ("R503", Some("1")));
        assert!((1000..=1001).contains(&waited.as_millis()), "{waited:?}");
    }
    // Nothing is wrong with the endpoint: nobody is kept from asking.
    assert_eq!(app.with_token("later").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn concurrency_leaves_768_strangers_waiting_and_refuses_the_next_at_once() {
    let stub = Stub::saying(Page::json(&active()).after(milliseconds(900)));
    let app = stub.app();
    let answers = timed(&app, &numbered("token", 1_200)).await;
    let at_once = answers.iter().filter(|(_, waited)| waited.is_zero());
    assert!(at_once.clone().all(|(answer, _)| answer.header("retry-after") == Some("1")));
    assert_eq!(at_once.count(), 1_200 - 48 - 768);
    let answers: Vec<Answer> = answers.into_iter().map(|(answer, _)| answer).collect();
    assert_eq!((count(&answers, "OK"), count(&answers, "R503"), stub.most_open()), (96, 1_104, 48));
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_sixty_four_and_has_room_for_good_tokens_in_a_flood() {
    let stub = Stub::new(|token| {
        let page = if token.starts_with("good") { Page::json(&active()) } else { Page::ok(r#"{"active":false}"#) };
        page.after(milliseconds(500))
    });
    let app = stub.app();
    let good = numbered("good", 30);
    assert_eq!(count(&super::all(&app, &good).await, "OK"), 30);
    // What was said of them no longer holds.
    tokio::time::advance(Duration::from_secs(31)).await;
    let flood = numbered("garbage", 2_000);
    let (flooded, answers) = tokio::join!(timed(&app, &flood), super::all(&app, &good));
    assert_eq!((count(&answers, "OK"), stub.most_open()), (30, 64));
    assert!(flooded.iter().any(|(answer, _)| answer.verdict() == "R503"));
}

#[tokio::test(start_paused = true)]
async fn concurrency_of_an_endpoint_is_shared_by_all_servers_of_an_issuer() {
    let stub = Stub::saying(Page::json(&active()).after(milliseconds(300)));
    let issuer = stub.issuer(super::credentials());
    let apps = [(); 4].map(|()| App::new(super::server_of(issuer.clone()).bearer_layer()));
    let tokens: Vec<_> = (0..4).map(|app| numbered(&format!("token-{app}"), 30)).collect();
    let answers = join_all(apps.iter().zip(&tokens).map(|(app, tokens)| super::all(app, tokens))).await;
    let passed: usize = answers.iter().map(|answers| count(answers, "OK")).sum();
    assert_eq!((passed, stub.most_open()), (120, 48));
}

#[tokio::test(start_paused = true)]
async fn timeouts_are_three_seconds_in_all() {
    for (page, asked) in [
        (Page::json(&active()).after(Duration::from_secs(3600)), 1),
        // The second attempt gets what the first has left.
        (Page::status(503).after(milliseconds(2_000)), 2),
        (Page::error(HttpErrorKind::Connect).after(milliseconds(2_000)), 2),
    ] {
        let stub = Stub::saying(page);
        let (verdict, took) = time(&stub.app(), "opaque").await;
        assert_eq!((verdict.as_str(), stub.asked()), ("R503", asked));
        assert!((3000..=3001).contains(&took), "{took}");
    }
    let stub = Stub::saying(Page::json(&active()).after(milliseconds(2_990)));
    assert_eq!(time(&stub.app(), "opaque").await.0, "OK");
}

#[tokio::test(start_paused = true)]
async fn timeouts_for_the_turn_and_for_the_answer_add_up() {
    let stub = Stub::new(|token| {
        let delay = if token.starts_with("first") { 900 } else { 2_900 };
        Page::json(&active()).after(milliseconds(delay))
    });
    let app = stub.app();
    let first = numbered("first", 64);
    let (_, (verdict, took)) = tokio::join!(super::all(&app, &first), time(&app, "second"));
    assert_eq!(verdict, "OK");
    assert!((3800..=3802).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn timeouts_retry_what_may_pass_once_after_a_moment_and_nothing_else() {
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
        // The request may have arrived.
        (Page::error(Error::Other), false),
        (Page::error(Error::Timeout), false),
        (Page::error(Error::TooLarge), false),
        (Page::error(Error::ForbiddenAddress), false),
        (Page::error(Error::Redirected), false),
    ]
    .into_iter()
    .enumerate()
    {
        let stub = Stub::saying(page);
        let (verdict, took) = time(&stub.app(), "opaque").await;
        assert_eq!((verdict.as_str(), stub.asked()), ("R503", 1 + usize::from(retried)), "{index}");
        let expected = if retried { 50..=151 } else { 0..=0 };
        assert!(expected.contains(&took), "{index}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_a_second_attempt_that_succeeds_are_nobodys_business() {
    use mcp_bearer::testing::{Endpoint, Fault};
    for fault in [Fault::Status(502), Fault::Status(503), Fault::Status(504), Fault::RetryAfter(milliseconds(60_000))] {
        let fixture = Fixture::new().await;
        fixture.issuer.fault_times(Endpoint::Introspection, fault, 1);
        assert_eq!((fixture.app().with_token(&fixture.token()).await.verdict().as_str(), fixture.asked()), ("OK", 2));
        assert!(fixture.server.health().issuers()[0].last_error().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_a_connection_and_the_size_of_an_answer_are_handed_to_the_client() {
    let stub = Stub::saying(Page::json(&active()));
    assert_eq!(stub.app().with_token("opaque").await.verdict(), "OK");
    let (_, limits) = stub.last();
    assert_eq!((limits.connect, limits.body), (Duration::from_secs(2), 64 * 1024));
    // The operator wrote this one; see `discovery` for one that a document names.
    assert_eq!(limits.addresses, AddressPolicy::Any);
}
