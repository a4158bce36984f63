//! Sends many requests over real sockets, while keys rotate every five seconds, tokens are revoked, and issuers fail
//! and recover. The test counts and checks every response.
//!
//! Unlike the tests of single behaviours in `tests/it`, which use paused time, this test uses real time. It does not
//! assert durations, so a slow machine only sends fewer requests. It runs for `MCP_BEARER_SOAK_SECONDS` (6 by default),
//! and then for the same time with bursts of new tokens.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test panics when it cannot continue, and knows its data"
)]

mod burst;
mod ledger;
mod load;
mod opaque;
mod outages;
mod signed;

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use ledger::Ledger;
use load::{Sender, send_until_cancelled};
use opaque::Opaque;
use signed::Signed;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://mcp.example.com/mcp";
const SCOPE: &str = "mcp:tools";
/// The senders for each of the two servers. Each sends at most one request in each pause, so all together send at most
/// 2,000 requests per second.
const SENDERS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(8);
/// The memory use is constant once all bounded buffers are full: the cached results of a thousand invalid tokens, the
/// logs of the test issuers, and the buffers of connections. These take about 1 MiB, and a slow machine may still have
/// to fill a part of them after the first measurement. On a fast machine, a leak of 35 bytes per response exceeds this
/// limit.
const MAX_GROWTH: usize = 2 * 1024 * 1024;
/// A broken connection keeps its tasks until its end is noticed, while the new connection already has its own.
const MAX_NEW_TASKS: usize = 2 * 2 * 8 + 8;

#[test]
fn no_token_is_wrongly_accepted_or_rejected_and_memory_is_bounded() {
    let seconds = std::env::var("MCP_BEARER_SOAK_SECONDS").map_or(6, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        soak(Duration::from_secs(seconds)).await;
        // The bursts run afterwards, because their load would delay the responses of the first test.
        burst::bursts(Duration::from_secs(seconds)).await;
    });
}

async fn soak(length: Duration) {
    // The test creates one client, because each new client reads the system's certificates, which is slow in a debug
    // build.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (signed, opaque) = (Arc::new(Signed::new()), Arc::new(Opaque::new()));
    let signed_at = serve(signed.trusted()).await;
    let opaque_at = serve(opaque.trusted()).await;
    opaque.fill_log(&client).await;
    let (signed_ledger, opaque_ledger) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let started = Instant::now();
    let end = started + length;
    signed.begin(started);
    opaque.begin(started);
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        load.spawn(send_until_cancelled(Arc::clone(&signed), Sender::new(&client, &signed_at, &signed_ledger)));
        load.spawn(send_until_cancelled(Arc::clone(&opaque), Sender::new(&client, &opaque_at, &opaque_ledger)));
    }
    let mut drivers = tokio::task::JoinSet::new();
    drivers.spawn(Arc::clone(&signed).drive(end));
    drivers.spawn(Arc::clone(&opaque).drive(end));

    sleep_until(started + length / 2).await;
    let before = Measure::take();
    while let Some(driven) = drivers.join_next().await {
        driven.unwrap();
    }
    sleep_until(end).await;
    let after = Measure::take();
    load.abort_all();
    while let Some(ended) = load.join_next().await {
        assert!(ended.is_err_and(|error| error.is_cancelled()), "a sender failed");
    }

    eprintln!("signed tokens: {signed_ledger}; {}", signed.fetches());
    eprintln!("opaque tokens: {opaque_ledger}; {}", opaque.calls());
    eprintln!("{length:?}: live bytes {} to {}, tasks {} to {}", before.bytes, after.bytes, before.tasks, after.tasks);
    for ledger in [&signed_ledger, &opaque_ledger] {
        assert_eq!(ledger.wrong(), Vec::<String>::new());
        assert!(ledger.answers() > 100, "the senders sent too few requests");
    }
    signed.judge_fetches(started.elapsed());
    opaque.judge_calls(&opaque_ledger, started.elapsed());
    assert!(after.bytes <= before.bytes + MAX_GROWTH, "{} bytes grew to {}", before.bytes, after.bytes);
    assert!(after.tasks <= before.tasks + MAX_NEW_TASKS, "{} tasks grew to {}", before.tasks, after.tasks);
    signed.recover(&client, &signed_at).await;
    opaque.recover(&client, &opaque_at).await;
}

/// Serves a protected handler on a loopback port and returns its URL.
async fn serve(trusted: Issuer) -> String {
    let server = ResourceServer::builder(RESOURCE).issuer(trusted).build().await.unwrap();
    let guard = server.bearer_layer().required_scopes([SCOPE]);
    let app = Router::new().route("/mcp", get(async |_: AuthInfo| "served")).route_layer(guard);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

struct Measure {
    bytes: usize,
    tasks: usize,
}

impl Measure {
    fn take() -> Self {
        let stats = ALLOCATOR.stats();
        // The allocator counts the whole process, including the issuers and the clients.
        let bytes = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
        Self { bytes, tasks: Handle::current().metrics().num_alive_tasks() }
    }
}
