//! Many requests for a while, over real sockets: keys rotate every five seconds, tokens are revoked, issuers die and come
//! back. Every answer is counted and judged.
//!
//! This is real time by its purpose, as no test of a behaviour is; those are in `tests/it`, in paused time. It asserts
//! nothing about how long anything takes: a machine that is slow sends fewer requests. It runs for
//! `MCP_BEARER_SOAK_SECONDS`, 6 by default, and then as long again for bursts of new tokens.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on says so, and knows its data"
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
use load::{Sender, send_for_ever};
use opaque::Opaque;
use signed::Signed;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://mcp.example.com/mcp";
const SCOPE: &str = "mcp:tools";
/// For each of the two servers. Each sends one request in a pause at most: 2,000 a second in all.
const SENDERS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(8);
/// The same load leaves the same behind, once all that is bounded is full: the memory of a thousand bad tokens, the issuers'
/// logs of as many requests, buffers of connections. That is some 1 MiB, of which a slow machine has part still before it
/// when it is measured first; 35 bytes for each answer of a fast one would be more than this.
const MOST_GROWTH: usize = 2 * 1024 * 1024;
/// Connections that were cut and made anew have tasks of their own until they are found dead.
const MOST_NEW_TASKS: usize = 2 * 2 * 8 + 8;

#[test]
fn nothing_is_wrongly_accepted_or_refused_and_nothing_grows() {
    let seconds = std::env::var("MCP_BEARER_SOAK_SECONDS").map_or(6, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        soak(Duration::from_secs(seconds)).await;
        // By itself: it would take from the others the time in which they must answer.
        burst::bursts(Duration::from_secs(seconds)).await;
    });
}

async fn soak(length: Duration) {
    // Made once: to read the system's certificates takes long, in a debug build above all.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (signed, opaque) = (Arc::new(Signed::new()), Arc::new(Opaque::new()));
    let signed_at = serve(signed.trusted()).await;
    let opaque_at = serve(opaque.trusted()).await;
    opaque.fill_log(&client).await;
    let (signed_ledger, opaque_ledger) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let begun = Instant::now();
    let end = begun + length;
    signed.begin(begun);
    opaque.begin(begun);
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        load.spawn(send_for_ever(Arc::clone(&signed), Sender::new(&client, &signed_at, &signed_ledger)));
        load.spawn(send_for_ever(Arc::clone(&opaque), Sender::new(&client, &opaque_at, &opaque_ledger)));
    }
    let mut drivers = tokio::task::JoinSet::new();
    drivers.spawn(Arc::clone(&signed).drive(end));
    drivers.spawn(Arc::clone(&opaque).drive(end));

    sleep_until(begun + length / 2).await;
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
        assert!(ledger.answers() > 100, "the load never came");
    }
    signed.judge_fetches(begun.elapsed());
    opaque.judge_calls(&opaque_ledger, begun.elapsed());
    assert!(after.bytes <= before.bytes + MOST_GROWTH, "{} bytes grew to {}", before.bytes, after.bytes);
    assert!(after.tasks <= before.tasks + MOST_NEW_TASKS, "{} tasks grew to {}", before.tasks, after.tasks);
    signed.recover(&client, &signed_at).await;
    opaque.recover(&client, &opaque_at).await;
}

/// Serves a guarded handler on a loopback port, and says where.
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
        // Of the whole process, the issuers and the clients included.
        let bytes = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
        Self { bytes, tasks: Handle::current().metrics().num_alive_tasks() }
    }
}
