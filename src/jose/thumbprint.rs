use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::jwk::KeyMembers;
use super::jws::decode_into;
use crate::crypto::sha256;

/// The SHA-256 thumbprint of a public key (RFC 7638) or of a certificate (RFC 8705, section 3.1).
///
/// `Display` writes base64url without padding, as the members `jkt` and `x5t#S256` of the claim `cnf` have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// A thumbprint of these bytes, which are the result of SHA-256.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The thumbprint of a key (RFC 7638, section 3; RFC 8037, appendix A.3). `None` if the key has another type, or lacks a
    /// member that its type requires.
    ///
    /// The key must be valid: then its members have one text only, in which no character needs an escape.
    pub(crate) fn from_key(key: &KeyMembers<'_>) -> Option<Self> {
        let member = |name| key.text(name).ok().flatten();
        let json = match member("kty")? {
            "RSA" => [r#"{"e":""#, member("e")?, r#"","kty":"RSA","n":""#, member("n")?, r#""}"#].concat(),
            "EC" => {
                let (crv, x, y) = (member("crv")?, member("x")?, member("y")?);
                [r#"{"crv":""#, crv, r#"","kty":"EC","x":""#, x, r#"","y":""#, y, r#""}"#].concat()
            }
            "OKP" => [r#"{"crv":""#, member("crv")?, r#"","kty":"OKP","x":""#, member("x")?, r#""}"#].concat(),
            _ => return None,
        };
        sha256(json.as_bytes()).map(Self)
    }

    /// Reads 43 characters of base64url without padding. `None` for any other text: padding, hexadecimal, another length.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A proof and a bound token have one each, so the digest is decoded without an allocation.
        let mut digest = [0; DECODED];
        let length = decode_into(text, &mut digest)?;
        let digest = digest.first_chunk().filter(|digest: &&[u8; 32]| digest.len() == length)?;
        Some(Self(*digest))
    }

    /// The bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// Room for the digest, and for the last bytes of a decoder.
const DECODED: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base64url_of_32_bytes_is_a_thumbprint() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(Thumbprint::parse(text).unwrap().to_string(), text);
        for wrong in [
            "",
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I=",
            "0ZcOCORZNYy+DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            " 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            // The last character has bits that are left over.
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J",
            "2jmj7l5rSw0yVb_vlWAYkK_YBwk",
            "d1970e08e459358cbe0d6a6aab7d236722461d33747761e0941577ba282e0382",
        ] {
            assert_eq!(Thumbprint::parse(wrong), None, "{wrong}");
        }
    }
}
