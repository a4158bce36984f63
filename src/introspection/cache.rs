//! The cached introspection results, and how long they are fresh. Tokens are not kept: the key is the HMAC of a token.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Lifetimes, TokenStatus};
use crate::crypto::Fingerprint;
use crate::token_cache::{TokenCache, Weighed};

/// Active and other tokens have separate caches, so that made-up tokens cannot evict active ones.
pub(super) struct ResponseCache {
    lifetimes: Lifetimes,
    positives: TokenCache<CachedResult>,
    negatives: TokenCache<CachedResult>,
    /// Until when a token must not be introspected, because the endpoint responded with `Retry-After`.
    held_back: TokenCache<Instant>,
    /// The removals of results, by the first byte of their fingerprints. The result of a request that was sent before a
    /// removal is not cached after it. Locked for a few instructions by each change; [`get`](Self::get) takes no lock.
    removals: Mutex<BTreeMap<u8, Removals>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Removals {
    count: u64,
    last: Option<Instant>,
}

/// An introspection in progress, and the state of the cache when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingLookup {
    token: Fingerprint,
    at: Instant,
    removals: u64,
}

#[derive(Clone)]
struct CachedResult {
    status: TokenStatus,
    requested_at: Instant,
    /// When an active token expires, however fresh the result is.
    expires_at: Option<Instant>,
}

impl ResponseCache {
    pub(super) fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            positives: TokenCache::new(MAX_POSITIVES),
            negatives: TokenCache::new(MAX_NEGATIVES),
            held_back: TokenCache::new(MAX_NEGATIVES),
            removals: Mutex::default(),
        }
    }

    /// How long the result of an active token is fresh, unless its request has another `max_age`.
    pub(super) const fn positive_lifetime(&self) -> Duration {
        self.lifetimes.positive
    }

    /// The cached result, if it is fresh. `max_age` replaces the configured lifetime of an active token.
    pub(super) fn get(&self, token: &Fingerprint, max_age: Option<Duration>) -> Option<TokenStatus> {
        let now = Instant::now();
        let lifetime = max_age.unwrap_or(self.lifetimes.positive);
        let active = self.positives.get(token).filter(|result| result.is_usable(lifetime, now));
        let other = || self.negatives.get(token).filter(|result| result.is_usable(self.lifetimes.negative, now));
        active.or_else(other).map(|result| result.status)
    }

    /// The result for an active token that is not fresh any more, for use while introspection fails. The token itself must
    /// not have expired.
    pub(super) fn get_stale(&self, token: &Fingerprint, max_age: Option<Duration>) -> Option<TokenStatus> {
        let stale = self.lifetimes.stale;
        let positive = self.positives.get(token).filter(|_| !stale.is_zero())?;
        let longest = max_age.unwrap_or(self.lifetimes.positive).saturating_add(stale);
        positive.is_usable(longest, Instant::now()).then_some(positive.status)
    }

    /// Whether the last result for a token was active, however old it is.
    pub(super) fn was_active(&self, token: &Fingerprint) -> bool {
        self.positives.peek(token).is_some()
    }

    /// Blocks the introspection of a token for this time.
    pub(super) fn hold_back(&self, token: Fingerprint, time: Duration) {
        if let Some(until) = Instant::now().checked_add(time.min(LONGEST_HOLD)) {
            self.held_back.insert(token, until);
        }
    }

    /// How long a token must not be introspected. `None` if it may be introspected now.
    pub(super) fn held_back(&self, token: &Fingerprint) -> Option<Duration> {
        let left = self.held_back.get(token)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Begins an introspection.
    pub(super) fn begin(&self, token: Fingerprint) -> PendingLookup {
        PendingLookup { token, at: Instant::now(), removals: removals(&mut self.lock(), &token).count }
    }

    /// Begins with the result of an introspection that another replica began at about this time. `None` if the token was removed
    /// here since then. The removal of another token counts too, if both fingerprints have the same first byte.
    pub(super) fn begin_at(&self, token: Fingerprint, at: Instant) -> Option<PendingLookup> {
        let removals = *removals(&mut self.lock(), &token);
        let is_newer = removals.last.is_none_or(|last| at.saturating_duration_since(last) > REPLICA_TIME_ERROR);
        is_newer.then_some(PendingLookup { token, at, removals: removals.count })
    }

    /// Caches the result of an introspection, with the age of its beginning. `lifetime` is how long the token itself was valid
    /// at that time, if that is known. `false` if the result is out of date already.
    pub(super) fn insert(&self, pending: PendingLookup, status: &TokenStatus, lifetime: Option<Duration>) -> bool {
        let PendingLookup { token, at: requested_at, removals } = pending;
        let mut guard = self.lock();
        let is_later = |result: CachedResult| result.requested_at > requested_at;
        // If a runtime stood still during this introspection, a later one may have ended before it. The later result stays.
        if self::removals(&mut guard, &token).count != removals
            || self.positives.peek(&token).is_some_and(is_later)
            || self.negatives.peek(&token).is_some_and(is_later)
        {
            return false;
        }
        // A time that the clock cannot represent means no expiry.
        let expires_at = lifetime.and_then(|lifetime| requested_at.checked_add(lifetime));
        let result = CachedResult { status: status.clone(), requested_at, expires_at };
        if matches!(status, TokenStatus::Active(_)) {
            self.negatives.remove(&token);
            self.positives.insert(token, result);
        } else {
            self.positives.remove(&token);
            // Even with a lifetime of zero, it shows that the results of earlier introspections are out of date.
            self.negatives.insert(token, result);
        }
        true
    }

    pub(super) fn remove(&self, token: &Fingerprint) {
        let mut guard = self.lock();
        let removals = removals(&mut guard, token);
        *removals = Removals { count: removals.count.wrapping_add(1), last: Some(Instant::now()) };
        self.positives.remove(token);
        self.negatives.remove(token);
        self.held_back.remove(token);
    }

    /// The number of results, fresh or not.
    pub(super) fn len(&self) -> usize {
        self.positives.len().saturating_add(self.negatives.len())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u8, Removals>> {
        self.removals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn removals<'m>(removals: &'m mut BTreeMap<u8, Removals>, [first, ..]: &Fingerprint) -> &'m mut Removals {
    removals.entry(*first).or_default()
}

impl CachedResult {
    fn is_usable(&self, lifetime: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.requested_at) < lifetime && self.expires_at.is_none_or(|at| now < at)
    }
}

impl Weighed for CachedResult {
    fn bytes(&self) -> usize {
        match &self.status {
            TokenStatus::Active(claims) => claims.size(),
            TokenStatus::Inactive | TokenStatus::Rejected(_) | TokenStatus::Unsupported => 0,
        }
    }
}

impl Weighed for Instant {
    fn bytes(&self) -> usize {
        0
    }
}

/// Active tokens: one entry for each token in use at the same time, and at most 40 MiB of text.
const MAX_POSITIVES: usize = 10_000;
/// Other tokens: enough for clients that repeat a request, not for a flood.
const MAX_NEGATIVES: usize = 1_000;
/// The longest time for which a token is not introspected: the longest `Retry-After` for clients.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// How wrong the time can be at which another replica began an introspection: the clocks of replicas may differ by 10 s.
const REPLICA_TIME_ERROR: Duration = Duration::from_secs(11);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Claims;
    use crate::introspection::{ClientCredentials, Introspection};
    use crate::token_cache::PAGE;
    use crate::token_cache::tests::fingerprint;

    #[tokio::test(start_paused = true)]
    async fn entries_and_bytes_are_bounded_and_other_tokens_evict_no_active_ones() {
        let cache = ResponseCache::new(Introspection::new(ClientCredentials::basic("id", "secret")).settings.lifetimes);
        let active = |size: usize| {
            let claims = format!("{{\"active\":true,\"padding\":\"{}\"}}", "x".repeat(size));
            TokenStatus::Active(Claims::from_introspection(claims.as_bytes(), "https://as").unwrap())
        };
        for (size, most) in [(10, MAX_POSITIVES), (PAGE, MAX_POSITIVES / 2), (60_000, MAX_POSITIVES / 15)] {
            let verdict = active(size);
            for number in 0..100_000 {
                cache.insert(cache.begin(fingerprint(number)), &verdict, None);
            }
            assert!((most * 9 / 10..=most).contains(&cache.positives.len()), "{size}: {}", cache.positives.len());
        }
        let good = cache.positives.len();
        for number in 100_000..200_000 {
            cache.insert(cache.begin(fingerprint(number)), &TokenStatus::Inactive, None);
        }
        assert_eq!((cache.positives.len(), cache.negatives.len()), (good, MAX_NEGATIVES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_arrives_after_a_newer_one_is_not_cached() {
        for negative in [10, 0] {
            let settings = Introspection::new(ClientCredentials::basic("id", "secret"));
            let cache = ResponseCache::new(settings.negative_cache(Duration::from_secs(negative)).settings.lifetimes);
            let claims = Claims::from_introspection(br#"{"active":true}"#, "https://as").unwrap();
            let (token, active) = ([0; 32], TokenStatus::Active(claims));
            let earlier = cache.begin(token);
            tokio::time::advance(Duration::from_secs(1)).await;
            let later = cache.begin(token);
            cache.insert(later, &TokenStatus::Inactive, None);
            cache.insert(earlier, &active, None);
            assert!(!matches!(cache.get(&token, None), Some(TokenStatus::Active(_))), "{negative}");
            // A later introspection replaces it.
            cache.insert(cache.begin(token), &active, None);
            cache.insert(earlier, &TokenStatus::Inactive, None);
            assert!(matches!(cache.get(&token, None), Some(TokenStatus::Active(_))), "{negative}");
        }
    }
}
