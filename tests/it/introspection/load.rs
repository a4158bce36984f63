//! Many requests, counted: what a crowd can make this server do to its authorization server. What a flood of garbage
//! leaves behind is in `tests/allocations.rs`.

use std::time::Duration;

use http::StatusCode;
use mcp_bearer::introspection::Introspection;
use tokio::time::{Instant, advance};

use super::stub::{Page, Stub, active};
use super::{Door, all, count, credentials, numbered, server_of};

#[tokio::test(start_paused = true)]
async fn fifty_tokens_in_five_thousand_requests_are_asked_about_once_in_a_period_each() {
    for (length, periods) in [(10, 1), (75, 3)] {
        let stub = Stub::saying(Page::json(&active()).after(Duration::from_millis(5)));
        let (app, tokens) = (stub.app(), numbered("token", 50));
        for _ in 0..100 {
            // All fifty at once, so that none is ever late for its turn.
            assert_eq!(count(&all(&app, &tokens).await, "OK"), 50);
            advance(Duration::from_secs(length) / 100).await;
        }
        assert_eq!((app.reached(), stub.asked()), (5_000, 50 * periods), "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_garbage_tokens_at_a_hanging_endpoint_open_no_more_than_eight_calls() {
    let stub = Stub::new(|token| {
        let page = Page::json(&active());
        if token == "known" { page } else { page.after(Duration::from_secs(3600)) }
    });
    let introspection = Introspection::new(credentials()).positive_cache(Duration::from_secs(300));
    let door = Door::new(&server_of(stub.issuer(introspection)));
    assert_eq!(door.status("known").await, StatusCode::OK);
    let begun = Instant::now();
    for burst in 0..100 {
        let garbage = numbered(&format!("garbage-{burst}"), 1_000);
        let refused = door.count(&garbage, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(tokio::join!(refused, door.status("known")), (1_000, StatusCode::OK), "{burst}");
        advance(Duration::from_millis(500)).await;
    }
    assert_eq!(stub.most_open(), 8);
    // The known one, now and then again, and 8 at a time, each for 3 s.
    let most = 3 + 8 * (1 + begun.elapsed().as_secs() / 3);
    assert!(stub.asked() <= most.try_into().unwrap(), "{} of {most}", stub.asked());
}
