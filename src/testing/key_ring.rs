use std::sync::Arc;

use serde_json::{Value, json};

use super::signing_key::TestSigningKey;
use crate::jose::Algorithm;

/// All keys that an issuer has made, published or not.
pub(super) struct KeyRing {
    keys: Vec<NamedKey>,
    current: String,
    // This document is served instead of the keys.
    override_document: Option<Value>,
}

struct NamedKey {
    kid: String,
    key: Arc<TestSigningKey>,
    is_published: bool,
}

impl KeyRing {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let mut ring = Self { keys: Vec::new(), current: String::new(), override_document: None };
        ring.current = ring.add(algorithm);
        ring
    }

    pub(super) fn current(&self) -> &str {
        &self.current
    }

    pub(super) fn find(&self, kid: &str) -> Option<Arc<TestSigningKey>> {
        self.keys.iter().find(|named| named.kid == kid).map(|named| Arc::clone(&named.key))
    }

    /// Whether a published key made this signature.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.published().any(|named| named.key.verifies(message, signature))
    }

    /// The newest published key for an algorithm.
    pub(super) fn published_for(&self, algorithm: Algorithm) -> Option<&str> {
        self.published().rev().find(|named| named.key.algorithm() == algorithm).map(|named| named.kid.as_str())
    }

    pub(super) fn add(&mut self, algorithm: Algorithm) -> String {
        let number = self.keys.len().saturating_add(1);
        let kid = format!("{}-{number}", algorithm.name().to_ascii_lowercase());
        let key = Arc::new(TestSigningKey::generate(algorithm));
        self.keys.push(NamedKey { kid: kid.clone(), key, is_published: true });
        kid
    }

    /// Stops publishing a key. Returns whether it was published.
    pub(super) fn remove(&mut self, kid: &str) -> bool {
        let Some(named) = self.keys.iter_mut().find(|named| named.kid == kid && named.is_published) else {
            return false;
        };
        named.is_published = false;
        if self.current == kid {
            let newest = self.published().next_back().map(|named| named.kid.clone());
            // If no key is published, the last one still signs.
            self.current = newest.unwrap_or_else(|| kid.to_owned());
        }
        true
    }

    pub(super) fn rotate(&mut self) -> String {
        let old = self.current.clone();
        let algorithm = self.find(&old).map_or(Algorithm::ES256, |key| key.algorithm());
        let new = self.add(algorithm);
        self.remove(&old);
        self.current.clone_from(&new);
        new
    }

    pub(super) fn override_document(&mut self, document: Option<Value>) {
        if self.override_document != document {
            self.override_document = document;
        }
    }

    pub(super) fn document(&self) -> Value {
        let keys = || self.published().map(|named| named.key.public_jwk(&named.kid)).collect::<Vec<_>>();
        self.override_document.clone().unwrap_or_else(|| json!({ "keys": keys() }))
    }

    /// The algorithms of the published keys, each once.
    pub(super) fn algorithms(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.published().map(|named| named.key.algorithm().name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn published(&self) -> impl DoubleEndedIterator<Item = &NamedKey> {
        self.keys.iter().filter(|named| named.is_published)
    }
}
