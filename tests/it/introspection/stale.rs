//! An old answer that serves in an outage: only if switched on, only a good one, only for so long.

use std::time::Duration;

use mcp_bearer::http_client::HttpErrorKind;
use mcp_bearer::introspection::Introspection;
use tokio::time::{Instant, advance};

use super::stub::{Page, Stub, active};
use super::{START, all, credentials, numbered};
use crate::support::App;

const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An application that knows the token `known`, and may go on using the answer for so long after half a minute.
async fn knowing(stale: Duration) -> (Stub, App) {
    let stub = Stub::saying(Page::json(&active()));
    let server = super::server_of(stub.issuer(Introspection::new(credentials()).stale_on_error(stale)));
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    (stub, app)
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_is_off_by_default() {
    let stub = Stub::saying(Page::json(&active()));
    let app = stub.app();
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    stub.say(Page::status(500));
    advance(seconds(30) - MILLISECOND).await;
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("OK", 1));
    advance(MILLISECOND).await;
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("R503", 2));
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_serves_for_its_time_and_asks_each_time() {
    for time in [1, 20, 60] {
        let (stub, app) = knowing(seconds(time)).await;
        stub.say(Page::status(500));
        advance(seconds(30)).await;
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("OK", 2), "{time}");
        advance(seconds(time) - MILLISECOND).await;
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("OK", 3), "{time}");
        advance(MILLISECOND).await;
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("R503", 4), "{time}");
        stub.say(Page::json(&active()));
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("OK", 5), "{time}");
    }
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_serves_whatever_the_error_is() {
    for page in [
        Page::status(401),
        Page::status(400),
        Page::status(503),
        Page::ok("<html>"),
        Page::json(&active()).after(seconds(60)),
    ] {
        let (stub, app) = knowing(seconds(20)).await;
        advance(seconds(30)).await;
        stub.say(page);
        let started = Instant::now();
        assert_eq!(app.with_token("known").await.verdict(), "OK");
        assert!(started.elapsed() <= seconds(3) + MILLISECOND);
        assert_eq!(app.with_token("unknown").await.verdict(), "R503");
    }
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_serves_while_the_breaker_is_open() {
    let (stub, app) = knowing(seconds(20)).await;
    advance(seconds(30)).await;
    stub.say(Page::error(HttpErrorKind::Connect));
    all(&app, &numbered("failed", 5)).await;
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("OK", 11));
    assert_eq!(app.with_token("unknown").await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_never_lasts_beyond_exp() {
    let (stub, app) = knowing(seconds(60)).await;
    let mut answer = active();
    answer["exp"] = (START + 35).into();
    stub.say(Page::json(&answer));
    assert_eq!(app.with_token("short").await.verdict(), "OK");
    stub.say(Page::status(500));
    advance(seconds(35) - MILLISECOND).await;
    assert_eq!(app.with_token("short").await.verdict(), "OK");
    advance(MILLISECOND).await;
    assert_eq!(app.with_token("short").await.verdict(), "R503");
    assert_eq!(app.with_token("known").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_is_ended_by_a_bad_answer_at_once() {
    let (stub, app) = knowing(seconds(60)).await;
    advance(seconds(30)).await;
    stub.say(Page::ok(r#"{"active":false}"#));
    assert_eq!(app.with_token("known").await.verdict(), "R401");
    stub.say(Page::status(500));
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.asked()), ("R401", 2));
    // And when that is forgotten, the good one is not remembered; nor does the bad one serve any longer.
    advance(seconds(10)).await;
    assert_eq!(app.with_token("known").await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_is_ended_by_forgetting() {
    let stub = Stub::saying(Page::json(&active()));
    let server = super::server_of(stub.issuer(Introspection::new(credentials()).stale_on_error(seconds(60))));
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    stub.say(Page::status(500));
    server.forget("known");
    assert_eq!(app.with_token("known").await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_counts_from_the_end_of_the_positive_cache() {
    let introspection = Introspection::new(credentials()).positive_cache(Duration::ZERO).stale_on_error(seconds(20));
    let stub = Stub::saying(Page::json(&active()));
    let app = App::new(super::server_of(stub.issuer(introspection)).bearer_layer());
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    stub.say(Page::status(500));
    advance(seconds(20) - MILLISECOND).await;
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    advance(MILLISECOND).await;
    assert_eq!(app.with_token("known").await.verdict(), "R503");
}
