//! What the authorization server said, and how long that holds. A token is known by its fingerprint and never kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Lifetimes, Verdict};
use crate::claims::Claims;
use crate::crypto::Fingerprint;
use crate::token_cache::{TokenCache, Weighed};

/// Good answers and bad ones, apart, so that garbage cannot push out good entries.
pub(super) struct Memory {
    lifetimes: Lifetimes,
    positives: TokenCache<Positive>,
    negatives: TokenCache<Negative>,
    /// Until when a token must not be introspected, by the word of the endpoint.
    held_back: TokenCache<HeldBack>,
    /// How often something was forgotten, by the first byte of its fingerprint: what was asked before that is not kept
    /// after it.
    forgotten: [AtomicU64; 256],
    /// Who keeps or forgets something does so alone, for a few instructions; who recalls waits for nobody.
    changing: Mutex<()>,
}

/// A question, and the state of memory in which it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedAt {
    token: Fingerprint,
    at: Instant,
    forgotten: u64,
}

#[derive(Clone)]
struct Positive {
    claims: Claims,
    said_at: Instant,
    /// When the token expires, however fresh the answer is.
    dies_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct HeldBack {
    until: Instant,
}

#[derive(Clone)]
struct Negative {
    verdict: Verdict,
    said_at: Instant,
}

impl Memory {
    pub(super) fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            positives: TokenCache::new(MAX_POSITIVES),
            negatives: TokenCache::new(MAX_NEGATIVES),
            held_back: TokenCache::new(MAX_NEGATIVES),
            forgotten: std::array::from_fn(|_| AtomicU64::new(0)),
            changing: Mutex::new(()),
        }
    }

    /// What was said of a token, if that is fresh. `within` takes the place of the configured time for good answers.
    pub(super) fn recall(&self, token: &Fingerprint, within: Option<Duration>) -> Option<Verdict> {
        let now = Instant::now();
        let age = |said_at: Instant| now.saturating_duration_since(said_at);
        if let Some(positive) = self.positives.get(token)
            && age(positive.said_at) < within.unwrap_or(self.lifetimes.positive)
            && positive.is_alive(now)
        {
            return Some(Verdict::Active(positive.claims));
        }
        let negative = self.negatives.get(token)?;
        (age(negative.said_at) < self.lifetimes.negative).then_some(negative.verdict)
    }

    /// What was said last of a token, while nobody can be asked: past its freshness, and never past its expiry.
    pub(super) fn recall_stale(&self, token: &Fingerprint, within: Option<Duration>) -> Option<Claims> {
        let (now, stale) = (Instant::now(), self.lifetimes.stale);
        let positive = self.positives.get(token).filter(|_| !stale.is_zero())?;
        let longest = within.unwrap_or(self.lifetimes.positive).saturating_add(stale);
        let usable = now.saturating_duration_since(positive.said_at) < longest && positive.is_alive(now);
        usable.then_some(positive.claims)
    }

    /// Whether a token was good before, however long ago.
    pub(super) fn knows(&self, token: &Fingerprint) -> bool {
        self.positives.peek(token).is_some()
    }

    /// The token must not be introspected for this time, by the word of the endpoint.
    pub(super) fn hold_back(&self, token: Fingerprint, time: Duration) {
        if let Some(until) = Instant::now().checked_add(time.min(LONGEST_HOLD)) {
            self.held_back.insert(token, HeldBack { until });
        }
    }

    /// How long a token must not be introspected; `None` if it may be now.
    pub(super) fn held_back(&self, token: &Fingerprint) -> Option<Duration> {
        let HeldBack { until } = self.held_back.get(token)?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// A question that is asked now.
    pub(super) fn ask(&self, token: Fingerprint) -> AskedAt {
        AskedAt { token, at: Instant::now(), forgotten: self.forgotten(&token) }
    }

    /// Keeps the answer to a question. It was true when it was asked; `lifetime` is how long the token itself lived on
    /// then, if that is known.
    pub(super) fn keep(&self, question: AskedAt, verdict: &Verdict, lifetime: Option<Duration>) {
        let AskedAt { token, at, forgotten } = question;
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // A later question may have been answered already, where this one was asked on a runtime that stood still until it
        // was given up: that answer stays.
        if self.forgotten(&token) != forgotten || self.has_later_answer(&token, at) {
            return;
        }
        match verdict {
            Verdict::Active(claims) => {
                self.negatives.remove(&token);
                // A lifetime beyond what the clock can hold is none.
                let dies_at = lifetime.and_then(|lifetime| at.checked_add(lifetime));
                self.positives.insert(token, Positive { claims: claims.clone(), said_at: at, dies_at });
            }
            Verdict::Inactive | Verdict::Unsupported => {
                self.positives.remove(&token);
                // Even where it never serves: it tells that older answers are out of date.
                self.negatives.insert(token, Negative { verdict: verdict.clone(), said_at: at });
            }
        }
    }

    pub(super) fn forget(&self, token: &Fingerprint) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(forgotten) = self.counter(token) {
            forgotten.fetch_add(1, Ordering::AcqRel);
        }
        self.positives.remove(token);
        self.negatives.remove(token);
        self.held_back.remove(token);
    }

    fn has_later_answer(&self, token: &Fingerprint, at: Instant) -> bool {
        self.positives.peek(token).is_some_and(|positive| positive.said_at > at)
            || self.negatives.peek(token).is_some_and(|negative| negative.said_at > at)
    }

    fn forgotten(&self, token: &Fingerprint) -> u64 {
        self.counter(token).map_or(0, |forgotten| forgotten.load(Ordering::Acquire))
    }

    fn counter(&self, token: &Fingerprint) -> Option<&AtomicU64> {
        self.forgotten.get(usize::from(*token.first()?))
    }
}

impl Positive {
    fn is_alive(&self, now: Instant) -> bool {
        self.dies_at.is_none_or(|dies_at| now < dies_at)
    }
}

impl Weighed for Positive {
    fn bytes(&self) -> usize {
        self.claims.size()
    }
}

impl Weighed for HeldBack {
    fn bytes(&self) -> usize {
        0
    }
}

impl Weighed for Negative {
    fn bytes(&self) -> usize {
        0
    }
}

/// Good answers: one for each token that is in use at the same time; at most 40 MiB of text.
const MAX_POSITIVES: usize = 10_000;
/// Bad answers: a client that repeats itself, not a flood.
const MAX_NEGATIVES: usize = 1_000;

/// The longest time for which a token is not introspected: as long as the longest `Retry-After` that callers are told.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::{ClientCredentials, Introspection};
    use crate::token_cache::PAGE;
    use crate::token_cache::tests::fingerprint;

    #[tokio::test(start_paused = true)]
    async fn entries_and_bytes_are_bounded_and_garbage_pushes_out_nothing_good() {
        let memory = Memory::new(Introspection::new(ClientCredentials::basic("id", "secret")).lifetimes);
        let active = |size: usize| {
            let claims = format!("{{\"active\":true,\"padding\":\"{}\"}}", "x".repeat(size));
            Verdict::Active(Claims::from_introspection(claims.as_bytes(), "https://as").unwrap())
        };
        for (size, most) in [(10, MAX_POSITIVES), (PAGE, MAX_POSITIVES / 2), (60_000, MAX_POSITIVES / 15)] {
            let verdict = active(size);
            for number in 0..100_000 {
                memory.keep(memory.ask(fingerprint(number)), &verdict, None);
            }
            assert!((most * 9 / 10..=most).contains(&memory.positives.len()), "{size}: {}", memory.positives.len());
        }
        let good = memory.positives.len();
        for number in 100_000..200_000 {
            memory.keep(memory.ask(fingerprint(number)), &Verdict::Inactive, None);
        }
        assert_eq!((memory.positives.len(), memory.negatives.len()), (good, MAX_NEGATIVES));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_after_a_newer_one_is_not_kept() {
        for negative in [10, 0] {
            let settings = Introspection::new(ClientCredentials::basic("id", "secret"));
            let memory = Memory::new(settings.negative_cache(Duration::from_secs(negative)).lifetimes);
            let claims = Claims::from_introspection(br#"{"active":true}"#, "https://as").unwrap();
            let (token, active) = ([0; 32], Verdict::Active(claims));
            let earlier = memory.ask(token);
            tokio::time::advance(Duration::from_secs(1)).await;
            let later = memory.ask(token);
            memory.keep(later, &Verdict::Inactive, None);
            memory.keep(earlier, &active, None);
            assert!(!matches!(memory.recall(&token, None), Some(Verdict::Active(_))), "{negative}");
            // And what is asked now is news.
            memory.keep(memory.ask(token), &active, None);
            memory.keep(earlier, &Verdict::Inactive, None);
            assert!(matches!(memory.recall(&token, None), Some(Verdict::Active(_))), "{negative}");
        }
    }
}
