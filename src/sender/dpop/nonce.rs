use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;

use super::nonce_key::NonceKey;
use crate::crypto::{Fingerprint, Hmac, SecretKey, digests_equal};

/// Makes and verifies nonces (RFC 9449, section 8). Nothing is stored for a nonce.
///
/// A nonce is the base64url text of the time in whole seconds since 1970, as 8 bytes, and of its HMAC-SHA-256. The HMAC is not
/// truncated. All nonces of one second are equal: a nonce limits the age of a proof, and the replay store limits its uses.
pub(crate) struct Nonces {
    /// In whole seconds.
    lifetime: u64,
    keys: ArcSwap<NonceKeys>,
}

/// The keys of one configuration.
struct NonceKeys {
    signing: Arc<NonceHmac>,
    accepted: Vec<Arc<NonceHmac>>,
    previous: Option<PreviousNonceKey>,
    /// The nonce that was made last, so that there is one HMAC per second and not one per response.
    latest: ArcSwapOption<IssuedNonce>,
}

/// The key that signed before the last rotation.
#[derive(Clone)]
struct PreviousNonceKey {
    key: Arc<NonceHmac>,
    /// The last second since 1970 in which its nonces are accepted.
    until: u64,
}

/// A key for nonces only, derived from a [`NonceKey`].
struct NonceHmac {
    hmac: Hmac,
    /// Two derived keys are equal if their check values are.
    check_value: Fingerprint,
}

struct IssuedNonce {
    second: u64,
    value: HeaderValue,
}

impl Nonces {
    /// Uses this key, or a random key. `None` without a cryptography backend, or if the machine gives no random bytes.
    pub(crate) fn new(key: Option<NonceKey>, lifetime: Duration) -> Option<Self> {
        let keys = match key {
            Some(key) => NonceKeys::derive(&key)?,
            None => NonceKeys::new(NonceHmac::new(Hmac::random()?), Vec::new()),
        };
        Some(Self { lifetime: lifetime.as_secs(), keys: ArcSwap::from_pointee(keys) })
    }

    /// A nonce for the header `DPoP-Nonce` of a response.
    pub(crate) fn fresh(&self, now: Duration) -> HeaderValue {
        let (keys, second) = (self.keys.load(), now.as_secs());
        if let Some(latest) = &*keys.latest.load()
            && latest.second == second
        {
            return latest.value.clone();
        }
        let value = keys.signing.nonce(second);
        keys.latest.store(Some(Arc::new(IssuedNonce { second, value: value.clone() })));
        value
    }

    /// When this server, or a replica with a common key, made this nonce, as the time since 1970 in whole seconds, rounded down.
    /// `None` if the nonce is not one of theirs, or has expired.
    pub(crate) fn made_at(&self, nonce: &str, now: Duration) -> Option<Duration> {
        let (second, tag) = parse(nonce)?;
        let now = now.as_secs();
        let is_made_in_the_future = second > now.saturating_add(REPLICA_CLOCK_DIFFERENCE.as_secs());
        if is_made_in_the_future || now.saturating_sub(second) > self.lifetime {
            return None;
        }
        let keys = self.keys.load();
        let previous = keys.previous.iter().filter(|previous| now <= previous.until).map(|previous| &previous.key);
        let mut keys = std::iter::once(&keys.signing).chain(&keys.accepted).chain(previous);
        keys.any(|key| key.hmac.verifies(&second.to_be_bytes(), &tag)).then_some(Duration::from_secs(second))
    }

    /// Signs with another key from now on. Nonces of the key that signed until now are accepted for one more lifetime.
    ///
    /// The server keeps one previous key. A second rotation within one lifetime drops the older key, so a client with a nonce of
    /// that key must repeat one request. A rotation to the key that signs already keeps the previous key and its end.
    pub(crate) fn rotate(&self, key: NonceKey, now: Duration) {
        // `Nonces` exists only with a cryptography backend, and then the derivation of a key does not fail.
        let Some(new) = NonceKeys::derive(&key) else { return };
        let until = now.as_secs().saturating_add(self.lifetime);
        self.keys.rcu(|old| {
            let is_same = digests_equal(&old.signing.check_value, &new.signing.check_value);
            let replaced = || Some(PreviousNonceKey { key: Arc::clone(&old.signing), until });
            let previous = if is_same { old.previous.clone() } else { replaced() };
            NonceKeys { previous, ..NonceKeys::new(Arc::clone(&new.signing), new.accepted.clone()) }
        });
    }
}

impl NonceKeys {
    fn new(signing: Arc<NonceHmac>, accepted: Vec<Arc<NonceHmac>>) -> Self {
        Self { signing, accepted, previous: None, latest: ArcSwapOption::empty() }
    }

    fn derive(key: &NonceKey) -> Option<Self> {
        let accepted = key.accepted.iter().map(NonceHmac::derive).collect::<Option<_>>()?;
        Some(Self::new(NonceHmac::derive(&key.signing)?, accepted))
    }
}

impl NonceHmac {
    fn derive(secret: &SecretKey) -> Option<Arc<Self>> {
        Some(Self::new(Hmac::with_key(&secret.derive(PURPOSE)?)?))
    }

    fn new(hmac: Hmac) -> Arc<Self> {
        // No nonce has this HMAC: the message of a nonce has 8 bytes.
        let check_value = hmac.sign(b"check value");
        Arc::new(Self { hmac, check_value })
    }

    fn nonce(&self, second: u64) -> HeaderValue {
        let second = second.to_be_bytes();
        let text = BASE64_URL_SAFE_NO_PAD.encode([&second[..], &self.hmac.sign(&second)].concat());
        #[expect(clippy::expect_used, reason = "base64url has letters, digits, `-` and `_` only")]
        HeaderValue::try_from(text).expect("base64url is a valid header value")
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The time and the HMAC in a nonce.
fn parse(nonce: &str) -> Option<(u64, Fingerprint)> {
    if nonce.len() != NONCE_LENGTH {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (second, tag) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*second), tag.try_into().ok()?))
}

/// The lifetimes that can be configured. A client that is idle for longer repeats its next request, so one minute is enough for
/// a client that is in use. A longer lifetime than one hour does not limit the age of a proof that was made in advance.
pub(crate) const NONCE_LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3_600);
pub(crate) const DEFAULT_NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// How much the clocks of two replicas may differ. Synchronised clocks differ by much less than a second.
pub(crate) const REPLICA_CLOCK_DIFFERENCE: Duration = Duration::from_secs(10);
/// 40 bytes in base64url without padding.
const NONCE_LENGTH: usize = 54;
/// Domain separation: an HMAC that was made for another purpose under the same secret is never a nonce.
const PURPOSE: &[u8] = b"mcp_bearer DPoP nonce";

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
