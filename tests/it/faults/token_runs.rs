//! For each seed: 200 clients with a few opaque tokens, revocations and a faulty network.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::TestClock;
use mcp_bearer::{Issuer, ResourceServer};
use tokio::time::{Instant, sleep, sleep_until};

use super::caller::{BRIEF, Outcome, TestToken, call, jump, jumps};
use super::token_oracle::Oracle;
use super::token_world::World;
use super::{alive_tasks, run, seeds};
use crate::support::{App, ISSUER, RESOURCE};

const CALLERS: usize = 200;
const CALLS: usize = 2;
const CHANGES: usize = 20;
const START: u64 = 1_800_000_000;
const LONG: [&str; 4] = ["long-1", "long-2", "long-3", "long-4"];
const BRIEFS: [&str; 2] = ["brief-1", "brief-2"];
/// Longer than the longest pause of the circuit breaker.
const RECOVERY: Duration = Duration::from_secs(66);

#[test]
fn with_random_faults_every_response_about_an_opaque_token_is_allowed() {
    let mut counts = BTreeMap::new();
    for seed in seeds() {
        for outcome in run(seed, schedule(seed)) {
            *counts.entry(outcome.verdict).or_insert(0) += 1;
        }
    }
    for verdict in ["OK", "R401", "R503"] {
        assert!(counts.get(verdict).is_some_and(|count| *count >= 100), "{counts:?}");
    }
    #[expect(clippy::print_stderr, reason = "shows how many responses were checked")]
    {
        eprintln!("opaque tokens: {counts:?}");
    }
}

async fn schedule(seed: u64) -> Vec<Outcome> {
    let mut rng = Rng::with_seed(seed);
    let (tasks, begun, clock) = (alive_tasks(), Instant::now(), TestClock::at(START));
    let fault_rate = *rng.choice(&[0, 10, 30, 70]).unwrap();
    let brief = BRIEFS.map(|name| (name.to_owned(), Some(START + BRIEF)));
    let world = World::new(rng.fork(), fault_rate, LONG.map(|name| (name.to_owned(), None)).into_iter().chain(brief));
    let trusted = Issuer::discover(ISSUER)
        .introspect_all(ClientCredentials::basic("id", "secret"))
        .introspection_endpoint("https://auth.example.com/introspect")
        .http_client(world.clone());
    let server = ResourceServer::builder(RESOURCE).issuer(trusted).clock(clock.clone()).build_lazy().unwrap();
    let app = App::new(server.bearer_layer());

    let names: Vec<&str> = LONG.into_iter().chain(BRIEFS).collect();
    let length = Duration::from_secs(200);
    let moment = |rng: &mut Rng| begun + Duration::from_millis(rng.u64(1..u64::try_from(length.as_millis()).unwrap()));
    let changes: Vec<_> = (0..CHANGES)
        .map(|_| {
            // A revocation that the application reports with `forget`: at once, some time later, or never.
            let forgotten_after = [Some(0), Some(rng.u64(1..5_000)), None][rng.usize(0..3)];
            (moment(&mut rng), *rng.choice(&names).unwrap(), forgotten_after.map(Duration::from_millis))
        })
        .collect();
    let mut calls = Vec::new();
    for _ in 0..CALLERS * CALLS {
        let (changed, name, _) = *rng.choice(&changes).unwrap();
        // Most requests come shortly after a change of their token.
        let is_close = rng.u32(0..3) > 0;
        let at = if is_close { changed + Duration::from_millis(rng.u64(0..6_000)) } else { moment(&mut rng) };
        let name = if is_close { name } else { *rng.choice(&names).unwrap() };
        let brief_until = name.starts_with("brief").then_some(START + BRIEF);
        let shown = TestToken { about: name.to_owned(), token: name.to_owned(), from: None, until: brief_until };
        let patience = if rng.u32(0..4) == 0 { rng.u64(0..3_000) } else { 60_000 };
        calls.push(call(&app, &clock, shown, at, Duration::from_millis(patience)));
    }
    let changing = join_all(changes.iter().map(|(at, name, forgotten_after)| {
        let (world, server) = (&world, &server);
        async move {
            sleep_until(*at).await;
            world.set(name, None);
            if let Some(after) = forgotten_after {
                sleep(*after).await;
                world.forget(server, name);
            }
        }
    }));
    let (outcome, _, ()) = tokio::join!(join_all(calls), changing, jump(clock.clone(), jumps(&mut rng, begun, length)));
    world.heal();
    world.set(LONG[0], Some(true));
    sleep(RECOVERY).await;
    let last = TestToken { about: LONG[0].to_owned(), token: LONG[0].to_owned(), from: None, until: None };
    let last = call(&app, &clock, last, Instant::now(), RECOVERY).await.unwrap();
    assert_eq!(last.verdict, "OK", "seed {seed}: after the recovery");
    // The background task ends with the server.
    drop((server, app));
    sleep(RECOVERY).await;
    assert_eq!(alive_tasks(), tasks, "seed {seed}: tasks");

    let outcome: Vec<Outcome> = outcome.into_iter().flatten().chain([last]).collect();
    let world = world.lock();
    let oracle = Oracle(&world);
    for outcome in &outcome {
        oracle.check(outcome).unwrap_or_else(|wrong| {
            let introspections: Vec<_> =
                world.introspections.iter().map(|introspection| introspection.describe(outcome.answered)).collect();
            panic!(
                "seed {seed}: {wrong}: {outcome:?}\nthe requests, in seconds before the answer:\n{}",
                introspections.join("\n")
            )
        });
    }
    oracle.check_introspections(&LONG.map(str::to_owned)).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    outcome
}
