//! Counts the allocations of a request: `allocations NAME`.
//!
//! This is a separate program, because counting takes time. It prints one line for each algorithm, with `name=value`
//! pairs separated by tabs.

use std::alloc::System;
use std::error::Error;
use std::fmt;

use axum::Router;
use axum::http::HeaderValue;
use mcp_bearer::jose::Algorithm;
use mcp_bearer_peers::{NAMES, Subject, request, router};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;
use tower::Service as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or_else(|| format!("allocations NAME, NAME being one of {NAMES:?}"))?;
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let line = count(&name, algorithm).map_or_else(|error| format!("unable={error}"), |all| all.to_string());
        println!("peer={name}\talgorithm={}\t{line}", algorithm.name());
    }
    Ok(())
}

fn count(name: &str, algorithm: Algorithm) -> Result<Allocations, Box<dyn Error>> {
    let subject = Subject::new(algorithm)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let peer = runtime.block_on(router(name, &subject))?;
    let bare = runtime.block_on(router("none", &subject))?;
    Ok(Allocations::count(&runtime, &subject, &bare, &peer))
}

/// The allocations of a request, without those of the same request to the application without protection.
///
/// The application does not handle a rejected request, but its allocations are subtracted nevertheless.
struct Allocations {
    accepted: isize,
    rejected: isize,
    application: isize,
}

impl Allocations {
    fn count(runtime: &Runtime, subject: &Subject, bare: &Router, peer: &Router) -> Self {
        let valid = HeaderValue::try_from(format!("Bearer {}", subject.token)).unwrap_or(GARBAGE);
        let count = |router: &Router, header: &HeaderValue| runtime.block_on(typical(router.clone(), header));
        let application = count(bare, &valid);
        let [accepted, rejected] = [&valid, &GARBAGE].map(|header| count(peer, header) - application);
        Self { accepted, rejected, application }
    }
}

/// Returns the median, so that a refresh of the keys does not affect the result.
async fn typical(mut router: Router, header: &HeaderValue) -> isize {
    let mut counts = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let region = Region::new(ALLOCATOR);
        drop(router.call(request(header)).await);
        let change = region.change();
        counts.push(change.allocations.saturating_add(change.reallocations));
    }
    counts.sort_unstable();
    counts[REQUESTS / 2].try_into().unwrap_or(isize::MAX)
}

impl fmt::Display for Allocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, rejected, application } = self;
        write!(f, "accepted={accepted}\trejected={rejected}\tapplication_allocations={application}")
    }
}

const GARBAGE: HeaderValue = HeaderValue::from_static("Bearer garbage");

const REQUESTS: usize = 101;
