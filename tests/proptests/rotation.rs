//! Keys come and go, the issuer goes down and comes back, and requests arrive all the time.

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

use crate::support::{ISSUER, REACHED, RESOURCE, cases, issuer, paused, show};

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn published_keys_work_withdrawn_ones_do_not_and_an_outage_is_no_bad_token(
        events in prop::collection::vec(events(), 1..50),
    ) {
        paused().block_on(async {
            let mut world = World::new();
            for event in events {
                world.happen(event).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// A request with a token of one of all keys that ever were.
    Show(Index),
    /// A request with a key id that nobody ever had.
    Forge(u8),
    Rotate,
    Add,
    Remove(Index),
    GoDown(Outage),
    ComeBack,
    Pass(u64),
}

/// None of these is asked a second time at once, so that requests and attempts are the same number.
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
        10 => any::<Index>().prop_map(Event::Show),
        3 => (0_u8..4).prop_map(Event::Forge),
        1 => Just(Event::Rotate),
        1 => Just(Event::Add),
        2 => any::<Index>().prop_map(Event::Remove),
        2 => outage.prop_map(Event::GoDown),
        2 => Just(Event::ComeBack),
        6 => time.prop_map(Event::Pass),
    ]
}

struct World {
    issuer: TestIssuer,
    layer: BearerAuthLayer,
    /// All that ever were, and whether they are published.
    keys: Vec<(String, bool)>,
    is_down: bool,
    /// How many requests for the key set were looked at.
    seen: usize,
    /// Those that strangers caused.
    forced: Vec<Instant>,
    /// The last fetch, and whether it was good.
    last: Option<(Instant, bool)>,
    /// What the last good fetch brought, and between which looks.
    fetched: Option<(Instant, Instant, HashSet<String>)>,
    looked: Instant,
}

impl World {
    fn new() -> Self {
        let (issuer, clock) = issuer();
        let found = issuer.issuer().jwks_uri(format!("{ISSUER}/jwks"));
        let server = ResourceServer::builder(RESOURCE).issuer(found).clock(clock).build_lazy().unwrap();
        Self {
            layer: server.bearer_layer(),
            keys: vec![(issuer.key_id(), true)],
            issuer,
            is_down: false,
            seen: 0,
            forced: Vec::new(),
            last: None,
            fetched: None,
            looked: Instant::now(),
        }
    }

    async fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        // What the last event set off comes to its end.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.look()?;
        match event {
            Event::Show(key) => {
                let key = key.index(self.keys.len());
                self.show(key).await?;
            }
            Event::Forge(kid) => {
                let kid = format!("nobody's {kid}");
                let token = self.issuer.token().audience(RESOURCE).header("kid", kid).sign();
                let status = show(&self.layer, &token).await;
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
                // A set without a key is an outage, not a withdrawal.
                let published: Vec<_> = (0..self.keys.len()).filter(|key| self.keys[*key].1).collect();
                if published.len() > 1 {
                    let (kid, published) = &mut self.keys[*key.get(&published)];
                    self.issuer.remove_key(kid);
                    *published = false;
                }
            }
            Event::GoDown(outage) => {
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
            Event::ComeBack => {
                self.issuer.heal();
                self.is_down = false;
            }
            Event::Pass(time) => tokio::time::sleep(Duration::from_millis(time)).await,
        }
        self.look()
    }

    async fn show(&mut self, key: usize) -> Result<(), TestCaseError> {
        let (kid, is_published) = self.keys[key].clone();
        let token = self.issuer.token().audience(RESOURCE).key(&kid).sign();
        let (before, last, may_force, now) = (self.fetched.clone(), self.last, self.may_force(), Instant::now());
        let status = show(&self.layer, &token).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.look()?;
        let age = before.as_ref().map(|(first, last, _)| (now - *first, now - *last));
        let (oldest, youngest) = age.unwrap_or((Duration::MAX, Duration::MAX));
        let was_known = before.as_ref().is_some_and(|(.., kids)| kids.contains(&kid));
        let is_known = self.fetched.as_ref().is_some_and(|(_, at, kids)| *at >= now && kids.contains(&kid));
        let failed_lately = last.is_some_and(|(at, good)| !good && now - at <= Duration::from_secs(60));
        match status {
            // Freshness of 5 min at most, and an hour beyond.
            REACHED => {
                prop_assert!((was_known && youngest < Duration::from_secs(3_900)) || is_known, "{} is withdrawn", kid)
            }
            StatusCode::UNAUTHORIZED => {
                prop_assert!(!was_known || !is_published, "the known key {} is refused", kid);
                let is_flood = !may_force && last.is_some_and(|(_, good)| good);
                prop_assert!(!is_published || is_flood, "the published key {} is refused", kid);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                prop_assert!(self.is_down || failed_lately, "there is no outage");
                // Freshness may be a tenth shorter.
                prop_assert!(!was_known || oldest >= Duration::from_secs(3_870), "the known key {} is lost", kid);
            }
            other => prop_assert!(false, "{}", other),
        }
        Ok(())
    }

    /// What the issuer was asked since the last look; it was up or down all the time.
    fn look(&mut self) -> Result<(), TestCaseError> {
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
                self.fetched = Some((self.looked, now, published.map(|(kid, _)| kid.clone()).collect()));
            }
        }
        (self.seen, self.looked) = (count, now);
        for (from, start) in self.forced.iter().enumerate() {
            let (count, window) = (self.forced.len() - from, now - *start);
            prop_assert!(count as u128 <= 2 + window.as_millis() / 30_000, "{} forced in {:?}", count, window);
        }
        Ok(())
    }

    /// Whether strangers may cause one more fetch now.
    fn may_force(&self) -> bool {
        self.forced
            .iter()
            .enumerate()
            .all(|(from, start)| (self.forced.len() - from + 1) as u128 <= 2 + start.elapsed().as_millis() / 30_000)
    }
}
