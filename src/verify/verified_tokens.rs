//! JWTs whose signature was found good a moment ago.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Verification, Verifier, VerifyError};
use crate::claims::{Claims, check};
use crate::clock::Clock;
use crate::crypto::{Fingerprint, Hmac};
use crate::token_cache::{TokenCache, Weighed};

/// Spares a token that comes again the check of its signature, and nothing else: whatever may change by itself is looked
/// at each time. Only success is remembered, by one server for itself.
pub(crate) struct VerifiedTokens {
    hmac: Hmac,
    entries: TokenCache<Arc<Entry>>,
}

struct Entry {
    verifier: Arc<Verifier>,
    claims: Claims,
    explicitly_typed: bool,
    /// The key set that had the key.
    generation: u64,
    verified_at: Instant,
}

/// Where a token will be remembered once it is found good.
pub(super) struct Place {
    tokens: Arc<VerifiedTokens>,
    fingerprint: Fingerprint,
}

impl VerifiedTokens {
    /// A cache for `capacity` tokens. `None` if the build has no signature backend, or if the machine has no randomness.
    pub(crate) fn new(capacity: usize) -> Option<Self> {
        Some(Self { hmac: Hmac::random()?, entries: TokenCache::new(capacity) })
    }

    /// The HMAC under which a token is cached.
    pub(super) fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        self.hmac.sign(token)
    }

    /// What becomes of a token that was verified before, if nothing has changed since.
    pub(super) fn recall(
        &self,
        fingerprint: &Fingerprint,
        token: &[u8],
        clock: &Arc<dyn Clock>,
    ) -> Option<Result<Verification, VerifyError>> {
        let entry = self.entries.get(fingerprint)?;
        if !entry.holds(Instant::now(), clock.since_epoch()) {
            self.entries.remove(fingerprint);
            return None;
        }
        Some(entry.verifier.accept(token, entry.claims.clone(), clock))
    }

    pub(super) fn place(self: &Arc<Self>, fingerprint: Fingerprint) -> Place {
        Place { tokens: Arc::clone(self), fingerprint }
    }

    pub(super) fn forget(&self, token: &[u8]) {
        self.entries.remove(&self.fingerprint(token));
    }
}

impl Place {
    /// Remembers a token whose signature is good by a key of the set with this number.
    pub(super) fn keep(self, verifier: &Arc<Verifier>, claims: &Claims, explicitly_typed: bool, generation: u64) {
        let (verifier, claims) = (Arc::clone(verifier), claims.clone());
        let entry = Entry { verifier, claims, explicitly_typed, generation, verified_at: Instant::now() };
        self.tokens.entries.insert(self.fingerprint, Arc::new(entry));
    }
}

impl Entry {
    /// `now` by the clock that never jumps, and `since_epoch` by the one that tokens are judged by.
    fn holds(&self, now: Instant, since_epoch: Duration) -> bool {
        let keys = self.verifier.jwt.as_ref().map(|jwt| &jwt.keys);
        now.saturating_duration_since(self.verified_at) < MAX_AGE
            // The skew is for tokens that are looked at anew.
            && self.claims.expires_at().is_some_and(|expires_at| since_epoch < expires_at)
            && keys.and_then(|keys| keys.generation(now)) == Some(self.generation)
            && check(&self.claims, &self.verifier.policy, self.explicitly_typed, since_epoch).is_ok()
    }
}

// Shared, so that requests with different tokens touch no counter in common.
impl Weighed for Arc<Entry> {
    fn bytes(&self) -> usize {
        self.claims.size()
    }
}

/// For how long a signature need not be looked at again: a bound on whatever nobody has thought of.
const MAX_AGE: Duration = Duration::from_secs(60);
