//! The circuit breaker: when it suspends requests to a failing endpoint, and what clients get in the meantime.
//! `strangers` shows that clients with unknown tokens cannot open it.

use std::time::Duration;

use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::http_client::{FetchErrorKind, HttpErrorKind};
use mcp_bearer::introspection::Introspection;
use tokio::time::{Instant, advance, timeout};
use tracing::Level;

use super::stub::{Page, Stub, active};
use super::{all, count, credentials, numbered, server_of};
use crate::capture::Capture;
use crate::support::{Answer, App};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A failed connection, which no token can cause.
fn down() -> Page {
    Page::error(HttpErrorKind::Connect)
}

/// A server with an open circuit breaker: its endpoint could not be reached five times.
async fn open() -> (Stub, ResourceServer, App) {
    let stub = Stub::with_page(down());
    let server = stub.server();
    let app = App::new(server.bearer_layer());
    for token in numbered("failed", 5) {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    // Each token is tried twice.
    assert_eq!(stub.introspections(), 10);
    (stub, server, app)
}

/// A server that has accepted the tokens `known` and `other`, and introspects them again for each request.
async fn confirmed() -> (Stub, ResourceServer, App) {
    let stub = Stub::with_page(Page::json(&active()));
    let server = server_of(stub.issuer(Introspection::new(credentials()).positive_cache(Duration::ZERO)));
    let app = App::new(server.bearer_layer());
    for token in ["known", "other"] {
        assert_eq!(app.with_token(token).await.verdict(), "OK");
    }
    (stub, server, app)
}

/// Asserts that `Retry-After` is this, or up to 30 % more.
fn assert_retry_after(answer: &Answer, seconds: u64) {
    let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(
        (seconds..=(seconds + seconds * 3 / 10).min(60)).contains(&retry_after),
        "{retry_after} s instead of {seconds} s"
    );
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_after_five_failures_in_a_row_and_stops_requests() {
    let (stub, _, app) = open().await;
    // From now on, the endpoint would answer.
    stub.set_page(Page::json(&active()));
    let answers = all(&app, &numbered("rejected", 200)).await;
    assert_eq!((count(&answers, "R503"), stub.introspections()), (200, 10));
    for answer in &answers {
        assert_retry_after(answer, 5);
        assert_eq!(answer.header("www-authenticate"), None);
    }
    // The times are spread, so that the clients do not all return at once.
    assert!(answers.iter().any(|answer| answer.header("retry-after") == Some("6")));
}

#[tokio::test(start_paused = true)]
async fn breaker_counts_only_failures_in_a_row() {
    let stub = Stub::with_page(Page::status(500));
    let app = stub.app();
    for round in 1..=3 {
        stub.set_page(Page::status(500));
        for token in numbered(&format!("failed-{round}"), 4) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503");
        }
        // Any valid response ends the series, even an inactive one.
        stub.set_page(Page::ok(r#"{"active":false}"#));
        assert_eq!(app.with_token(&format!("answered-{round}")).await.verdict(), "R401");
        assert_eq!(stub.introspections(), round * 5);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_counts_every_kind_of_failure() {
    for (page, requests) in [
        (Page::status(503), 10),
        (Page::status(404), 5),
        (Page::status(429), 5),
        (Page::status(401), 5),
        (Page::status(204), 5),
        (Page::error(HttpErrorKind::Connect), 10),
        (Page::error(HttpErrorKind::Other), 5),
        (Page::json(&active()).after(60 * SECOND), 5),
    ] {
        let stub = Stub::with_page(page);
        let app = stub.app();
        for token in numbered("failed", 8) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503");
        }
        assert_eq!(stub.introspections(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_for_tokens_that_were_active_before() {
    for page in [
        Page::status(500),
        Page::status(401),
        Page::status(403),
        Page::status(404),
        Page::status(503),
        Page::status(429),
        Page::ok("<html>"),
        Page::error(HttpErrorKind::Other),
        Page::ok("").after(60 * SECOND),
    ] {
        let (stub, server, app) = confirmed().await;
        stub.set_page(page);
        // The other token was the last one accepted.
        advance(SECOND).await;
        for _ in 0..5 {
            assert!(server.health().is_ready());
            assert_eq!(app.with_token("other").await.verdict(), "R503");
        }
        assert!(!server.health().is_ready());
        // The next pause is twice as long.
        advance(5 * SECOND).await;
        assert_eq!(app.with_token("other").await.verdict(), "R503");
        assert_eq!(server.health().issuers()[0].retry_in(), 10 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_does_not_open_while_another_token_is_confirmed() {
    let (stub, server, app) = confirmed().await;
    // Some authorization servers answer 401 for a revoked token.
    stub.set_reply(|token| if token == "known" { Page::status(401) } else { Page::json(&active()) });
    for _ in 0..20 {
        assert_eq!(app.with_token("known").await.verdict(), "R503");
        advance(5 * SECOND).await;
    }
    assert!(server.health().is_ready());
    // For two minutes, no response has shown that the endpoint works.
    advance(20 * SECOND).await;
    for _ in 0..5 {
        assert_eq!(app.with_token("known").await.verdict(), "R503");
    }
    assert!(!server.health().is_ready());
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_if_every_token_fails_and_none_was_ever_active() {
    for (page, calls) in [
        (Page::status(401), 5),
        (Page::status(403), 5),
        (Page::status(404), 5),
        (Page::status(500), 5),
        (Page::status(503), 10),
        (Page::ok("<html>"), 5),
        (Page::ok("").after(60 * SECOND), 5),
    ] {
        let stub = Stub::with_page(page);
        let server = stub.server();
        let app = App::new(server.bearer_layer());
        for token in numbered("failed", 5) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503");
        }
        assert_eq!(count(&all(&app, &numbered("rejected", 20)).await, "R503"), 20);
        assert_eq!((stub.introspections(), server.health().is_ready()), (calls, false));
        // Each failure may be due to its new token, so the pause does not grow.
        for round in 0..10 {
            advance(5 * SECOND).await;
            assert_eq!(app.with_token(&format!("failed-{round}")).await.verdict(), "R503");
            assert!(server.health().is_ready());
        }
        stub.set_page(Page::json(&active()));
        assert_eq!(app.with_token("valid").await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_does_not_open_for_failures_of_a_single_token() {
    for page in
        [Page::status(500), Page::status(401), Page::status(503), Page::ok("<html>"), Page::error(HttpErrorKind::Other)]
    {
        let stub = Stub::new(move |token| if token == "odd" { page.clone() } else { Page::json(&active()) });
        let app = stub.app();
        for _ in 0..20 {
            assert_eq!(app.with_token("odd").await.verdict(), "R503");
        }
        assert_eq!(app.with_token("valid").await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_does_not_open_for_requests_that_are_rejected_for_their_tokens() {
    for status in [400, 413, 414, 422, 431] {
        let stub =
            Stub::new(move |token| if token.starts_with("odd") { Page::status(status) } else { Page::json(&active()) });
        let app = stub.app();
        for token in numbered("odd", 20) {
            assert_eq!(app.with_token(&token).await.verdict(), "R503", "{status}");
        }
        assert_eq!(app.with_token("valid").await.verdict(), "OK", "{status}");
        assert_eq!(stub.introspections(), 21, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_at_once_if_the_client_was_never_accepted_and_logs_it_once() {
    for (status, code) in
        [(401, "invalid_client"), (403, "invalid_client"), (400, "invalid_client"), (400, "unauthorized_client")]
    {
        let capture = Capture::of_this_thread();
        let stub = Stub::with_page(Page::status(status).body(format!(r#"{{"error":"{code}"}}"#)));
        let app = stub.app();
        capture.take();
        let answer = app.with_token("first").await;
        assert_eq!(answer.rejection.as_ref().unwrap().kind(), RejectionKind::Misconfigured, "{status} {code}");
        let answers = all(&app, &numbered("token", 20)).await;
        assert_eq!((count(&answers, "R503"), stub.introspections()), (20, 1), "{status} {code}");
        let log = capture.take();
        let errors = log
            .iter()
            .filter(|(level, line)| *level == Level::ERROR && line.contains("client credentials of this server"));
        assert_eq!(errors.count(), 1, "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_logs_once_that_credentials_may_be_wrong_if_no_token_was_ever_active() {
    let capture = Capture::of_this_thread();
    for (status, expected) in [(401, 1), (403, 1), (404, 0), (500, 0)] {
        let stub = Stub::with_page(Page::status(status));
        let app = stub.app();
        capture.take();
        for round in 0..3 {
            all(&app, &numbered(&format!("token-{round}"), 20)).await;
            advance(5 * SECOND).await;
        }
        let log = capture.take();
        let errors = log.iter().filter(|(level, line)| *level == Level::ERROR && line.contains("credentials"));
        assert_eq!(errors.count(), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_ignores_client_errors_while_other_tokens_are_accepted() {
    let (stub, server, app) = confirmed().await;
    let capture = Capture::of_this_thread();
    for (status, body) in [(401, r#"{"error":"invalid_client"}"#), (403, "<html>blocked</html>"), (401, "")] {
        stub.set_page(Page::status(status).body(body));
        for token in numbered("odd", 10) {
            let answer = app.with_token(&token).await;
            assert!(matches!(answer.rejection.unwrap().kind(), RejectionKind::Unavailable { .. }), "{status} {body}");
        }
        assert!(server.health().is_ready() && server.health().issuers()[0].last_error().is_none());
        let log = capture.take();
        assert!(!log.iter().any(|(level, _)| *level == Level::ERROR), "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_for_timeouts_only_if_nothing_is_answered() {
    let (stub, server, app) = confirmed().await;
    advance(121 * SECOND).await;
    stub.set_reply(|token| match token {
        "known" => Page::ok("").after(60 * SECOND),
        _ => Page::ok(r#"{"active":false}"#).after(SECOND),
    });
    for round in 0..10 {
        let other = format!("other-{round}");
        let (known, other) = tokio::join!(app.with_token("known"), app.with_token(&other));
        assert_eq!((known.verdict(), other.verdict()), ("R503".to_owned(), "R401".to_owned()));
        assert!(server.health().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_pauses_double_to_a_minute_with_one_probe_after_each() {
    let (stub, _, app) = open().await;
    let mut requests = 10;
    for pause in [5, 10, 20, 40, 60, 60] {
        advance(pause * SECOND - MILLISECOND).await;
        assert_eq!(count(&all(&app, &numbered("early", 10)).await, "R503"), 10);
        assert_eq!(stub.introspections(), requests, "{pause}");
        advance(MILLISECOND).await;
        let answers = all(&app, &numbered("probe", 10)).await;
        // A probe is not retried.
        requests += 1;
        assert_eq!((count(&answers, "R503"), stub.introspections()), (10, requests), "{pause}");
    }
    // After a success, the pauses start at five seconds again.
    stub.set_page(Page::json(&active()));
    advance(60 * SECOND).await;
    assert_eq!(app.with_token("probe").await.verdict(), "OK");
    stub.set_page(down());
    all(&app, &numbered("failed", 5)).await;
    assert_retry_after(&app.with_token("rejected").await, 5);
}

#[tokio::test(start_paused = true)]
async fn half_open_breaker_sends_one_request_at_a_time_and_known_tokens_first() {
    let (stub, _, app) = confirmed().await;
    stub.set_page(down());
    all(&app, &numbered("failed", 5)).await;
    advance(5 * SECOND).await;
    // The responses for unknown tokens neither close nor open the circuit breaker.
    stub.set_reply(|token| match token {
        "known" => Page::json(&active()).after(SECOND),
        "slow" => Page::status(500).after(SECOND),
        _ => Page::status(500),
    });
    let (requests, odd) = (stub.introspections(), numbered("odd", 50));
    let began = Instant::now();
    let later = async |token: &str| {
        tokio::time::sleep(SECOND / 2).await;
        let answer = app.with_token(token).await;
        (answer.verdict(), began.elapsed().as_millis())
    };
    let (slow, unknown, known) = tokio::join!(app.with_token("slow"), all(&app, &odd), later("known"));
    assert_eq!((slow.verdict().as_str(), known), ("R503", ("OK".to_owned(), 2_000)));
    // The unknown tokens waited behind both, each for its own response.
    assert_eq!((count(&unknown, "R503"), stub.most_open(), stub.introspections()), (50, 1, requests + 52));
}

#[tokio::test(start_paused = true)]
async fn closing_breaker_starts_with_one_request_at_a_time_and_grows() {
    let (stub, _, app) = open().await;
    stub.set_page(Page::json(&active()).after(SECOND / 10));
    advance(5 * SECOND).await;
    let began = Instant::now();
    assert_eq!(count(&all(&app, &numbered("valid", 40)).await, "OK"), 40);
    // One request at a time would take 4 s.
    let took = began.elapsed();
    assert!((SECOND..3 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn breaker_reports_how_long_it_stays_open() {
    let (_, server, app) = open().await;
    for (passed, remaining, retry_after) in [
        (Duration::ZERO, 5_000, 5),
        (Duration::from_millis(300), 4_700, 5),
        (Duration::from_millis(2_000), 2_700, 3),
        (Duration::from_millis(700), 2_000, 2),
        (Duration::from_millis(1_500), 500, 1),
    ] {
        advance(passed).await;
        let health = server.health();
        assert_eq!(health.issuers()[0].retry_in().as_millis(), remaining);
        // A client that returns then finds the circuit breaker half-open.
        assert_retry_after(&app.with_token("rejected").await, retry_after);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_with_the_token_of_a_probe_share_its_response() {
    let (stub, _, app) = open().await;
    stub.set_page(Page::json(&active()).after(SECOND));
    advance(5 * SECOND).await;
    let later = async |token: &str| {
        tokio::time::sleep(SECOND / 2).await;
        app.with_token(token).await.verdict()
    };
    // Other tokens wait for their turn.
    let (first, same, other) = tokio::join!(app.with_token("probe"), later("probe"), later("other"));
    assert_eq!(
        (first.verdict().as_str(), same.as_str(), other.as_str(), stub.introspections()),
        ("OK", "OK", "OK", 12)
    );
}

#[tokio::test(start_paused = true)]
async fn breaker_is_closed_by_a_success() {
    let (stub, _, app) = open().await;
    stub.set_page(Page::ok(r#"{"active":false}"#));
    advance(5 * SECOND).await;
    assert_eq!(app.with_token("probe").await.verdict(), "R401");
    stub.set_page(Page::json(&active()));
    assert_eq!(count(&all(&app, &numbered("valid", 50)).await, "OK"), 50);
    assert_eq!(stub.introspections(), 61);
}

#[tokio::test(start_paused = true)]
async fn breaker_is_closed_by_a_probe_of_a_cancelled_request() {
    let (stub, server, app) = open().await;
    stub.set_page(Page::json(&active()).after(SECOND));
    advance(5 * SECOND).await;
    assert!(timeout(SECOND / 2, app.with_token("probe")).await.is_err());
    tokio::time::sleep(SECOND).await;
    assert!(server.health().issuers()[0].last_error().is_none());
    stub.set_page(Page::json(&active()));
    assert_eq!(count(&all(&app, &numbered("valid", 50)).await, "OK"), 50);
}

#[tokio::test(start_paused = true)]
async fn breaker_does_not_delay_known_tokens() {
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
async fn breaker_respects_a_rate_limit_for_known_tokens_up_to_a_minute() {
    for (wish, pause) in [("1", 5), ("30", 30), ("60", 60), ("86400", 60)] {
        let (stub, server, app) = confirmed().await;
        stub.set_page(Page::status(429).header("retry-after", wish));
        // For an unknown token, a rate limit has no effect on other tokens.
        assert_eq!(app.with_token("unknown").await.verdict(), "R503");
        assert!(server.health().is_ready());
        assert_eq!(app.with_token("known").await.verdict(), "R503");
        assert_eq!(server.health().issuers()[0].retry_in(), pause * SECOND, "{wish}");
        assert_retry_after(&app.with_token("rejected").await, u64::from(pause));
        assert_eq!(stub.introspections(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_and_its_last_error_are_visible_in_health() {
    let (stub, server, app) = open().await;
    let health = server.health();
    let issuer = &health.issuers()[0];
    assert!(!health.is_ready() && !issuer.is_ready());
    assert_eq!(issuer.last_error().unwrap().kind(), FetchErrorKind::NoResponse);
    assert_eq!(issuer.retry_in(), 5 * SECOND);
    // The server is ready again, since without traffic no request could close the circuit breaker.
    advance(5 * SECOND).await;
    assert!(server.health().is_ready());
    assert_eq!(app.with_token("probe").await.verdict(), "R503");
    let health = server.health();
    assert_eq!(health.issuers()[0].last_error().unwrap().kind(), FetchErrorKind::NoResponse);
    assert_eq!((health.is_ready(), health.issuers()[0].retry_in()), (false, 10 * SECOND));
    advance(10 * SECOND).await;
    stub.set_page(Page::json(&active()));
    assert_eq!(app.with_token("probe").await.verdict(), "OK");
    let health = server.health();
    assert!(health.is_ready() && health.issuers()[0].last_error().is_none());
    assert!(health.issuers()[0].retry_in().is_zero());
}

#[tokio::test(start_paused = true)]
async fn breaker_below_five_failures_leaves_the_server_ready() {
    let stub = Stub::with_page(Page::status(500));
    let server = stub.server();
    let app = App::new(server.bearer_layer());
    for token in numbered("failed", 4) {
        app.with_token(&token).await;
        let health = server.health();
        assert!(health.is_ready() && health.issuers()[0].last_error().is_some());
    }
}
