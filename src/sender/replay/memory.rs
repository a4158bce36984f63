use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ReplayOutcome;
use crate::jose::Thumbprint;
use crate::sender::dpop::Proof;

/// The used proofs, in the memory of this process.
///
/// An entry is removed only after it has expired. If the memory is full, the new proof is rejected. So a proof is accepted at most
/// once, whatever happens to the clock.
///
/// Each key has a limit, so one key cannot use up the places of all others. A client can have several keys, but it needs a token
/// for each, so the authorization server knows the client and decides how many it gets. To slow such a client down, a key must
/// not have more proofs than there are free places, except [`ALWAYS_PER_KEY`]. So busy keys leave places for the others.
pub(crate) struct MemoryReplays {
    per_key: usize,
    total: usize,
    /// One lock for all keys: it is held for about a microsecond, and the check of the signature before takes 50 times longer.
    used: Mutex<UsedProofs>,
}

#[derive(Default)]
struct UsedProofs {
    proofs: HashSet<UsedId>,
    keys: HashMap<Thumbprint, KeyUse>,
    /// The proofs, by the last second in which they are remembered.
    by_second: BTreeMap<u64, Vec<UsedId>>,
    /// The last second of all proofs that were removed.
    forgotten_until: Option<u64>,
}

/// The key of the proof and the digest of its `jti`.
type UsedId = (Thumbprint, [u8; 32]);

/// The proofs of one key.
#[derive(Default)]
struct KeyUse {
    proofs: usize,
    /// The seconds in which some of the proofs expire.
    seconds: BTreeSet<u64>,
}

impl MemoryReplays {
    /// Remembers at most `per_key` proofs of each key, and at most `total` proofs.
    pub(crate) fn new(per_key: usize, total: usize) -> Self {
        Self { per_key, total, used: Mutex::default() }
    }

    /// Records that a proof is used, and returns whether it was used before.
    ///
    /// The clock may jump. After a jump forwards, entries are removed too early. After the jump back, a proof that may be one of
    /// them counts as [`ReplayOutcome::Expired`]: those that do not expire later than all that were removed. If the clients' clocks
    /// did not jump, new proofs are accepted after one window at most.
    pub(crate) fn record(&self, proof: &Proof, now: Duration) -> ReplayOutcome {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.remove_expired(now.as_secs());
        let id = (proof.key, proof.id);
        let second = last_second(proof.expires_at);
        if used.proofs.contains(&id) {
            return ReplayOutcome::Replayed;
        }
        // The proof may have expired since it was checked, while the introspection of its token took its time.
        if used.forgotten_until.is_some_and(|until| second <= until) {
            return ReplayOutcome::Expired;
        }
        while let Some(room_after) = self.no_room_until(&used, &proof.key) {
            if !used.remove_expired(now.as_secs()) {
                let retry_after = Duration::from_secs(room_after.saturating_add(1)).saturating_sub(now);
                return ReplayOutcome::Full { retry_after: retry_after.max(MIN_RETRY_AFTER) };
            }
        }
        used.insert(id, second);
        ReplayOutcome::New
    }

    /// The second after which there may be a place for another proof of this key. `None` if there is a place now.
    fn no_room_until(&self, used: &UsedProofs, key: &Thumbprint) -> Option<u64> {
        let key = used.keys.get(key);
        let of_key = key.map_or(0, |key| key.proofs);
        let free = self.total.saturating_sub(used.proofs.len());
        if of_key >= self.per_key {
            Some(key.and_then(|key| key.seconds.first().copied()).unwrap_or_default())
        } else if free == 0 || of_key >= free.max(ALWAYS_PER_KEY) {
            Some(used.by_second.first_key_value().map(|(second, _)| *second).unwrap_or_default())
        } else {
            None
        }
    }
}

impl UsedProofs {
    fn insert(&mut self, id: UsedId, second: u64) {
        self.proofs.insert(id);
        self.by_second.entry(second).or_default().push(id);
        let key = self.keys.entry(id.0).or_default();
        key.proofs = key.proofs.saturating_add(1);
        key.seconds.insert(second);
    }

    /// Removes the entries of whole seconds that have passed, until [`REMOVED_AT_ONCE`] entries are removed. Returns whether there
    /// were any.
    fn remove_expired(&mut self, now: u64) -> bool {
        let before = self.proofs.len();
        while before.saturating_sub(self.proofs.len()) < REMOVED_AT_ONCE
            && let Some(entry) = self.by_second.first_entry()
            && *entry.key() < now
        {
            let (second, expired) = entry.remove_entry();
            self.forgotten_until = self.forgotten_until.max(Some(second));
            for id in expired {
                self.proofs.remove(&id);
                let Entry::Occupied(mut key) = self.keys.entry(id.0) else { continue };
                key.get_mut().seconds.remove(&second);
                key.get_mut().proofs = key.get().proofs.saturating_sub(1);
                if key.get().proofs == 0 {
                    key.remove();
                }
            }
        }
        self.release_memory();
        self.proofs.len() < before
    }

    /// A table shrinks to twice its size when three quarters of it are empty.
    fn release_memory(&mut self) {
        let is_mostly_empty = |capacity: usize, len: usize| capacity / 4 > len.max(KEPT_CAPACITY);
        if is_mostly_empty(self.proofs.capacity(), self.proofs.len()) {
            self.proofs.shrink_to(self.proofs.len().saturating_mul(2));
        }
        if is_mostly_empty(self.keys.capacity(), self.keys.len()) {
            self.keys.shrink_to(self.keys.len().saturating_mul(2));
        }
    }
}

impl fmt::Debug for MemoryReplays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_key, total, used: _ } = self;
        f.debug_struct("MemoryReplays").field("per_key", per_key).field("total", total).finish_non_exhaustive()
    }
}

/// The last whole second in which a proof that expires at this time may be accepted.
const fn last_second(expires_at: Duration) -> u64 {
    // A part of a second counts as a whole one, so that no proof is removed too early.
    if expires_at.subsec_nanos() == 0 { expires_at.as_secs() } else { expires_at.as_secs().saturating_add(1) }
}

/// The default limit for each key. A client that makes 160 requests per second reaches it within the minute that a proof is
/// remembered.
pub(crate) const DEFAULT_MAX_PROOFS_PER_KEY: usize = 10_000;
/// The default limit for all keys: ten busy ones. It takes less than 32 MiB with 10,000 keys.
pub(crate) const DEFAULT_MAX_PROOFS: usize = 100_000;
/// A key may have this many proofs while there is any free place. A person who works with one client stays below.
const ALWAYS_PER_KEY: usize = 16;
/// One request removes about this many expired entries. It is much more than the one that it adds, and takes less than a
/// millisecond.
const REMOVED_AT_ONCE: usize = 500;
/// A shorter time would be zero in the header `Retry-After`.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// A table of this capacity is not worth the time to shrink it.
const KEPT_CAPACITY: usize = 256;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
