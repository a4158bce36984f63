//! Decides which responses were allowed. It knows the documented limits, and when each token was introspected, changed
//! and passed to `forget`.

use std::time::Duration;

use tokio::time::Instant;

use super::caller::Outcome;
use super::token_world::{Introspection, LONGEST, State};

const POSITIVE: Duration = Duration::from_secs(30);
const NEGATIVE: Duration = Duration::from_secs(10);
/// The longest pause of the circuit breaker.
const PAUSE: Duration = Duration::from_secs(60);

pub struct Oracle<'w>(pub &'w State);

impl Oracle<'_> {
    pub fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let Outcome { times, sent, answered, verdict, .. } = outcome;
        if answered.duration_since(*sent) > Duration::from_secs(8) {
            return Err("the response took longer than 8 s".to_owned());
        }
        if self.is_available(outcome) {
            return expect(verdict == "OK" && sent == answered, "a cached result was available");
        }
        match verdict.as_str() {
            "OK" => {
                expect(times.sent || times.answered, "a token outside of its lifetime must be rejected")?;
                expect(self.could_be(outcome, true), "no current introspection response was active")
            }
            "R401" if !times.sent || !times.answered => Ok(()),
            "R401" => expect(self.could_be(outcome, false), "no current introspection response was inactive"),
            "R503" => expect(self.was_failing(*sent, *answered), "the issuer did not fail"),
            _ => Err("an unexpected verdict".to_owned()),
        }
    }

    /// No token is introspected again while its cached result is valid.
    pub fn check_introspections(&self, long: &[String]) -> Result<(), String> {
        expect(!self.0.had_concurrent_requests, "two requests about one token at the same time")?;
        for name in long {
            let answered: Vec<&Introspection> = self
                .0
                .introspections
                .iter()
                .filter(|introspection| introspection.about == *name && introspection.delivered.is_some())
                .collect();
            for pair in answered.windows(2) {
                let lifetime = if pair[0].is_active { POSITIVE } else { NEGATIVE };
                let is_early = pair[1].started.duration_since(pair[0].first_started) < lifetime;
                let was_forgotten =
                    self.is_forgotten(name, pair[0].first_started, pair[1].started) || !self.is_cached(pair[0]);
                expect(
                    !is_early || was_forgotten,
                    &format!(
                        "introspected again too early: {}, {}",
                        pair[0].describe(pair[1].started),
                        pair[1].describe(pair[1].started)
                    ),
                )?;
            }
        }
        Ok(())
    }

    /// Whether an introspection response of this kind could decide the request.
    fn could_be(&self, outcome: &Outcome, is_active: bool) -> bool {
        let lifetime = if is_active { POSITIVE } else { NEGATIVE };
        self.responses(outcome).any(|(introspection, delivered)| {
            // An earlier response must be the newest and not expired. A later one must have been waited for.
            let is_usable = delivered >= outcome.sent
                || (outcome.sent <= introspection.started + lifetime
                    && !self.is_superseded(introspection, outcome.sent));
            introspection.is_active == is_active && is_usable && !self.is_forgotten_before(introspection, outcome.sent)
        })
    }

    /// Whether an active result was cached all the time. Brief tokens are excluded, since a jump of the clock may end
    /// their lifetime.
    fn is_available(&self, outcome: &Outcome) -> bool {
        let is_long = !outcome.about.starts_with("brief");
        is_long
            && self.responses(outcome).any(|(introspection, delivered)| {
                introspection.is_active
                    && delivered < outcome.sent
                    && outcome.sent < introspection.first_started + POSITIVE
                    && self.is_cached(introspection)
                    && !self.is_superseded(introspection, outcome.answered + LONGEST)
                    && !self.is_forgotten(&outcome.about, introspection.first_started, outcome.answered)
            })
    }

    /// The introspection responses for this token that were delivered before the request was answered.
    fn responses(&self, outcome: &Outcome) -> impl Iterator<Item = (&Introspection, Instant)> {
        let about = self.0.introspections.iter().filter(|introspection| introspection.about == outcome.about);
        about.filter_map(|introspection| {
            introspection.delivered.filter(|at| *at <= outcome.answered).map(|at| (introspection, at))
        })
    }

    /// Whether a later request got its response before `by`.
    fn is_superseded(&self, introspection: &Introspection, by: Instant) -> bool {
        let is_later = |other: &Introspection| {
            other.about == introspection.about
                && other.started > introspection.started
                && other.delivered.is_some_and(|at| at < by)
        };
        self.0.introspections.iter().any(is_later)
    }

    /// Whether the introspection began before a call of `forget`, which came before the request.
    fn is_forgotten_before(&self, introspection: &Introspection, sent: Instant) -> bool {
        self.0
            .forgotten
            .iter()
            .any(|(name, at)| *name == introspection.about && introspection.started < *at && *at < sent)
    }

    fn is_forgotten(&self, name: &str, from: Instant, to: Instant) -> bool {
        self.0.forgotten.iter().any(|(forgotten, at)| forgotten == name && *at >= from && *at <= to)
    }

    /// Whether the response was certainly cached. All tokens share one counter. A call of `forget` for another token
    /// during the introspection may prevent caching, which costs one more request.
    fn is_cached(&self, introspection: &Introspection) -> bool {
        let is_in_flight = |at: Instant| {
            at >= introspection.first_started && introspection.delivered.is_none_or(|delivered| at <= delivered)
        };
        !self.0.forgotten.iter().any(|(_, at)| is_in_flight(*at))
    }

    /// Whether a request failed at most one pause before, or a probe of the circuit breaker was in flight.
    fn was_failing(&self, sent: Instant, answered: Instant) -> bool {
        let failed = |introspection: &Introspection| !introspection.fate.is_prompt(LONGEST);
        let lately = |introspection: &Introspection| {
            introspection.started <= answered && introspection.ended.is_none_or(|ended| ended + PAUSE >= sent)
        };
        let is_probe = |probe: &Introspection| {
            let before = self
                .0
                .introspections
                .iter()
                .filter(|introspection| introspection.ended.is_some_and(|ended| ended <= probe.started));
            let last = before.max_by_key(|introspection| introspection.ended);
            let is_open = probe.started <= answered && probe.ended.is_none_or(|ended| ended >= sent);
            is_open && last.is_some_and(failed)
        };
        self.0
            .introspections
            .iter()
            .any(|introspection| (failed(introspection) && lately(introspection)) || is_probe(introspection))
    }
}

fn expect(lifetime: bool, otherwise: &str) -> Result<(), String> {
    if lifetime { Ok(()) } else { Err(otherwise.to_owned()) }
}
