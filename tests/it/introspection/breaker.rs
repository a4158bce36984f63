//! When an endpoint that fails is left in peace, and what that is to those who wait.

use std::time::Duration;

use mcp_bearer::ResourceServer;
use mcp_bearer::http_client::{FetchErrorKind, HttpErrorKind};
use tokio::time::{advance, timeout};

use super::stub::{Page, Stub, active};
use super::{all, count, numbered};
use crate::support::App;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A server whose endpoint has just failed five times.
async fn open() -> (Stub, ResourceServer, App) {
    let stub = Stub::saying(Page::status(429));
    let server = stub.server();
    let app = App::new(server.bearer_layer());
    for token in numbered("failed", 5) {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    assert_eq!(stub.asked(), 5);
    (stub, server, app)
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_after_five_failures_in_a_row_and_then_nobody_is_asked() {
    let (stub, _, app) = open().await;
    // Whatever would be said now.
    stub.say(Page::json(&active()));
    let answers = all(&app, &numbered("refused", 200)).await;
    assert_eq!((count(&answers, "R503"), stub.asked()), (200, 5));
    for answer in answers {
        assert_eq!((answer.header("retry-after"), answer.header("www-authenticate")), (Some("5"), None));
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_counts_only_failures_in_a_row() {
    let stub = Stub::saying(Page::status(500));
    let app = stub.app();
    for round in 1..=3 {
        stub.say(Page::status(500));
        for token in numbered(&format!("failed-{round}"), 4) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503");
        }
        // Any answer is one, a bad one for the token too.
        stub.say(Page::ok(r#"{"active":false}"#));
        assert_eq!(app.with_token(&format!("answered-{round}")).await.verdict(), "R401");
        assert_eq!(stub.asked(), round * 5);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_counts_every_kind_of_failure() {
    for (page, asked) in [
        (Page::status(503), 10),
        (Page::status(404), 5),
        (Page::status(429), 5),
        (Page::status(401), 5),
        (Page::status(204), 5),
        (Page::error(HttpErrorKind::Connect), 10),
        (Page::error(HttpErrorKind::Other), 5),
        (Page::json(&active()).after(60 * SECOND), 5),
    ] {
        let stub = Stub::saying(page);
        let app = stub.app();
        for token in numbered("failed", 8) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503");
        }
        assert_eq!(stub.asked(), asked);
    }
}

/// What may be due to a token: many of them prove nothing about the endpoint.
fn ambiguous() -> [Page; 5] {
    [
        Page::status(500),
        Page::status(403),
        Page::ok("<html>"),
        Page::ok(r#"{"active":1}"#),
        Page::error(HttpErrorKind::TooLarge),
    ]
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_for_what_tokens_may_have_caused_once_a_made_up_token_meets_with_the_same() {
    for page in ambiguous() {
        let stub = Stub::saying(page);
        let app = stub.app();
        for token in numbered("failed", 5) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503");
        }
        // The made-up token is asked about behind everybody's back.
        tokio::time::sleep(MILLISECOND).await;
        assert_eq!(count(&all(&app, &numbered("refused", 20)).await, "R503"), 20);
        assert_eq!(stub.asked(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_does_not_open_for_tokens_that_the_endpoint_cannot_bear() {
    for page in ambiguous() {
        let stub = Stub::new(move |token| match token {
            _ if token.starts_with("odd") => page.clone(),
            _ if token.starts_with("good") => Page::json(&active()),
            _ => Page::ok(r#"{"active":false}"#),
        });
        let app = stub.app();
        for round in 0..10 {
            assert_eq!(count(&all(&app, &numbered(&format!("odd-{round}"), 20)).await, "R503"), 20);
            assert_eq!(app.with_token("odd-again").await.verdict(), "R503");
            assert_eq!(app.with_token(&format!("good-{round}")).await.verdict(), "OK");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_probe_that_the_endpoint_cannot_bear_does_not_keep_it_open() {
    let (stub, _, app) = open().await;
    stub.say_by(|token| match token {
        "odd" => Page::status(500),
        "good" => Page::json(&active()),
        _ => Page::ok(r#"{"active":false}"#),
    });
    advance(5 * SECOND).await;
    assert_eq!(app.with_token("odd").await.verdict(), "R503");
    tokio::time::sleep(MILLISECOND).await;
    assert_eq!(app.with_token("good").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn breaker_does_not_open_for_a_refusal_of_single_tokens() {
    for status in [400, 413, 414, 422, 431] {
        let stub =
            Stub::new(move |token| if token.starts_with("odd") { Page::status(status) } else { Page::json(&active()) });
        let app = stub.app();
        for token in numbered("odd", 20) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503", "{status}");
        }
        assert_eq!(app.with_token("good").await.verdict(), "OK", "{status}");
        assert_eq!(stub.asked(), 21, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_probe_that_is_refused_for_its_token_is_followed_by_another() {
    let (stub, server, app) = open().await;
    stub.say(Page::status(400));
    advance(5 * SECOND).await;
    for asked in 6..=8 {
        assert_eq!(app.with_token("odd").await.verdict(), "R503");
        assert_eq!((stub.asked(), server.health().is_ready()), (asked, true));
    }
    stub.say(Page::json(&active()));
    assert_eq!(app.with_token("good").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn breaker_says_how_long_it_stays_open() {
    let (_, server, app) = open().await;
    for (passed, remaining, told) in [
        (Duration::ZERO, 5_000, "5"),
        (Duration::from_millis(300), 4_700, "5"),
        (Duration::from_millis(2_000), 2_700, "3"),
        (Duration::from_millis(700), 2_000, "2"),
        (Duration::from_millis(1_500), 500, "1"),
    ] {
        advance(passed).await;
        let health = server.health();
        assert_eq!(health.issuers()[0].retry_in().as_millis(), remaining);
        // Who comes back by then finds it ready to be tried.
        assert_eq!(app.with_token("refused").await.header("retry-after"), Some(told), "{remaining}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_pauses_double_to_a_minute_with_one_probe_after_each() {
    let (stub, _, app) = open().await;
    let mut asked = 5;
    for pause in [5, 10, 20, 40, 60, 60] {
        advance(pause * SECOND - MILLISECOND).await;
        assert_eq!(count(&all(&app, &numbered("early", 10)).await, "R503"), 10);
        assert_eq!(stub.asked(), asked, "{pause}");
        advance(MILLISECOND).await;
        let answers = all(&app, &numbered("probe", 10)).await;
        asked += 1;
        assert_eq!((count(&answers, "R503"), stub.asked()), (10, asked), "{pause}");
    }
    // From the start again, once it was well.
    stub.say(Page::json(&active()));
    advance(60 * SECOND).await;
    assert_eq!(app.with_token("probe").await.verdict(), "OK");
    stub.say(Page::status(429));
    all(&app, &numbered("failed", 5)).await;
    assert_eq!(app.with_token("refused").await.header("retry-after"), Some("5"));
}

#[tokio::test(start_paused = true)]
async fn breaker_lets_one_probe_through_at_a_time() {
    let (stub, _, app) = open().await;
    stub.say(Page::json(&active()).after(SECOND));
    advance(5 * SECOND).await;
    let answers = all(&app, &numbered("probe", 10)).await;
    assert_eq!((count(&answers, "OK"), count(&answers, "R503"), stub.asked()), (1, 9, 6));
    let told: Vec<_> = answers.iter().filter_map(|answer| answer.header("retry-after")).collect();
    assert_eq!(told, ["1"; 9]);
}

#[tokio::test(start_paused = true)]
async fn breaker_lets_all_who_show_the_probes_token_share_its_answer() {
    let (stub, _, app) = open().await;
    stub.say(Page::json(&active()).after(SECOND));
    advance(5 * SECOND).await;
    let later = async |token: &str| {
        tokio::time::sleep(SECOND / 2).await;
        app.with_token(token).await.verdict()
    };
    let (first, same, other) = tokio::join!(app.with_token("probe"), later("probe"), later("other"));
    assert_eq!((first.verdict().as_str(), same.as_str(), other.as_str(), stub.asked()), ("OK", "OK", "R503", 6));
}

#[tokio::test(start_paused = true)]
async fn breaker_is_closed_by_a_success_and_all_may_ask_again() {
    let (stub, _, app) = open().await;
    stub.say(Page::ok(r#"{"active":false}"#));
    advance(5 * SECOND).await;
    assert_eq!(app.with_token("probe").await.verdict(), "R401");
    stub.say(Page::json(&active()));
    assert_eq!(count(&all(&app, &numbered("good", 50)).await, "OK"), 50);
    assert_eq!(stub.asked(), 56);
}

#[tokio::test(start_paused = true)]
async fn breaker_learns_from_a_probe_whose_caller_has_gone_away() {
    let (stub, server, app) = open().await;
    stub.say(Page::json(&active()).after(SECOND));
    advance(5 * SECOND).await;
    assert!(timeout(SECOND / 2, app.with_token("probe")).await.is_err());
    tokio::time::sleep(SECOND).await;
    assert!(server.health().issuers()[0].last_error().is_none());
    assert_eq!(count(&all(&app, &numbered("good", 50)).await, "OK"), 50);
}

#[tokio::test(start_paused = true)]
async fn breaker_stays_out_of_the_way_of_known_tokens() {
    let stub = Stub::new(|token| if token == "known" { Page::json(&active()) } else { Page::status(500) });
    let app = stub.app();
    assert_eq!(app.with_token("known").await.verdict(), "OK");
    assert_eq!(count(&all(&app, &numbered("failed", 5)).await, "R503"), 5);
    for _ in 0..29 {
        assert_eq!(app.with_token("known").await.verdict(), "OK");
        advance(SECOND).await;
    }
    assert_eq!(app.with_token("known").await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn breaker_heeds_a_longer_wish_of_the_server_up_to_a_minute() {
    for (wish, pause) in [("1", 5), ("30", 30), ("60", 60), ("86400", 60), ("soon", 5)] {
        let stub = Stub::saying(Page::status(429).header("retry-after", wish));
        let app = stub.app();
        all(&app, &numbered("failed", 5)).await;
        let answer = app.with_token("refused").await;
        assert_eq!((answer.header("retry-after"), stub.asked()), (Some(pause.to_string().as_str()), 5), "{wish}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_and_what_it_was_are_seen_by_a_readiness_probe() {
    let (stub, server, app) = open().await;
    let health = server.health();
    let issuer = &health.issuers()[0];
    assert!(!health.is_ready() && !issuer.is_ready());
    assert_eq!(issuer.last_error().unwrap().kind(), FetchErrorKind::Status(429));
    assert_eq!(issuer.retry_in(), 5 * SECOND);
    // Ready to be tried: without traffic nobody would learn that it is well again.
    advance(5 * SECOND).await;
    assert!(server.health().is_ready());
    stub.say(Page::status(204));
    assert_eq!(app.with_token("probe").await.verdict(), "R503");
    let health = server.health();
    assert_eq!(health.issuers()[0].last_error().unwrap().kind(), FetchErrorKind::Status(204));
    assert_eq!((health.is_ready(), health.issuers()[0].retry_in()), (false, 10 * SECOND));
    advance(10 * SECOND).await;
    stub.say(Page::json(&active()));
    assert_eq!(app.with_token("probe").await.verdict(), "OK");
    let health = server.health();
    assert!(health.is_ready() && health.issuers()[0].last_error().is_none());
    assert!(health.issuers()[0].retry_in().is_zero());
}

#[tokio::test(start_paused = true)]
async fn breaker_below_five_failures_leaves_the_server_ready() {
    let stub = Stub::saying(Page::status(500));
    let server = stub.server();
    let app = App::new(server.bearer_layer());
    for token in numbered("failed", 4) {
        app.with_token(&token).await;
        let health = server.health();
        assert!(health.is_ready() && health.issuers()[0].last_error().is_some());
    }
}
