//! Used DPoP proofs in Redis: one key for each, with an expiry.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::connection::RedisReply;
use super::error::RedisError;
use super::store::RedisStore;
use crate::crypto::{random, sha256};
use crate::sender::{MAX_PROOF_AGE, REPLICA_CLOCK_DIFFERENCE, ReplayOutcome, ReplayStore, ReplayStoreError, UsedProof};

/// The used proofs of a Redis server.
#[derive(Debug)]
pub(crate) struct RedisReplays {
    store: Arc<RedisStore>,
    /// How long an entry is kept after `expires_at`, because another replica may accept proofs for longer than this one.
    kept_longer: Duration,
    /// How long after its use a proof can expire, at most.
    longest: Duration,
}

impl RedisReplays {
    /// `max_age` is how far `iat` may be in the past and in the future.
    pub(crate) fn new(store: Arc<RedisStore>, max_age: Duration) -> Self {
        // While `max_age` is changed, other replicas may have any other value.
        let kept_longer = MAX_PROOF_AGE.saturating_sub(max_age);
        // A replica whose clock is ahead accepted a proof that was ahead of that clock.
        let ahead = MAX_PROOF_AGE.saturating_add(REPLICA_CLOCK_DIFFERENCE);
        let longest = max_age.saturating_add(REPLICA_CLOCK_DIFFERENCE).saturating_add(ahead);
        Self { store, kept_longer, longest }
    }

    /// Whether the store can know about an earlier use of the proof. It lost what it had before `reliable_since`.
    fn check_memory(&self, proof: &UsedProof, reliable_since: Duration, now: Duration) -> Result<(), RedisError> {
        // The replica that made the nonce may have a clock that is ahead.
        let nonces_prove_from = reliable_since.saturating_add(REPLICA_CLOCK_DIFFERENCE);
        let was_made_later = proof.nonce_made_at().is_some_and(|time| since_epoch(time) > nonces_prove_from);
        // A proof that was used before expires within this time.
        let is_too_late = since_epoch(proof.expires_at()) > reliable_since.saturating_add(self.longest);
        if was_made_later || is_too_late {
            return Ok(());
        }
        // A nonce has whole seconds.
        let usable_from = nonces_prove_from.saturating_add(Duration::from_secs(1));
        match usable_from.checked_sub(now).filter(|left| !left.is_zero()) {
            Some(left) => Err(RedisError::Restarted(left)),
            None => Err(RedisError::NonceNeeded),
        }
    }
}

impl ReplayStore for RedisReplays {
    async fn record(&self, proof: &UsedProof) -> Result<ReplayOutcome, ReplayStoreError> {
        let now = self.store.clock.since_epoch();
        let expires_at = since_epoch(proof.expires_at());
        let Some(lifetime) = expires_at.checked_sub(now) else { return Ok(ReplayOutcome::Expired) };
        let key = entry_key(&self.store.key_prefix, proof).ok_or(RedisError::NoRandomness)?;
        // The entry has a value that only this request can have written. So nothing but this value means that the proof is new,
        // and a second attempt recognises what the first one wrote, although its reply was lost.
        let request: [u8; 16] = random().ok_or(RedisError::NoRandomness)?;
        let lifetime = lifetime.saturating_add(self.kept_longer).as_millis().saturating_add(1).to_string();
        let commands = [
            vec![b"SET".as_slice(), key.as_bytes(), &request, b"NX", b"PX", lifetime.as_bytes()],
            vec![b"GET", key.as_bytes()],
        ];
        let is_acceptable = |reliable_since| self.check_memory(proof, reliable_since, now);
        match self.store.call(&commands, is_acceptable, |replies| read_entry(replies, &request)).await {
            Err(RedisError::NonceNeeded) => Ok(ReplayOutcome::NonceNeeded),
            Err(RedisError::OutOfMemory) => Ok(ReplayOutcome::Full { retry_after: MEMORY_PAUSE }),
            result => Ok(result?),
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// Reads the replies to `SET` with `NX`, and to `GET`.
fn read_entry(replies: &[RedisReply], request: &[u8; 16]) -> Result<ReplayOutcome, RedisError> {
    let [set, RedisReply::Text(found)] = replies else { return Err(RedisError::Nonsense("`SET`")) };
    let is_written = match set {
        RedisReply::Nil => false,
        RedisReply::Text(text) if text == b"OK" => true,
        _ => return Err(RedisError::Nonsense("`SET`")),
    };
    if found == request {
        return Ok(ReplayOutcome::New);
    }
    // The entry of another request.
    let is_entry = found.len() == request.len() && !is_written;
    is_entry.then_some(ReplayOutcome::Replayed).ok_or(RedisError::Nonsense("`SET`"))
}

/// The key of the entry. It has a fixed length, and reveals nothing about the client.
fn entry_key(prefix: &str, proof: &UsedProof) -> Option<String> {
    let digest = sha256(&[PURPOSE, proof.key().as_bytes(), proof.id()].concat())?;
    Some(format!("{prefix}proof:{}", BASE64_URL_SAFE_NO_PAD.encode(digest)))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Domain separation: the digest is never equal to one that was made for another purpose.
const PURPOSE: &[u8] = b"mcp_bearer used proof 1\0";
/// The pause of clients while the memory of Redis is full. Entries expire all the time.
const MEMORY_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
