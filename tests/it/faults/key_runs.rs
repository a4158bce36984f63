//! For each seed: 200 clients, ten key rotations and a faulty network.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use tokio::time::{Instant, sleep, sleep_until};

use super::caller::{BRIEF, DAY, Outcome, TestToken, call, jump, jumps};
use super::key_oracle::Oracle;
use super::key_world::World;
use super::{alive_tasks, run, seeds};
use crate::support::{App, ISSUER, RESOURCE};

const CALLERS: usize = 200;
const CALLS: usize = 2;
const ROTATIONS: usize = 10;
const START: u64 = 1_800_000_000;
const JWKS: &str = "https://auth.example.com/keys";
/// Longer than the longest back-off, and longer than the wait for the next fetch of an unknown key.
const RECOVERY: Duration = Duration::from_secs(66);

#[test]
fn with_random_faults_every_response_about_a_key_is_allowed() {
    let mut counts = BTreeMap::new();
    for seed in seeds() {
        for (verdict, count) in run(seed, schedule(seed)) {
            *counts.entry(verdict).or_insert(0) += count;
        }
    }
    // Each verdict must occur often enough, or the schedules do not test it.
    for verdict in ["OK", "R401", "R503"] {
        assert!(counts.get(verdict).is_some_and(|count| *count >= 100), "{counts:?}");
    }
    #[expect(clippy::print_stderr, reason = "shows how many responses were checked")]
    {
        eprintln!("keys: {counts:?}");
    }
}

async fn schedule(seed: u64) -> BTreeMap<String, usize> {
    let mut rng = Rng::with_seed(seed);
    let tasks = alive_tasks();
    let clock = TestClock::at(START);
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let mut kids = vec![issuer.key_id()];
    kids.extend((0..ROTATIONS).map(|_| issuer.add_key(Algorithm::ES256)));
    let published = issuer.jwk_set()["keys"].as_array().unwrap().clone();
    let keys: BTreeMap<_, _> = kids.iter().cloned().zip(published).collect();

    let max_age = *rng.choice(&[None, Some(15), Some(120)]).unwrap();
    let lifetime = Duration::from_secs(max_age.map_or(300, |age: u64| age.max(60)));
    let last_known_good = Duration::from_secs(*rng.choice(&[0, 30, 3600]).unwrap());
    let fault_rate = *rng.choice(&[0, 20, 50, 80]).unwrap();
    let world = World::new(rng.fork(), fault_rate, max_age, keys);
    world.publish([kids[0].clone()]);
    let trusted = Issuer::discover(ISSUER).jwks_uri(JWKS).http_client(world.clone()).last_known_good(last_known_good);
    let server = ResourceServer::builder(RESOURCE).issuer(trusted).clock(clock.clone());
    // The cache of verified tokens must not change any result.
    let server = server.cache_verified_tokens(if seed % 2 == 1 { 8 } else { 0 });
    let server = server.build_lazy().unwrap();
    let app = App::new(server.bearer_layer());
    let start = Instant::now();

    let mut rotations = Vec::new();
    let mut at = start;
    for _ in 0..ROTATIONS {
        at += Duration::from_millis(rng.u64(3_000..100_000));
        rotations.push((at, Duration::from_millis(rng.u64(0..60_000))));
    }
    let end = at + Duration::from_secs(30);
    let tokens = Tokens::new(&issuer, &kids);
    let jumping = jump(clock.clone(), jumps(&mut rng, start, end - start));
    let rotating = rotate(&world, &kids, rotations.clone());
    let mut calls = Vec::new();
    for _ in 0..CALLERS * CALLS {
        let rotation = rng.usize(0..=ROTATIONS);
        let since = if rotation == 0 { start } else { rotations[rotation - 1].0 };
        // Most clients send a token with the new key at once, the others some time later.
        let after = if rng.u32(0..3) > 0 { 2_000 } else { 60_000 };
        let at = since + Duration::from_millis(rng.u64(1..after));
        let current = rotations.iter().filter(|(from, _)| *from < at).count();
        let shown = tokens.draw(&mut rng, current);
        let patience = if rng.u32(0..4) == 0 { rng.u64(0..5_000) } else { 60_000 };
        calls.push(call(&app, &clock, shown, at, Duration::from_millis(patience)));
    }
    let (outcome, (), ()) = tokio::join!(join_all(calls), jumping, rotating);
    sleep_until(end).await;
    world.heal();
    sleep(RECOVERY).await;
    let last =
        TestToken { about: kids[ROTATIONS].clone(), token: tokens.long[ROTATIONS].clone(), from: None, until: None };
    let last = call(&app, &clock, last, Instant::now(), RECOVERY).await.unwrap();
    assert_eq!(last.verdict, "OK", "seed {seed}: after the recovery");
    // The background task ends with the server.
    drop((server, app));
    sleep(RECOVERY).await;
    assert_eq!(alive_tasks(), tasks, "seed {seed}: tasks");

    let mut outcome: Vec<Outcome> = outcome.into_iter().flatten().chain([last]).collect();
    outcome.sort_by_key(|outcome| outcome.answered);
    let world = world.lock();
    let mut oracle = Oracle::new(&world, lifetime, last_known_good);
    for outcome in &outcome {
        oracle.check(outcome).unwrap_or_else(|wrong| {
            let fetches: Vec<_> = world.fetches.iter().map(|fetch| fetch.describe(outcome.answered)).collect();
            panic!(
                "seed {seed}: {wrong}: {outcome:?}\nthe fetches, in seconds before the answer:\n{}",
                fetches.join("\n")
            )
        });
    }
    oracle.check_fetches(start.elapsed()).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    oracle.counts
}

/// Publishes one key after the other. The previous key stays published for a while.
async fn rotate(world: &World, kids: &[String], rotations: Vec<(Instant, Duration)>) {
    let removals = rotations.iter().enumerate().map(|(old, (at, overlap))| async move {
        sleep_until(*at).await;
        world.change(|published| {
            published.insert(kids[old + 1].clone());
        });
        sleep(*overlap).await;
        world.change(|published| {
            published.remove(&kids[old]);
        });
    });
    join_all(removals).await;
}

/// One token of each kind for each key.
struct Tokens {
    kids: Vec<String>,
    long: Vec<String>,
    brief: Vec<String>,
    forged: Vec<String>,
    unknown: Vec<String>,
}

impl Tokens {
    fn new(issuer: &TestIssuer, kids: &[String]) -> Self {
        let token = || issuer.token().audience(RESOURCE);
        let long = || token().claim("iat", START - 2 * DAY).claim("exp", START + 10 * DAY);
        let brief = || token().claim("nbf", START).claim("exp", START + BRIEF);
        let all = |sign: &dyn Fn(&String) -> String| kids.iter().map(sign).collect();
        Self {
            kids: kids.to_vec(),
            long: all(&|kid| long().key(kid).sign()),
            brief: all(&|kid| brief().key(kid).sign()),
            // The key id of one key, with a signature by another key.
            forged: all(&|kid| {
                long().key(kids.iter().find(|other| *other != kid).unwrap()).header("kid", &**kid).sign()
            }),
            unknown: (0..20).map(|number| long().header("kid", format!("unknown {number}")).sign()).collect(),
        }
    }

    /// A random token, sent while the key with this number is the newest.
    fn draw(&self, rng: &mut Rng, current: usize) -> TestToken {
        let number = match rng.u32(0..10) {
            0..=5 => current,
            6 | 7 => current.saturating_sub(1),
            _ => rng.usize(0..=current),
        };
        let shown = |about: String, tokens: &[String], number: usize| TestToken {
            about,
            token: tokens[number].clone(),
            from: None,
            until: None,
        };
        let kid = self.kids[number].clone();
        match rng.u32(0..20) {
            0 => {
                let unknown = rng.usize(0..self.unknown.len());
                shown(format!("unknown {unknown}"), &self.unknown, unknown)
            }
            1 => shown(format!("forged {kid}"), &self.forged, number),
            2..=5 => TestToken { from: Some(START), until: Some(START + BRIEF), ..shown(kid, &self.brief, number) },
            _ => shown(kid, &self.long, number),
        }
    }
}
