//! The number of introspection requests under load. The memory use during a flood is tested in `tests/allocations.rs`.

use std::time::Duration;

use http::StatusCode;
use mcp_bearer::introspection::Introspection;
use tokio::time::{Instant, advance};

use super::stub::{Page, Stub, active};
use super::{BareLayer, all, count, credentials, numbered, server_of};

#[tokio::test(start_paused = true)]
async fn each_of_fifty_tokens_is_introspected_once_per_cache_period() {
    for (length, periods) in [(10, 1), (75, 3)] {
        let stub = Stub::with_page(Page::json(&active()).after(Duration::from_millis(5)));
        let (app, tokens) = (stub.app(), numbered("token", 50));
        for _ in 0..100 {
            // All fifty are sent at once, so all cached results expire at the same time.
            assert_eq!(count(&all(&app, &tokens).await, "OK"), 50);
            advance(Duration::from_secs(length) / 100).await;
        }
        assert_eq!((app.reached(), stub.introspections()), (5_000, 50 * periods), "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invalid_tokens_at_a_hanging_endpoint_causes_at_most_eight_concurrent_requests() {
    let stub = Stub::new(|token| {
        let page = Page::json(&active());
        if token == "known" { page } else { page.after(Duration::from_secs(3600)) }
    });
    let introspection = Introspection::new(credentials()).positive_cache(Duration::from_secs(300));
    let layer = BareLayer::new(&server_of(stub.issuer(introspection)));
    assert_eq!(layer.status("known").await, StatusCode::OK);
    let begun = Instant::now();
    for burst in 0..100 {
        let garbage = numbered(&format!("garbage-{burst}"), 1_000);
        let rejected = layer.count(&garbage, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(tokio::join!(rejected, layer.status("known")), (1_000, StatusCode::OK), "{burst}");
        advance(Duration::from_millis(500)).await;
    }
    assert_eq!(stub.most_open(), 8);
    // The known token, introspected a few times, and 8 requests at a time with 3 s each.
    let most = 3 + 8 * (1 + begun.elapsed().as_secs() / 3);
    assert!(stub.introspections() <= most.try_into().unwrap(), "{} of {most}", stub.introspections());
}
