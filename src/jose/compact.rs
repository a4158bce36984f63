use base64::engine::general_purpose::NO_PAD;
use base64::engine::{self, Engine as _};
use memchr::{memchr, memchr_iter, memrchr};

use crate::failure::CheckFailure;

/// The parts of a JWS in compact serialization (RFC 7515, section 7.1), not yet decoded.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'t> {
    signing_input: &'t [u8],
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
}

impl<'t> Compact<'t> {
    /// Splits a token at its dots.
    pub(crate) fn parse(token: &'t [u8]) -> Result<Self, CheckFailure> {
        if token.len() > MAX_TOKEN {
            return Err(CheckFailure::TooLong);
        }
        let (signing_input, signature) = cut(token, memrchr(b'.', token))?;
        let (header, payload) = cut(signing_input, memchr(b'.', signing_input))?;
        match memchr_iter(b'.', payload).count() {
            0 => {}
            2 => return Err(CheckFailure::Encrypted),
            _ => return Err(CheckFailure::Malformed),
        }
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(CheckFailure::Malformed);
        }
        if header.len() > MAX_HEADER || signature.len() > MAX_SIGNATURE {
            return Err(CheckFailure::TooLong);
        }
        Ok(Self { signing_input, header, payload, signature })
    }

    /// The signed bytes, exactly as received (RFC 7515, section 5.2).
    pub(crate) const fn signing_input(&self) -> &'t [u8] {
        self.signing_input
    }

    pub(crate) fn header(&self) -> Result<Vec<u8>, CheckFailure> {
        decode(self.header)
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, CheckFailure> {
        decode(self.payload)
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, CheckFailure> {
        decode(self.signature)
    }
}

fn cut(bytes: &[u8], at: Option<usize>) -> Result<(&[u8], &[u8]), CheckFailure> {
    match at.and_then(|at| bytes.split_at_checked(at)) {
        Some((before, [_, after @ ..])) => Ok((before, after)),
        _ => Err(CheckFailure::Malformed),
    }
}

/// Decodes base64url strictly: no padding, no other characters, no bits left over at the end (RFC 4648, section 3.5). Each
/// token then has exactly one text.
pub(crate) fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, CheckFailure> {
    BASE64URL.decode(text).map_err(|_| CheckFailure::Malformed)
}

/// The greatest limit that can be configured. Real tokens with thousands of roles reach 30 KiB.
pub(crate) const MAX_TOKEN: usize = 64 * 1024;
/// The default limit. Most tokens have less than 4 KiB, and common servers reject headers of more than 8 to 32 KiB.
pub(crate) const DEFAULT_MAX_TOKEN: usize = 16 * 1024;
/// The longest encoded header. A key id and names fit in, but not a certificate chain, which is
/// never read.
const MAX_HEADER: usize = 4 * 1024;
/// The longest encoded signature: RSA with 8192 bits has 1024 bytes, which are 1366 characters.
const MAX_SIGNATURE: usize = 1366;

/// Decodes many characters at once on machines that support it.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
static BASE64URL: std::sync::LazyLock<engine::Simd> = std::sync::LazyLock::new(|| engine::Simd::url_safe(NO_PAD));
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
static BASE64URL: engine::GeneralPurpose = engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_that_are_not_empty() {
        for token in ["", "a", "a.b", "..", ".b.c", "a..c", "a.b.", "a.b.c.d", "a.b.c.d.e.f"] {
            assert_eq!(Compact::parse(token.as_bytes()).err(), Some(CheckFailure::Malformed), "{token:?}");
        }
        assert_eq!(Compact::parse(b"a.b.c.d.e").err(), Some(CheckFailure::Encrypted));
        assert!(Compact::parse(b"a.b.c").is_ok());
    }

    #[test]
    fn sizes_are_bounded() {
        let long = |length: usize| "A".repeat(length);
        assert_eq!(Compact::parse(long(16 << 20).as_bytes()).err(), Some(CheckFailure::TooLong));
        assert_eq!(
            Compact::parse(format!("{}.b.c", long(MAX_HEADER + 1)).as_bytes()).err(),
            Some(CheckFailure::TooLong)
        );
        assert_eq!(
            Compact::parse(format!("a.b.{}", long(MAX_SIGNATURE + 1)).as_bytes()).err(),
            Some(CheckFailure::TooLong)
        );
    }

    #[test]
    fn base64url_is_strict() {
        assert_eq!(decode("AQ").unwrap(), [1]);
        for text in ["AR", "AQ==", "AQ=", "A", "AAAAA", "A Q", "A\nQ", "+w", "/w", "A%2B", "AQ?", "AQ#", "é"] {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }
}
