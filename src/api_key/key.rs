use std::fmt;

use zeroize::{Zeroize as _, Zeroizing};

use super::form::{
    ApiKeyError, ApiKeyErrorKind, BASE62, DEFAULT_PREFIX, ID, MAX_LENGTH, SECRET, check_prefix, checksum, id_in,
};
use super::stored::StoredKey;
use crate::crypto::{random, sha256};

/// An API key: a secret that a client sends in place of an access token.
///
/// The text is a prefix, `_`, and 48 letters and digits: a lookup id of 12, a secret of 30 (178 bits), and a checksum of 6.
/// The checksum is the CRC-32 of everything before it. It finds typing errors without a look-up, and lets secret scanners
/// verify a match of the regular expression `\bmcpk_[0-9A-Za-z]{48}\b`.
///
/// `Debug` does not print the secret, and there is no `Display`: [`expose`](Self::expose) returns the text. It is zeroised when
/// the value is dropped.
///
/// ```
/// use mcp_bearer::api_key::ApiKey;
///
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
/// let key = ApiKey::generate()?;
/// // Print it once for the person who needs it. Store only this line.
/// let line = key.stored_as("ci").scopes(["notes:read"]).to_line();
/// assert!(!line.contains(key.expose()));
/// assert_eq!(ApiKey::parse(key.expose())?.id(), key.id());
/// # }
/// # Ok::<(), mcp_bearer::api_key::ApiKeyError>(())
/// ```
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Generates a key with the prefix `mcpk`.
    ///
    /// # Errors
    /// [`ApiKeyErrorKind::Randomness`] without random bytes.
    pub fn generate() -> Result<Self, ApiKeyError> {
        Self::generate_with_prefix(DEFAULT_PREFIX)
    }

    /// Generates a key with another prefix, which [`ApiKeys::prefix`](super::ApiKeys::prefix) must name as well.
    ///
    /// A prefix has 2 to 20 lower-case letters, digits and `_`. It starts with a letter, and does not end with `_`. It does not
    /// start with `ey`, `ew` or `e3`, because a JWT starts with one of them.
    ///
    /// ```
    /// use mcp_bearer::api_key::{ApiKey, ApiKeyErrorKind};
    ///
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// assert!(ApiKey::generate_with_prefix("acme_live")?.expose().starts_with("acme_live_"));
    /// let error = ApiKey::generate_with_prefix("Acme").unwrap_err();
    /// assert_eq!(error.kind(), ApiKeyErrorKind::Prefix);
    /// # Ok::<(), mcp_bearer::api_key::ApiKeyError>(())
    /// ```
    ///
    /// # Errors
    /// [`ApiKeyErrorKind::Prefix`] for another prefix, and [`ApiKeyErrorKind::Randomness`] without random bytes.
    pub fn generate_with_prefix(prefix: &str) -> Result<Self, ApiKeyError> {
        check_prefix(prefix)?;
        let mut text = Zeroizing::new(String::with_capacity(MAX_LENGTH));
        text.extend([prefix, "_"]);
        for length in [ID, SECRET] {
            append_random(&mut text, length).ok_or_else(|| ApiKeyError::new(ApiKeyErrorKind::Randomness))?;
        }
        let checksum = checksum(text.as_bytes());
        text.extend(checksum.map(char::from));
        Ok(Self(text))
    }

    /// Reads a key with any prefix, without white space around it.
    ///
    /// # Errors
    /// [`ApiKeyErrorKind::Form`] or [`ApiKeyErrorKind::Checksum`] if the text is not a key.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        id_in(text).map(|_| Self(Zeroizing::new(text.to_owned()))).map_err(ApiKeyError::new)
    }

    /// The lookup id: the prefix, `_`, and 12 letters and digits. It is not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        // The text was parsed or generated, so it is a key.
        id_in(&self.0).unwrap_or_default()
    }

    /// The whole key, for the person or the program that sends it. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part of this key that the server stores: the name, the lookup id and the SHA-256 digest.
    #[must_use]
    pub fn stored_as(&self, name: impl Into<Box<str>>) -> StoredKey {
        StoredKey::new(name, self.id(), hex(&sha256(self.0.as_bytes()).unwrap_or_default()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

pub(super) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Appends characters, each of the 62 with the same probability. `None` without random bytes.
fn append_random(text: &mut String, length: usize) -> Option<()> {
    let mut missing = length;
    while missing > 0 {
        let mut bytes = random::<64>()?;
        // A remainder of all 256 values would prefer the first characters.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let characters = fair.filter_map(|byte| BASE62.get(usize::from(*byte % 62))).take(missing);
        let before = text.len();
        text.extend(characters.map(|character| char::from(*character)));
        missing = missing.saturating_sub(text.len().saturating_sub(before));
        bytes.zeroize();
    }
    Some(())
}

#[cfg(test)]
mod tests;
