//! What is remembered of tokens: by fingerprint, never by their text, and bounded in entries and in bytes.

use std::hash::{BuildHasherDefault, Hasher};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::crypto::Fingerprint;

/// A bounded memory; what was not used for long goes first.
pub(crate) struct TokenCache<V>(Cache<Fingerprint, V, ByPages, BuildHasherDefault<Uniform>>);

/// What takes memory beyond its own size.
pub(crate) trait Weighed: Clone {
    /// How many bytes of text it holds.
    fn bytes(&self) -> usize;
}

impl<V: Weighed> TokenCache<V> {
    /// Room for so many tokens, fewer if they are long.
    pub(crate) fn new(capacity: usize) -> Self {
        // The same on every machine, and whole: each shard's room would be rounded up.
        let shards = if capacity < SHARDS * LEAST { 1 } else { SHARDS };
        let room = u64::try_from(if shards == 1 { capacity } else { (capacity / SHARDS).saturating_mul(SHARDS) })
            .unwrap_or(u64::MAX);
        let (hasher, lifecycle) = (BuildHasherDefault::default(), DefaultLifecycle::default());
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

    /// The same, without keeping it for longer because of that.
    pub(crate) fn peek(&self, token: &Fingerprint) -> Option<V> {
        self.0.peek(token)
    }

    pub(crate) fn insert(&self, token: Fingerprint, value: V) {
        self.0.insert(token, value);
    }

    pub(crate) fn remove(&self, token: &Fingerprint) {
        self.0.remove(token);
    }
}

/// An entry counts once for each page of text that it begins, so that entries are bounded, and bytes too.
#[derive(Clone)]
struct ByPages;

impl<V: Weighed> Weighter<Fingerprint, V> for ByPages {
    fn weight(&self, _: &Fingerprint, value: &V) -> u64 {
        u64::try_from(value.bytes().div_ceil(PAGE)).unwrap_or(u64::MAX).max(1)
    }
}

/// A fingerprint is as good a hash as any, and nobody can choose it.
#[derive(Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn write(&mut self, fingerprint: &[u8]) {
        if let Some(first) = fingerprint.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that comes before the bytes says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Parts with a lock each.
const SHARDS: usize = 8;
/// The fewest entries that a shard has.
const LEAST: usize = 32;
/// Bytes of text that count as one entry: most tokens stay below.
pub(crate) const PAGE: usize = 4 * 1024;

#[cfg(test)]
pub(crate) mod tests;
