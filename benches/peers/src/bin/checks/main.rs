//! Measures the cost of one peer per request, and its responses: `checks NAME [ROUNDS]`.
//!
//! Each process measures one peer, so that peers do not share threads, caches or backends. It prints one line for each
//! algorithm, with `name=value` pairs separated by tabs.

mod answers;
mod cost;

use std::error::Error;

use mcp_bearer::jose::Algorithm;
use mcp_bearer_peers::{NAMES, RawCheck, Subject, router};

use crate::answers::Answers;
use crate::cost::Cost;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or_else(|| format!("checks NAME [ROUNDS], NAME being one of {NAMES:?}"))?;
    let rounds = arguments.next().map_or(Ok(ROUNDS), |text| text.parse())?;
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let line = measure(&name, algorithm, rounds).unwrap_or_else(|error| format!("unable={error}"));
        println!("peer={name}\talgorithm={}\t{line}", algorithm.name());
    }
    Ok(())
}

fn measure(name: &str, algorithm: Algorithm, rounds: usize) -> Result<String, Box<dyn Error>> {
    let subject = Subject::new(algorithm)?;
    let raw = RawCheck::new(&subject)?;
    raw.run()?;
    // Both applications, and the background tasks of the peer, run in this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let peer = runtime.block_on(router(name, &subject))?;
    let bare = runtime.block_on(router("none", &subject))?;
    let cost = Cost::measure(&runtime, &subject, &raw, &bare, &peer, rounds)?;
    let answers = runtime.block_on(Answers::ask(&subject, &peer));
    Ok(format!("bytes={}\t{cost}\t{answers}", subject.token.len()))
}

/// An odd number has a middle round.
const ROUNDS: usize = 301;
