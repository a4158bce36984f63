//! A cache for results about tokens. The key is the HMAC of a token, and entries and bytes are bounded.

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::crypto::Fingerprint;

/// A bounded cache. Entries that were not used recently are evicted first.
pub(crate) struct TokenCache<V>(Cache<Fingerprint, V, ByPages>);

/// A value that has text on the heap.
pub(crate) trait Weighed: Clone {
    /// The number of bytes of text.
    fn bytes(&self) -> usize;
}

impl<V: Weighed> TokenCache<V> {
    /// A cache for this number of tokens, or fewer if they are long.
    pub(crate) fn new(capacity: usize) -> Self {
        // A fixed number of shards, so that the capacity is the same on every machine. Each shard's part would be rounded up.
        let shards = if capacity < SHARDS * LEAST { 1 } else { SHARDS };
        let room = u64::try_from(if shards == 1 { capacity } else { (capacity / SHARDS).saturating_mul(SHARDS) })
            .unwrap_or(u64::MAX);
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let mut options = OptionsBuilder::new();
        options.shards(shards).estimated_items_capacity(capacity).weight_capacity(room);
        Self(match options.build() {
            Ok(options) => Cache::with_options(options, ByPages, hasher, lifecycle),
            Err(_) => Cache::with(capacity, room, ByPages, hasher, lifecycle),
        })
    }

    pub(crate) fn get(&self, token: &Fingerprint) -> Option<V> {
        self.0.get(token)
    }

    /// Looks up an entry without marking it as recently used.
    pub(crate) fn peek(&self, token: &Fingerprint) -> Option<V> {
        self.0.peek(token)
    }

    pub(crate) fn insert(&self, token: Fingerprint, value: V) {
        self.0.insert(token, value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn remove(&self, token: &Fingerprint) {
        self.0.remove(token);
    }
}

/// The weight of an entry is the number of pages of its text, so that both entries and bytes are bounded.
#[derive(Clone)]
struct ByPages;

impl<V: Weighed> Weighter<Fingerprint, V> for ByPages {
    fn weight(&self, _: &Fingerprint, value: &V) -> u64 {
        u64::try_from(value.bytes().div_ceil(PAGE)).unwrap_or(u64::MAX).max(1)
    }
}

/// The number of parts that have their own lock.
const SHARDS: usize = 8;
/// The least number of entries of a shard.
const LEAST: usize = 32;
/// The bytes of text that count as one entry: most tokens have less.
pub(crate) const PAGE: usize = 4 * 1024;

#[cfg(test)]
pub(crate) mod tests;
