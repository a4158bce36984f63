//! Keys are added and removed, the issuer fails and recovers, and requests arrive all the time.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::time::Instant;

use crate::support::{ISSUER, REACHED, RESOURCE, cases, issuer, paused, send_token};

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn published_keys_are_accepted_withdrawn_keys_are_rejected_and_an_outage_gives_503(
        events in prop::collection::vec(events(), 1..50),
    ) {
        paused().block_on(async {
            let mut world = World::new();
            for event in events {
                world.apply(event).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// A request with a token of a key that is or was published.
    Send(Index),
    /// A request with a key id that was never published.
    Forge(u8),
    Rotate,
    Add,
    Remove(Index),
    Fail(Outage),
    Recover,
    Wait(u64),
}

/// The server does not retry these faults at once, so that each attempt is one request.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Status,
    Garbage,
    NotFound,
}

fn events() -> impl Strategy<Value = Event> {
    let outage = prop::sample::select(vec![Outage::Status, Outage::Garbage, Outage::NotFound]);
    let time = prop_oneof![1_u64..3_000, 1_000_u64..90_000, 200_000_u64..400_000, 3_500_000_u64..4_200_000];
    prop_oneof![
        10 => any::<Index>().prop_map(Event::Send),
        3 => (0_u8..4).prop_map(Event::Forge),
        1 => Just(Event::Rotate),
        1 => Just(Event::Add),
        2 => any::<Index>().prop_map(Event::Remove),
        2 => outage.prop_map(Event::Fail),
        2 => Just(Event::Recover),
        6 => time.prop_map(Event::Wait),
    ]
}

struct World {
    issuer: TestIssuer,
    layer: BearerAuthLayer,
    /// All keys since the start, and whether the issuer publishes them.
    keys: Vec<(String, bool)>,
    is_down: bool,
    /// The number of requests for the key set that were already evaluated.
    seen: usize,
    /// The times of fetches that unknown key ids caused.
    forced: Vec<Instant>,
    /// The last fetch, and whether it succeeded.
    last: Option<(Instant, bool)>,
    /// The key ids of the last successful fetch, and the two times between which it happened.
    fetched: Option<(Instant, Instant, HashSet<String>)>,
    evaluated_at: Instant,
}

impl World {
    fn new() -> Self {
        let (issuer, clock) = issuer();
        let accepted = issuer.issuer().jwks_uri(format!("{ISSUER}/jwks"));
        let server = ResourceServer::builder(RESOURCE).issuer(accepted).clock(clock).build_lazy().unwrap();
        Self {
            layer: server.bearer_layer(),
            keys: vec![(issuer.key_id(), true)],
            issuer,
            is_down: false,
            seen: 0,
            forced: Vec::new(),
            last: None,
            fetched: None,
            evaluated_at: Instant::now(),
        }
    }

    async fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        // The work that the last event started finishes here.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.evaluate_requests()?;
        match event {
            Event::Send(key) => {
                let key = key.index(self.keys.len());
                self.send(key).await?;
            }
            Event::Forge(kid) => {
                let kid = format!("unknown {kid}");
                let token = self.issuer.token().audience(RESOURCE).header("kid", kid).sign();
                let status = send_token(&self.layer, &token).await;
                prop_assert!(matches!(status.as_u16(), 401 | 503), "{}", status);
            }
            Event::Rotate => {
                let old = self.issuer.key_id();
                self.keys.iter_mut().filter(|(kid, _)| *kid == old).for_each(|(_, published)| *published = false);
                let new = self.issuer.rotate();
                self.keys.push((new, true));
            }
            Event::Add => self.keys.push((self.issuer.add_key(Algorithm::ES256), true)),
            Event::Remove(key) => {
                // The last key stays, because a key set without keys is an outage and not a withdrawal.
                let published: Vec<_> = (0..self.keys.len()).filter(|key| self.keys[*key].1).collect();
                if published.len() > 1 {
                    let (kid, published) = &mut self.keys[*key.get(&published)];
                    self.issuer.remove_key(kid);
                    *published = false;
                }
            }
            Event::Fail(outage) => {
                self.issuer.heal();
                self.issuer.fault(
                    Endpoint::KeySet,
                    match outage {
                        Outage::Status => Fault::Status(500),
                        Outage::Garbage => Fault::Garbage,
                        Outage::NotFound => Fault::Status(404),
                    },
                );
                self.is_down = true;
            }
            Event::Recover => {
                self.issuer.heal();
                self.is_down = false;
            }
            Event::Wait(time) => tokio::time::sleep(Duration::from_millis(time)).await,
        }
        self.evaluate_requests()
    }

    async fn send(&mut self, key: usize) -> Result<(), TestCaseError> {
        let (kid, is_published) = self.keys[key].clone();
        let token = self.issuer.token().audience(RESOURCE).key(&kid).sign();
        let (before, last, may_force, now) = (self.fetched.clone(), self.last, self.may_force(), Instant::now());
        let status = send_token(&self.layer, &token).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.evaluate_requests()?;
        let age = before.as_ref().map(|(first, last, _)| (now - *first, now - *last));
        let (oldest, youngest) = age.unwrap_or((Duration::MAX, Duration::MAX));
        let was_known = before.as_ref().is_some_and(|(.., kids)| kids.contains(&kid));
        let is_known = self.fetched.as_ref().is_some_and(|(_, at, kids)| *at >= now && kids.contains(&kid));
        let failed_lately = last.is_some_and(|(at, succeeded)| !succeeded && now - at <= Duration::from_secs(60));
        match status {
            // A key set is fresh for 5 minutes at most, and stays in use for one hour more during an outage.
            REACHED => {
                prop_assert!(
                    (was_known && youngest < Duration::from_secs(3_900)) || is_known,
                    "the withdrawn key {} is accepted",
                    kid
                )
            }
            StatusCode::UNAUTHORIZED => {
                prop_assert!(!was_known || !is_published, "the known key {} is rejected", kid);
                let is_rate_limited = !may_force && last.is_some_and(|(_, succeeded)| succeeded);
                prop_assert!(!is_published || is_rate_limited, "the published key {} is rejected", kid);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                prop_assert!(self.is_down || failed_lately, "the server returned 503 without an outage");
                // The time for which a key set is fresh may be a tenth shorter.
                prop_assert!(!was_known || oldest >= Duration::from_secs(3_870), "the known key {} is not used", kid);
            }
            other => prop_assert!(false, "{}", other),
        }
        Ok(())
    }

    /// Evaluates the requests since the last call. The issuer did not fail or recover between the calls.
    fn evaluate_requests(&mut self) -> Result<(), TestCaseError> {
        let count = self.issuer.requests(Endpoint::KeySet);
        let requests = self.issuer.recent_requests();
        let new = requests.iter().filter(|request| request.endpoint() == Endpoint::KeySet).skip(self.seen);
        let now = Instant::now();
        for request in new {
            if request.header("cache-control") == Some("no-cache") {
                self.forced.push(now);
            }
            self.last = Some((now, !self.is_down));
            if !self.is_down {
                let published = self.keys.iter().filter(|(_, is_published)| *is_published);
                self.fetched = Some((self.evaluated_at, now, published.map(|(kid, _)| kid.clone()).collect()));
            }
        }
        (self.seen, self.evaluated_at) = (count, now);
        for (from, start) in self.forced.iter().enumerate() {
            let (count, window) = (self.forced.len() - from, now - *start);
            prop_assert!(
                count as u128 <= 2 + window.as_millis() / 30_000,
                "{} fetches for unknown key ids in {:?}",
                count,
                window
            );
        }
        Ok(())
    }

    /// Returns whether the rate limit allows one more fetch for an unknown key id now.
    fn may_force(&self) -> bool {
        self.forced
            .iter()
            .enumerate()
            .all(|(from, start)| (self.forced.len() - from + 1) as u128 <= 2 + start.elapsed().as_millis() / 30_000)
    }
}
