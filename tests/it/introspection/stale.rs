//! `stale_on_error`: using an expired result during an outage. It is off by default, limited in time, and for active
//! tokens only.

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

/// An application that has accepted the token `known`. After 30 s, it may use the result for this time during an
/// outage.
async fn app_with_known_token(stale: Duration) -> (Stub, App) {
    let stub = Stub::with_page(Page::json(&active()));
    let server = super::server_of(stub.issuer(Introspection::new(credentials()).stale_on_error(stale)));
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    (stub, app)
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_is_off_by_default() {
    let stub = Stub::with_page(Page::json(&active()));
    let app = stub.app();
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    stub.set_page(Page::status(500));
    advance(seconds(30) - MILLISECOND).await;
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("OK", 1));
    advance(MILLISECOND).await;
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("R503", 2));
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_applies_for_its_time_and_introspects_each_time() {
    for time in [1, 20, 60] {
        let (stub, app) = app_with_known_token(seconds(time)).await;
        stub.set_page(Page::status(500));
        advance(seconds(30)).await;
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("OK", 2), "{time}");
        advance(seconds(time) - MILLISECOND).await;
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("OK", 3), "{time}");
        advance(MILLISECOND).await;
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("R503", 4), "{time}");
        stub.set_page(Page::json(&active()));
        assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("OK", 5), "{time}");
    }
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_applies_to_every_error() {
    for page in [
        Page::status(401),
        Page::status(400),
        Page::status(503),
        Page::ok("<html>"),
        Page::json(&active()).after(seconds(60)),
    ] {
        let (stub, app) = app_with_known_token(seconds(20)).await;
        advance(seconds(30)).await;
        stub.set_page(page);
        let started = Instant::now();
        assert_eq!(app.with_token("known").await.verdict(), "OK");
        assert!(started.elapsed() <= seconds(3) + MILLISECOND);
        assert_eq!(app.with_token("unknown").await.verdict(), "R503");
    }
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_applies_while_the_breaker_is_open() {
    let (stub, app) = app_with_known_token(seconds(20)).await;
    advance(seconds(30)).await;
    stub.set_page(Page::error(HttpErrorKind::Connect));
    all(&app, &numbered("failed", 5)).await;
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("OK", 11));
    assert_eq!(app.with_token("unknown").await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_never_lasts_beyond_exp() {
    let (stub, app) = app_with_known_token(seconds(60)).await;
    let mut answer = active();
    answer["exp"] = (START + 35).into();
    stub.set_page(Page::json(&answer));
    assert_eq!(app.with_token("short").await.verdict(), "OK");
    stub.set_page(Page::status(500));
    advance(seconds(35) - MILLISECOND).await;
    assert_eq!(app.with_token("short").await.verdict(), "OK");
    advance(MILLISECOND).await;
    assert_eq!(app.with_token("short").await.verdict(), "R503");
    assert_eq!(app.with_token("known").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_ends_with_an_inactive_response() {
    let (stub, app) = app_with_known_token(seconds(60)).await;
    advance(seconds(30)).await;
    stub.set_page(Page::ok(r#"{"active":false}"#));
    assert_eq!(app.with_token("known").await.verdict(), "R401");
    stub.set_page(Page::status(500));
    assert_eq!((app.with_token("known").await.verdict().as_str(), stub.introspections()), ("R401", 2));
    // After the negative cache entry expires, neither result is used.
    advance(seconds(10)).await;
    assert_eq!(app.with_token("known").await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_ends_with_forget() {
    let stub = Stub::with_page(Page::json(&active()));
    let server = super::server_of(stub.issuer(Introspection::new(credentials()).stale_on_error(seconds(60))));
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    stub.set_page(Page::status(500));
    server.forget("known");
    assert_eq!(app.with_token("known").await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn stale_on_error_counts_from_the_end_of_the_positive_cache() {
    let introspection = Introspection::new(credentials()).positive_cache(Duration::ZERO).stale_on_error(seconds(20));
    let stub = Stub::with_page(Page::json(&active()));
    let app = App::new(super::server_of(stub.issuer(introspection)).bearer_layer());
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    stub.set_page(Page::status(500));
    advance(seconds(20) - MILLISECOND).await;
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    advance(MILLISECOND).await;
    assert_eq!(app.with_token("known").await.verdict(), "R503");
}
