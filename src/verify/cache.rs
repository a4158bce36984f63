use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::issuer_verifier::{Accepted, Step, VerifiedSignature};
use super::{CheckRecorder, Verification};
use crate::claims::{Claims, check};
use crate::clock::Clock;
use crate::crypto::{Fingerprint, Hmac};
use crate::events::{CacheKind, Event, ServerEvents, VerificationPurpose};
use crate::jose::Compact;
use crate::token_cache::{TokenCache, Weighed};

/// A cache around the verification of JWTs. It saves the check of a signature that was verified less than a minute ago.
///
/// Everything that time, the authorization server or the key set can change is checked with every request. Only accepted
/// tokens are cached, under a keyed hash.
pub(crate) struct VerifiedTokens {
    hmac: Hmac,
    events: Arc<ServerEvents>,
    entries: TokenCache<Arc<Entry>>,
    capacity: usize,
}

struct Entry {
    claims: Claims,
    signature: VerifiedSignature,
    verified_at: Instant,
}

impl VerifiedTokens {
    /// A cache for `capacity` tokens. `None` in a build without a cryptography backend, or if the machine gives no
    /// random bytes.
    pub(crate) fn new(capacity: usize, events: &Arc<ServerEvents>) -> Option<Self> {
        let hmac = Hmac::random()?;
        events.verified_tokens(|| 0);
        Some(Self { hmac, events: Arc::clone(events), entries: TokenCache::new(capacity), capacity })
    }

    /// Verifies a token, with `verify` unless it is in the cache.
    pub(super) fn verify(
        self: &Arc<Self>,
        token: &[u8],
        clock: &Arc<dyn Clock>,
        progress: &CheckRecorder,
        verify: impl FnOnce() -> Step,
    ) -> Step {
        // Opaque tokens are never in the cache.
        if Compact::parse(token).is_err() {
            return verify();
        }
        let hash = self.hmac.sign(token);
        if let Some(entry) = self.entries.get(&hash) {
            if entry.is_valid(Instant::now(), clock.since_epoch()) {
                if progress.purpose() == VerificationPurpose::Request {
                    self.events.emit(&Event::CacheHit(CacheKind::VerifiedTokens));
                }
                progress.cached();
                let accepted = Accepted { claims: entry.claims.clone(), signature: None };
                return entry.signature.issuer.check_revocation(token, accepted, clock, progress);
            }
            self.entries.remove(&hash);
        }
        Ok(match verify()? {
            Verification::Done(result) => Verification::Done(result.map(|accepted| self.insert(hash, accepted))),
            Verification::Pending(pending) => {
                let this = Arc::clone(self);
                Verification::Pending(Box::pin(async move { Ok(this.insert(hash, pending.await?)) }))
            }
        })
    }

    fn insert(&self, hash: Fingerprint, mut accepted: Accepted) -> Accepted {
        if let Some(signature) = accepted.signature.take() {
            let entry = Entry { claims: accepted.claims.clone(), signature, verified_at: Instant::now() };
            self.entries.insert(hash, Arc::new(entry));
            self.events.verified_tokens(|| self.entries.len());
        }
        accepted
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn forget(&self, token: &[u8]) {
        self.entries.remove(&self.hmac.sign(token));
        self.events.verified_tokens(|| self.entries.len());
    }
}

impl Entry {
    /// `now` is read from the monotonic clock, and `since_epoch` from the clock that `exp` is compared with.
    fn is_valid(&self, now: Instant, since_epoch: Duration) -> bool {
        let VerifiedSignature { issuer, explicitly_typed, generation } = &self.signature;
        let current = issuer.keys().and_then(|keys| keys.generation(now));
        now.saturating_duration_since(self.verified_at) < MAX_AGE
            // Without the clock skew: an expired token is verified with every request.
            && self.claims.exp().is_some_and(|exp| since_epoch < exp)
            && current == Some(*generation)
            // Rows 5 to 8 of the table.
            && check(&self.claims, &issuer.policy, *explicitly_typed, since_epoch).is_ok()
    }
}

// In an `Arc`, so that requests with different tokens share no reference count.
impl Weighed for Arc<Entry> {
    fn bytes(&self) -> usize {
        self.claims.size()
    }
}

/// How long a verified signature is used, as a bound on any reason to verify it again that is not known here.
const MAX_AGE: Duration = Duration::from_secs(60);
