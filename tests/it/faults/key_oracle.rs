//! Decides which responses were allowed. It knows the documented limits, and when each key set was published, fetched
//! and delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::caller::Outcome;
use super::key_world::{Fetch, LONGEST, State};

/// The recorded events, and the limits to check them against.
pub struct Oracle<'w> {
    world: &'w State,
    deliveries: Vec<Delivery<'w>>,
    last_known_good: Duration,
    lifetime: Duration,
    /// When a fetch showed that a key is missing. For a while, later rejections need no fetch.
    missing: BTreeMap<String, Instant>,
    pub counts: BTreeMap<String, usize>,
}

/// A delivered key set, and the time of its delivery.
struct Delivery<'w> {
    at: Instant,
    kids: &'w BTreeSet<String>,
}

impl<'w> Oracle<'w> {
    pub fn new(world: &'w State, lifetime: Duration, last_known_good: Duration) -> Self {
        let delivery =
            |fetch: &Fetch| fetch.delivered.map(|at| Delivery { at, kids: &world.revisions[fetch.revision].kids });
        let deliveries = world.fetches.iter().filter_map(delivery).collect();
        Self { world, deliveries, last_known_good, lifetime, missing: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Checks one response. The responses must come in the order of their times.
    pub fn check(&mut self, outcome: &Outcome) -> Result<(), String> {
        *self.counts.entry(outcome.verdict.clone()).or_default() += 1;
        let Outcome { about, times, sent, answered, verdict } = outcome;
        let (kid, is_forged) = match about.strip_prefix("forged ") {
            Some(kid) => (kid, true),
            None => (about.as_str(), false),
        };
        if answered.duration_since(*sent) > Duration::from_secs(20) {
            return Err("the response took longer than four waits of 5 s".to_owned());
        }
        if !times.sent {
            return expect(verdict == "R401", "a token outside of its lifetime must be rejected");
        }
        let is_available = self.is_available(kid, *sent, *answered);
        match verdict.as_str() {
            "OK" if is_forged => Err("a forged signature passed".to_owned()),
            "OK" => expect(self.could_contain(kid, *sent, *answered), "no current key set contained the key"),
            // The token expired while it waited for its key, or the clock changed.
            "R401" if !times.answered => Ok(()),
            "R401" if is_forged && self.could_contain(kid, *sent, *answered) => Ok(()),
            "R401" => {
                expect(!is_available, "the key was available")?;
                expect(self.could_lack(kid, *sent, *answered), "every current key set contained the key")?;
                self.may_reject(kid, *sent, *answered)
            }
            "R503" => {
                expect(!is_available, "the key was available")?;
                expect(self.was_failing(*sent, *answered), "the issuer did not fail")
            }
            _ => Err("an unexpected verdict".to_owned()),
        }
    }

    /// Checks the number of fetches, without retries.
    pub fn check_fetches(&self, elapsed: Duration) -> Result<(), String> {
        expect(!self.world.had_concurrent_fetches, "two fetches at the same time")?;
        let first = || self.world.fetches.iter().filter(|fetch| !fetch.is_retry);
        let failed = first().filter(|fetch| fetch.delivered.is_none()).count();
        let forced = first().filter(|fetch| fetch.is_forced).count();
        let unforced = first().count() - forced;
        let periods = |seconds: u64| usize::try_from(elapsed.as_secs() / seconds).unwrap();
        expect(forced <= 2 + periods(30), &format!("{forced} fetches for unknown keys in {elapsed:?}"))?;
        for (before, after) in self.world.fetches.iter().zip(self.world.fetches.iter().skip(1)) {
            let pause = before.ended.map(|ended| after.started.saturating_duration_since(ended));
            let is_soon = pause.is_none_or(|pause| pause < Duration::from_millis(250));
            expect(before.delivered.is_some() || after.is_retry || !is_soon, "a fetch directly after a failed one")?;
        }
        // The lifetime is a minute, minus up to a tenth at random. A refresh is due after 80 % of it.
        expect(unforced <= 1 + periods(43) + failed, &format!("{unforced} scheduled fetches in {elapsed:?}"))
    }

    /// The key sets that were current at some time from `sent` to `answered`.
    fn in_force(&self, sent: Instant, answered: Instant) -> impl Iterator<Item = &Delivery<'w>> {
        self.deliveries.iter().enumerate().filter_map(move |(index, delivery)| {
            let is_followed = self.deliveries.get(index + 1).is_some_and(|next| next.at < sent);
            let is_expired = delivery.at + self.lifetime + self.last_known_good < sent;
            (delivery.at <= answered && !is_followed && !is_expired).then_some(delivery)
        })
    }

    fn could_contain(&self, kid: &str, sent: Instant, answered: Instant) -> bool {
        self.in_force(sent, answered).any(|delivery| delivery.kids.contains(kid))
    }

    fn could_lack(&self, kid: &str, sent: Instant, answered: Instant) -> bool {
        self.in_force(sent, answered).any(|delivery| !delivery.kids.contains(kid))
    }

    /// Whether the key was in every current key set, none of which could have expired.
    fn is_available(&self, kid: &str, sent: Instant, answered: Instant) -> bool {
        let had_key_set = self.deliveries.first().is_some_and(|first| first.at < sent);
        let newest = self.deliveries.iter().rfind(|delivery| delivery.at < sent);
        let minimum_lifetime = self.lifetime.mul_f64(0.9) + self.last_known_good;
        had_key_set
            && newest.is_some_and(|newest| answered < newest.at + minimum_lifetime)
            && self.in_force(sent, answered).all(|delivery| delivery.kids.contains(kid))
    }

    /// A rejection needs one of these:
    ///
    /// - a fetch that began after the request and did not find the key,
    /// - a recent fetch that did not find the key,
    /// - an exhausted budget for such fetches, while the issuer works.
    fn may_reject(&mut self, kid: &str, sent: Instant, answered: Instant) -> Result<(), String> {
        let fetches = &self.world.fetches;
        let is_proof = |fetch: &Fetch| {
            let lacks = !self.world.revisions[fetch.revision].kids.contains(kid);
            fetch.is_forced && fetch.started >= sent && fetch.delivered.is_some_and(|at| at <= answered) && lacks
        };
        let is_known_missing =
            self.missing.get(kid).is_some_and(|at| answered.duration_since(*at) <= Duration::from_secs(300));
        if fetches.iter().any(is_proof) {
            self.missing.insert(kid.to_owned(), answered);
            return Ok(());
        }
        let forced_within = |seconds: u64| {
            let within =
                |fetch: &&Fetch| answered.saturating_duration_since(fetch.started).as_secs_f64() <= seconds as f64;
            fetches
                .iter()
                .filter(|fetch| fetch.is_forced && !fetch.is_retry && fetch.started <= answered)
                .filter(within)
                .count()
        };
        let is_over = |fetch: &&Fetch| fetch.ended.is_some_and(|ended| ended <= answered);
        let counts = |fetch: &&Fetch| fetch.is_retry || !fetch.fate.is_retried();
        let last = fetches.iter().filter(is_over).rfind(counts);
        let is_limited = forced_within(60) >= 2 && forced_within(30) >= 1;
        let is_working = last.is_some_and(|fetch| fetch.delivered.is_some());
        expect(is_known_missing || (is_limited && is_working), "nothing proved that the key does not exist")
    }

    /// Whether a fetch failed during the request, or at most one back-off before it.
    fn was_failing(&self, sent: Instant, answered: Instant) -> bool {
        let back_off = Duration::from_secs(60);
        let failed = |fetch: &Fetch| {
            !fetch.fate.is_prompt(LONGEST)
                && fetch.started <= answered
                && fetch.ended.is_none_or(|ended| ended + back_off >= sent)
        };
        self.world.fetches.iter().any(failed)
    }
}

fn expect(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_owned()) }
}
