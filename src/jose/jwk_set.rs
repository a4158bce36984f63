use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::jwk::{Purpose, published_name};
use super::{Algorithm, AllowedAlgorithms, KeyName, UnusableKey, VerificationKey};
use crate::json;

/// A JSON Web Key Set (RFC 7517, section 5), reduced to the keys that can check signatures.
///
/// Each entry is read strictly, and an entry that cannot be used does not affect the others. A member with the value
/// `null` is absent. An entry is not for signatures, and skipped, if its `use` has another value than `sig`, if its
/// `key_ops` does not have `verify`, or if it is symmetric. Any other entry that is private, malformed, too small, or of an
/// unknown type cannot be used. Nor can one with an empty `use` or `alg`, or with a `key_ops` that is a string. A token that
/// names such an entry is answered with 503, since its signature cannot be checked.
///
/// ```
/// use mcp_bearer::jose::JwkSet;
///
/// let json = r#"{"keys": [{
///     "kid": "2026-01",
///     "kty": "OKP",
///     "crv": "Ed25519",
///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/// }]}"#;
/// let keys = JwkSet::from_json(json)?;
/// assert_eq!(keys.keys().len(), 1);
/// assert_eq!(keys.keys().next().and_then(|key| key.kid()), Some("2026-01"));
/// # Ok::<(), mcp_bearer::jose::InvalidJwkSet>(())
/// ```
#[derive(Clone)]
pub struct JwkSet {
    keys: Vec<Arc<VerificationKey>>,
    skipped: Vec<UnusableKey>,
    /// Names of entries that are not for signatures.
    not_for_signatures: Vec<KeyName<'static>>,
    unusable: Vec<UnusableEntry>,
}

/// The error for a document that is not a key set, or without a usable key.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwkSet {
    /// The document is not a JSON object with unique names and an array `keys`.
    #[error("the document is not a JSON Web Key Set: an object with an array \"keys\" (RFC 7517, section 5)")]
    Malformed,
    /// The document begins with a byte order mark.
    #[error("the document begins with a byte order mark, which JSON must not have (RFC 8259, section 8.1)")]
    ByteOrderMark,
    /// No entry is a usable key for signatures.
    #[error("the key set does not have a key that can check signatures")]
    NoUsableKey,
}

/// An entry of a key set, and whether [`JwkSet`] uses it. [`JwkSet::published_keys`] returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    kid: Option<Box<str>>,
    algorithms: Result<AllowedAlgorithms, UnusableKey>,
}

impl PublishedKey {
    /// The key id, if the entry has one that is a string. It is text from the document, of any length.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithms that the key is used with, or the reason why it is not used.
    ///
    /// # Errors
    /// [`UnusableKey`] if the entry is not used.
    pub const fn algorithms(&self) -> Result<AllowedAlgorithms, UnusableKey> {
        self.algorithms
    }
}

/// A published key for signatures that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnusableEntry {
    pub(crate) name: KeyName<'static>,
    pub(crate) reason: UnusableKey,
    /// `kty`, if it can be read.
    kty: Option<Box<str>>,
}

/// The result of looking up the key for a token.
#[derive(Debug)]
pub(crate) enum Selection<'k> {
    /// The keys that the token may have been signed with.
    Keys {
        /// One key, or several with the same name.
        keys: SmallVec<[&'k Arc<VerificationKey>; MAX_TRIED]>,
        /// Whether another key matches too, but cannot be used or is not tried. If the signature is invalid with all of
        /// `keys`, it may be valid with that one.
        undecided: bool,
    },
    /// The only key with the token's name cannot be used, so that the signature cannot be checked.
    Unusable,
    /// No key has the token's name. A newer key set may have one.
    Unknown,
    /// The key is for another algorithm or purpose, or the token does not name its key and several keys match.
    Unfit,
}

impl JwkSet {
    /// Reads a key set from its JSON text. At most 100 keys for signatures are used.
    ///
    /// # Errors
    /// [`InvalidJwkSet`] if the text is not a key set, or if none of its keys is usable.
    pub fn from_json(document: impl AsRef<[u8]>) -> Result<Self, InvalidJwkSet> {
        Self::from_json_with_max_keys(document, DEFAULT_MAX_KEYS)
    }

    /// Reads a key set from its JSON text, and uses at most `max_keys` keys for signatures: those that say that they are
    /// for signatures come first.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_json_with_max_keys(document: impl AsRef<[u8]>, max_keys: usize) -> Result<Self, InvalidJwkSet> {
        let set = Self::read(document.as_ref(), max_keys)?;
        if set.keys.is_empty() { Err(InvalidJwkSet::NoUsableKey) } else { Ok(set) }
    }

    /// All entries of a key set, in the order of the document, and whether [`from_json`](Self::from_json) uses them. It
    /// accepts a key set without usable keys, to find out why they are not used.
    ///
    /// ```
    /// use mcp_bearer::jose::{JwkSet, UnusableKey};
    ///
    /// let keys = JwkSet::published_keys(r#"{"keys": [{"kid": "a", "kty": "EC", "crv": "secp256k1"}]}"#)?;
    /// assert_eq!(keys[0].kid(), Some("a"));
    /// assert_eq!(keys[0].algorithms(), Err(UnusableKey::Unsupported));
    /// # Ok::<(), mcp_bearer::jose::InvalidJwkSet>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidJwkSet`] if the text is not a key set.
    pub fn published_keys(document: impl AsRef<[u8]>) -> Result<Vec<PublishedKey>, InvalidJwkSet> {
        let mut published = Vec::new();
        Self::read_each(document.as_ref(), DEFAULT_MAX_KEYS, |kid, algorithms| {
            published.push(PublishedKey { kid: kid.map(Box::from), algorithms });
        })?;
        Ok(published)
    }

    /// Reads a key set as [`from_json_with_max_keys`](Self::from_json_with_max_keys) does, but accepts one without usable
    /// keys.
    pub(crate) fn read(document: &[u8], max_keys: usize) -> Result<Self, InvalidJwkSet> {
        Self::read_each(document, max_keys, |_, _| ())
    }

    /// Reads a key set, and calls `visit` with the `kid` of each entry and the algorithms that it is used with.
    fn read_each(
        document: &[u8],
        max_keys: usize,
        mut visit: impl FnMut(Option<&str>, Result<AllowedAlgorithms, UnusableKey>),
    ) -> Result<Self, InvalidJwkSet> {
        if document.starts_with(b"\xef\xbb\xbf") {
            return Err(InvalidJwkSet::ByteOrderMark);
        }
        let document: KeySetDocument<'_> = json::parse_outermost(document).map_err(|_| InvalidJwkSet::Malformed)?;
        let entries: Vec<_> = document.keys.into_iter().map(JwkEntry::new).collect();
        let count = |purpose| entries.iter().filter(|entry| entry.purpose == purpose).count();
        let for_signatures = count(Purpose::Signatures).min(max_keys);
        let mut left = [for_signatures, max_keys.saturating_sub(for_signatures)];
        let mut set =
            Self { keys: Vec::new(), skipped: Vec::new(), not_for_signatures: Vec::new(), unusable: Vec::new() };
        for entry in entries {
            let [for_signatures, unspecified] = &mut left;
            let key = match entry.purpose {
                Purpose::Other => Err(UnusableKey::NotForSignatures),
                Purpose::Signatures => set.usable(&entry, for_signatures),
                Purpose::Unspecified => set.usable(&entry, unspecified),
            };
            let kid = entry.jwk.get("kid").and_then(Value::as_str);
            visit(kid, key.as_ref().map(VerificationKey::algorithms).map_err(|reason| *reason));
            match key {
                Ok(key) => set.keys.push(Arc::new(key)),
                Err(reason) => set.skip(entry, reason),
            }
        }
        Ok(set)
    }

    /// The key of an entry, if it is used. `left` is the number of keys that may still be used.
    fn usable(&self, entry: &JwkEntry, left: &mut usize) -> Result<VerificationKey, UnusableKey> {
        *left = left.checked_sub(1).ok_or(UnusableKey::TooMany)?;
        if entry.is_ambiguous {
            return Err(UnusableKey::Malformed);
        }
        let key = VerificationKey::from_jwk(&entry.jwk)?;
        if self.has_enough_beside(&key) { Err(UnusableKey::TooMany) } else { Ok(key) }
    }

    /// Whether so many keys have the same `kid` and algorithm that this one would never be tried.
    fn has_enough_beside(&self, key: &VerificationKey) -> bool {
        let is_alike = |other: &&Arc<VerificationKey>| {
            other.kid() == key.kid() && key.algorithms().iter().any(|algorithm| other.algorithms().contains(algorithm))
        };
        key.kid().is_some() && self.keys.iter().filter(is_alike).count() >= MAX_TRIED
    }

    fn skip(&mut self, entry: JwkEntry, reason: UnusableKey) {
        self.skipped.push(reason);
        let name = published_name(&entry.jwk);
        if reason == UnusableKey::NotForSignatures {
            if self.not_for_signatures.len() < MAX_NAMED && !name.is_empty() {
                self.not_for_signatures.push(name);
            }
        } else if self.unusable.len() < MAX_NAMED {
            let kty = entry.jwk.get("kty").and_then(Value::as_str).map(Box::from);
            self.unusable.push(UnusableEntry { name, reason, kty });
        }
    }

    /// The usable keys, in the order of the document.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &VerificationKey> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// The reasons why entries are not used, in the order of the document.
    #[must_use]
    pub fn skipped(&self) -> &[UnusableKey] {
        &self.skipped
    }

    /// The keys for signatures that cannot be used, at most 1000 of them.
    pub(crate) fn unusable(&self) -> &[UnusableEntry] {
        &self.unusable
    }

    /// The number of keys for signatures that cannot be used.
    pub(crate) fn unusable_count(&self) -> usize {
        self.skipped.iter().filter(|reason| **reason != UnusableKey::NotForSignatures).count()
    }

    /// Selects the keys for a token by its `alg` and the name of its key. Key ids are compared byte by byte (RFC 7517,
    /// section 4.5).
    pub(crate) fn select(&self, algorithm: Algorithm, name: &KeyName<'_>) -> Selection<'_> {
        // No entry can be selected by a thumbprint of a kind that no entry has.
        let name = KeyName {
            kid: name.kid.clone(),
            x5t_s256: name.x5t_s256.clone().filter(|_| self.names().any(|known| known.x5t_s256.is_some())),
            x5t: name.x5t.clone().filter(|_| self.names().any(|known| known.x5t.is_some())),
        };
        let mut fitting = self.keys.iter().filter(|key| name.names(&key.name) && key.algorithms().contains(algorithm));
        let keys: SmallVec<_> = fitting.by_ref().take(MAX_TRIED).collect();
        if name.is_empty() && keys.len() > 1 {
            return Selection::Unfit;
        }
        // An unnamed token may be for an entry of its key type, or without one.
        let may_fit = |entry: &UnusableEntry| entry.kty.as_deref().is_none_or(|kty| kty == algorithm.key_type());
        let may_be = |entry: &UnusableEntry| name.names(&entry.name) && (!name.is_empty() || may_fit(entry));
        let is_unusable = self.unusable.iter().any(may_be);
        if !keys.is_empty() {
            return Selection::Keys { keys, undecided: is_unusable || fitting.next().is_some() };
        }
        if is_unusable {
            Selection::Unusable
        } else if !name.is_empty() && self.names().any(|known| name.names(known)) {
            Selection::Unfit
        } else {
            Selection::Unknown
        }
    }

    /// The names of all entries.
    fn names(&self) -> impl Iterator<Item = &KeyName<'static>> {
        let unusable = self.unusable.iter().map(|entry| &entry.name);
        self.keys.iter().map(|key| &key.name).chain(&self.not_for_signatures).chain(unusable)
    }
}

#[derive(Deserialize)]
struct KeySetDocument<'d> {
    #[serde(borrow)]
    keys: Vec<&'d RawValue>,
}

/// An entry of a key set, without members that are `null`, and without the certificate chain, which is never read.
struct JwkEntry {
    jwk: Map<String, Value>,
    /// Whether the entry is not an object, or an object in it repeats a name.
    is_ambiguous: bool,
    purpose: Purpose,
}

impl JwkEntry {
    fn new(entry: &RawValue) -> Self {
        let unique = json::parse(entry.get().as_bytes());
        let is_ambiguous = unique.is_err();
        let mut jwk: Map<_, _> = unique.or_else(|_| serde_json::from_str(entry.get())).unwrap_or_default();
        jwk.retain(|name, value: &mut Value| !value.is_null() && name != "x5c");
        let purpose = match entry.get() {
            "null" => Purpose::Other,
            _ if is_ambiguous => Purpose::Unspecified,
            _ => Purpose::from_jwk(&jwk),
        };
        Self { jwk, is_ambiguous, purpose }
    }
}

impl fmt::Debug for JwkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwkSet").field("keys", &self.keys).field("skipped", &self.skipped).finish()
    }
}

/// The default number of keys for signatures that are used. Real key sets have 1 to 10, those of several tenants a few
/// dozen.
pub(crate) const DEFAULT_MAX_KEYS: usize = 100;
/// The number of keys with one name that are tried for a token. Each costs a signature check. Real key sets have at most
/// three.
const MAX_TRIED: usize = 4;
/// The number of unusable entries whose names are kept, and of entries for other purposes. Each takes some hundred bytes.
const MAX_NAMED: usize = 1_000;

#[cfg(test)]
mod tests;
