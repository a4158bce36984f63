use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::Hmac;

/// A secret of 32 random bytes, from which keys are derived. It is zeroised when the last clone is dropped, and `Debug` does not
/// print it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretKey(Arc<Zeroizing<[u8; 32]>>);

impl SecretKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(key)))
    }

    /// Reads 32 bytes in Base64, in base64url without padding, or in hexadecimal. The error says what the text has, and
    /// contains no part of it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::decode(text).ok_or_else(|| mistake(text))
    }

    /// The three forms of a key have different lengths.
    fn decode(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(match text.len() {
            43 => BASE64_URL_SAFE_NO_PAD.decode(text).ok()?,
            44 => BASE64_STANDARD.decode(text).ok()?,
            64 => decode_hex(text)?,
            _ => return None,
        });
        Some(Self::new(bytes.as_slice().try_into().ok()?))
    }

    /// A key for one purpose, by HKDF-Expand (RFC 5869, section 2.3). `None` only in a build without a cryptography backend.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Option<[u8; 32]> {
        // The first block, which has the length of the key.
        Some(Hmac::with_key(&self.0)?.sign(&[purpose, &[1]].concat()))
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

/// Why a text is not a key, without a part of it.
fn mistake(text: &str) -> String {
    let length = text.chars().count();
    let form = match length {
        43 => "which are not base64url without padding",
        44 => "which are not Base64 with padding",
        64 => "which are not hexadecimal",
        _ => "and a key has 44 in Base64, 43 in base64url, or 64 in hexadecimal",
    };
    format!("{length} characters, {form}")
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// The repair of a text that is not a key.
pub(crate) const SECRET_KEY_REPAIR: &str =
    "write 32 random bytes in Base64 into a line, as of `openssl rand -base64 32`";
