use std::fmt;
use std::sync::Arc;

use super::{Algorithm, UnusableKey, VerificationKey};
use crate::json;

/// A JSON Web Key Set (RFC 7517, section 5), reduced to the keys that can check signatures.
///
/// It is read leniently by key and strictly in each: an entry that is private, symmetric, malformed, too small, or of
/// an unknown type is left out, and the others serve.
#[derive(Clone)]
pub struct JwkSet {
    keys: Vec<Arc<VerificationKey>>,
    skipped: Vec<UnusableKey>,
}

/// A document that is no key set, or that holds no key for checking signatures.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwkSet {
    /// Not a JSON object with unique names and an array `keys`.
    #[error("the document is not a JSON Web Key Set: an object with an array \"keys\" (RFC 7517, section 5)")]
    Malformed,
    /// No entry can check a signature.
    #[error("the key set holds no key that can check signatures")]
    NoUsableKey,
}

/// What a key set has for a token.
#[derive(Debug)]
pub(crate) enum Selection<'k> {
    /// The key that fits, and one more if the issuer gave two the same identifier.
    Keys(&'k Arc<VerificationKey>, Option<&'k Arc<VerificationKey>>),
    /// No key has the token's `kid`; a newer key set might.
    Unknown,
    /// A key set as it stands cannot check this token: the key is for another algorithm, or a token without `kid`
    /// fits several.
    Unfit,
}

impl JwkSet {
    /// Reads a key set from its JSON text. At most 100 entries are looked at.
    ///
    /// # Errors
    /// [`InvalidJwkSet`] if the text is no key set, or has no usable key in it.
    pub fn from_json(document: impl AsRef<[u8]>) -> Result<Self, InvalidJwkSet> {
        let entries = json::unique_members(document.as_ref(), "keys").map_err(|_| InvalidJwkSet::Malformed)?;
        let entries = entries.ok_or(InvalidJwkSet::Malformed)?;
        let (mut keys, mut skipped) = (Vec::new(), vec![UnusableKey::TooMany; entries.len().saturating_sub(MAX_KEYS)]);
        for entry in entries.iter().take(MAX_KEYS) {
            match entry.as_ref().ok_or(UnusableKey::Malformed).and_then(VerificationKey::from_jwk) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(reason) => skipped.push(reason),
            }
        }
        if keys.is_empty() { Err(InvalidJwkSet::NoUsableKey) } else { Ok(Self { keys, skipped }) }
    }

    /// The usable keys, in the order of the document.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &VerificationKey> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// Why entries were left out.
    #[must_use]
    pub fn skipped(&self) -> &[UnusableKey] {
        &self.skipped
    }

    /// The keys for a token with this `alg` and `kid`. Key ids are compared byte by byte (RFC 7517, section 4.5).
    pub(crate) fn select(&self, algorithm: Algorithm, kid: Option<&str>) -> Selection<'_> {
        let mut named = self.keys.iter().filter(|key| kid.is_none_or(|kid| key.kid() == Some(kid))).peekable();
        if kid.is_some() && named.peek().is_none() {
            return Selection::Unknown;
        }
        let mut fitting = named.filter(|key| key.is_for(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(_), Some(_)) if kid.is_none() => Selection::Unfit,
            (Some(key), same_kid) => Selection::Keys(key, same_kid),
            (None, _) if kid.is_none() => Selection::Unknown,
            (None, _) => Selection::Unfit,
        }
    }
}

impl fmt::Debug for JwkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwkSet").field("keys", &self.keys).field("skipped", &self.skipped).finish()
    }
}

/// The most entries that are looked at. Real sets hold 1 to 10; multi-tenant ones a few dozen.
const MAX_KEYS: usize = 100;

#[cfg(test)]
mod tests;
