//! Which answers were allowed, by the documented bounds alone and by what was published, asked and answered when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::caller::Heard;
use super::key_world::{Fetch, LONGEST, State};

/// Everything that happened, to judge by.
pub struct Oracle<'w> {
    world: &'w State,
    landings: Vec<Landing<'w>>,
    last_known_good: Duration,
    lifetime: Duration,
    /// When a key was proven to be missing: a refusal that needs no proof of its own may follow for a while.
    missing: BTreeMap<String, Instant>,
    pub judged: BTreeMap<String, usize>,
}

/// A set that came, and from when on it was there.
struct Landing<'w> {
    at: Instant,
    kids: &'w BTreeSet<String>,
}

impl<'w> Oracle<'w> {
    pub fn new(world: &'w State, lifetime: Duration, last_known_good: Duration) -> Self {
        let landing =
            |fetch: &Fetch| fetch.delivered.map(|at| Landing { at, kids: &world.revisions[fetch.revision].kids });
        let landings = world.fetches.iter().filter_map(landing).collect();
        Self { world, landings, last_known_good, lifetime, missing: BTreeMap::new(), judged: BTreeMap::new() }
    }

    /// Answers come in the order in which they were given.
    pub fn judge(&mut self, heard: &Heard) -> Result<(), String> {
        *self.judged.entry(heard.verdict.clone()).or_default() += 1;
        let Heard { about, times, sent, answered, verdict } = heard;
        let (kid, is_forged) = match about.strip_prefix("forged ") {
            Some(kid) => (kid, true),
            None => (about.as_str(), false),
        };
        if answered.duration_since(*sent) > Duration::from_secs(20) {
            return Err("it took longer than four waits of 5 s".to_owned());
        }
        if !times.sent {
            return expect(verdict == "R401", "a token whose time is not now");
        }
        let is_at_hand = self.is_at_hand(kid, *sent, *answered);
        match verdict.as_str() {
            "OK" if is_forged => Err("a forged signature passed".to_owned()),
            "OK" => expect(self.could_hold(kid, *sent, *answered), "no set in force had the key"),
            // It expired while it waited for its key, or the clock jumped.
            "R401" if !times.answered => Ok(()),
            "R401" if is_forged && self.could_hold(kid, *sent, *answered) => Ok(()),
            "R401" => {
                expect(!is_at_hand, "the key was at hand")?;
                expect(self.could_lack(kid, *sent, *answered), "no set in force lacked the key")?;
                self.may_refuse(kid, *sent, *answered)
            }
            "R503" => {
                expect(!is_at_hand, "the key was at hand")?;
                expect(self.was_troubled(*sent, *answered), "the issuer was well")
            }
            _ => Err("an answer that is none".to_owned()),
        }
    }

    /// How often the issuer may have been asked, retries left out.
    pub fn judge_fetches(&self, elapsed: Duration) -> Result<(), String> {
        expect(!self.world.had_two_at_once, "two fetches at the same time")?;
        let first = || self.world.fetches.iter().filter(|fetch| !fetch.is_retry);
        let failed = first().filter(|fetch| fetch.delivered.is_none()).count();
        let forced = first().filter(|fetch| fetch.is_forced).count();
        let unforced = first().count() - forced;
        let periods = |seconds: u64| usize::try_from(elapsed.as_secs() / seconds).unwrap();
        expect(forced <= 2 + periods(30), &format!("{forced} fetches for unknown keys in {elapsed:?}"))?;
        for (before, after) in self.world.fetches.iter().zip(self.world.fetches.iter().skip(1)) {
            let pause = before.ended.map(|ended| after.asked.saturating_duration_since(ended));
            let is_soon = pause.is_none_or(|pause| pause < Duration::from_millis(250));
            expect(before.delivered.is_some() || after.is_retry || !is_soon, "a fetch right after one that failed")?;
        }
        // A minute of freshness, less a tenth by chance, of which four fifths pass.
        expect(unforced <= 1 + periods(43) + failed, &format!("{unforced} scheduled fetches in {elapsed:?}"))
    }

    /// The landings that were in force at some moment from `sent` to `answered`, each with when the next came.
    fn in_force(&self, sent: Instant, answered: Instant) -> impl Iterator<Item = &Landing<'w>> {
        self.landings.iter().enumerate().filter_map(move |(index, landing)| {
            let is_followed = self.landings.get(index + 1).is_some_and(|next| next.at < sent);
            let is_dead = landing.at + self.lifetime + self.last_known_good < sent;
            (landing.at <= answered && !is_followed && !is_dead).then_some(landing)
        })
    }

    fn could_hold(&self, kid: &str, sent: Instant, answered: Instant) -> bool {
        self.in_force(sent, answered).any(|landing| landing.kids.contains(kid))
    }

    fn could_lack(&self, kid: &str, sent: Instant, answered: Instant) -> bool {
        self.in_force(sent, answered).any(|landing| !landing.kids.contains(kid))
    }

    /// Whether the key was there all the time, in a set that certainly lived.
    fn is_at_hand(&self, kid: &str, sent: Instant, answered: Instant) -> bool {
        let was_there = self.landings.first().is_some_and(|first| first.at < sent);
        let newest = self.landings.iter().rfind(|landing| landing.at < sent);
        let surely = self.lifetime.mul_f64(0.9) + self.last_known_good;
        was_there
            && newest.is_some_and(|newest| answered < newest.at + surely)
            && self.in_force(sent, answered).all(|landing| landing.kids.contains(kid))
    }

    /// A refusal needs a fetch that began after the request and lacked the key; or one that did so lately; or the budget
    /// for such fetches is spent, and the issuer is well.
    fn may_refuse(&mut self, kid: &str, sent: Instant, answered: Instant) -> Result<(), String> {
        let fetches = &self.world.fetches;
        let is_proof = |fetch: &Fetch| {
            let lacks = !self.world.revisions[fetch.revision].kids.contains(kid);
            fetch.is_forced && fetch.asked >= sent && fetch.delivered.is_some_and(|at| at <= answered) && lacks
        };
        let is_remembered =
            self.missing.get(kid).is_some_and(|at| answered.duration_since(*at) <= Duration::from_secs(300));
        if fetches.iter().any(is_proof) {
            self.missing.insert(kid.to_owned(), answered);
            return Ok(());
        }
        let asked_within = |seconds: u64| {
            let within =
                |fetch: &&Fetch| answered.saturating_duration_since(fetch.asked).as_secs_f64() <= seconds as f64;
            fetches
                .iter()
                .filter(|fetch| fetch.is_forced && !fetch.is_retry && fetch.asked <= answered)
                .filter(within)
                .count()
        };
        let is_over = |fetch: &&Fetch| fetch.ended.is_some_and(|ended| ended <= answered);
        let counts = |fetch: &&Fetch| fetch.is_retry || !fetch.fate.is_retried();
        let last = fetches.iter().filter(is_over).rfind(counts);
        let is_limited = asked_within(60) >= 2 && asked_within(30) >= 1;
        let is_well = last.is_some_and(|fetch| fetch.delivered.is_some());
        expect(is_remembered || (is_limited && is_well), "nothing proved that the key does not exist")
    }

    /// Whether something went wrong, at most one back-off before.
    fn was_troubled(&self, sent: Instant, answered: Instant) -> bool {
        let back_off = Duration::from_secs(60);
        let is_bad = |fetch: &Fetch| {
            !fetch.fate.is_prompt(LONGEST)
                && fetch.asked <= answered
                && fetch.ended.is_none_or(|ended| ended + back_off >= sent)
        };
        self.world.fetches.iter().any(is_bad)
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
