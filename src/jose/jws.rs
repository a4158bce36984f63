use std::borrow::Cow;

use base64::engine::general_purpose::NO_PAD;
use base64::engine::{self, Engine as _};
use memchr::{memchr, memchr_iter, memrchr};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Algorithm, AllowedAlgorithms};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::json::{self, Text, present};

/// The parts of a JWS in compact serialization (RFC 7515, section 7.1), not yet decoded.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'t> {
    /// The signed bytes, exactly as received (RFC 7515, section 5.2).
    pub(crate) signing_input: &'t [u8],
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

    /// Splits a token, if it is a JWT. An opaque token may have two dots as well, but its first part is not a JSON object.
    pub(crate) fn of_jwt(token: &'t [u8]) -> Option<Self> {
        let compact = Self::parse(token).ok()?;
        let header = compact.header().ok()?;
        json::parse::<IgnoredAny>(&header).is_ok().then_some(compact)
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

/// The parameters of a JOSE header that a verifier needs (RFC 7515, section 4.1). `null` means absent, except in `crit`,
/// `iss` and `aud`.
///
/// `jku`, `x5u` and `x5c` are never read, and `jwk` only in a DPoP proof: the key of a token comes only from the key set of the
/// issuer.
#[derive(Debug, Deserialize)]
pub(crate) struct Header<'h> {
    #[serde(borrow)]
    alg: Option<Text<'h>>,
    pub(crate) kid: Option<Text<'h>>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<Text<'h>>,
    x5t: Option<Text<'h>>,
    pub(crate) typ: Option<Text<'h>>,
    #[serde(borrow)]
    pub(crate) jwk: Option<&'h RawValue>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<Value>,
    sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Value>,
}

impl<'h> Header<'h> {
    pub(crate) fn parse(json: &'h [u8]) -> Result<Self, CheckFailure> {
        json::parse(json).map_err(|_| CheckFailure::Header)
    }

    /// Checks that a token with this header can be verified with the issuer's keys: `alg` is one of `allowed`, no
    /// extension is critical, and the name of the key is not too long.
    pub(crate) fn check(&self, allowed: AllowedAlgorithms) -> Result<Algorithm, CheckError> {
        let name = self.alg.as_deref().ok_or(CheckFailure::Header)?;
        let algorithm = Algorithm::from_name(name).filter(|algorithm| allowed.contains(*algorithm));
        let Some(algorithm) = algorithm else {
            let detail = Detail::mismatch(allowed.iter().map(Algorithm::name), [name]);
            return Err(CheckFailure::Algorithm.with(detail));
        };
        // No extension is supported. JWTs must not use `b64` (RFC 7797, section 7). `enc` and `zip` belong to encryption.
        if self.crit.is_some() || self.b64.is_some() || self.enc.is_some() || self.zip.is_some() {
            return Err(CheckFailure::CriticalHeader.into());
        }
        let KeyName { kid, x5t_s256, x5t } = self.key_name();
        let is_too_long = [kid, x5t_s256, x5t].iter().flatten().any(|name| name.len() > MAX_KID);
        if is_too_long { Err(CheckFailure::Header.into()) } else { Ok(algorithm) }
    }

    /// The name of the key in the header. Thumbprints count only if there is no `kid`.
    pub(crate) fn key_name(&self) -> KeyName<'_> {
        let names = [&self.kid, &self.x5t_s256, &self.x5t];
        match names.map(|name| name.as_deref().map(Cow::Borrowed)) {
            [None, x5t_s256, x5t] => KeyName { kid: None, x5t_s256, x5t },
            [kid, ..] => KeyName { kid, ..KeyName::default() },
        }
    }

    /// The claims that are replicated in the header (RFC 7519, section 5.3).
    pub(crate) fn replicated(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let replicated = [("iss", &self.iss), ("sub", &self.sub), ("aud", &self.aud)];
        replicated.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

/// The name of a key, in the header of a token or in a key set: `kid`, `x5t#S256` and `x5t` (RFC 7515, sections 4.1.4,
/// 4.1.7 and 4.1.8; RFC 7517, sections 4.5, 4.8 and 4.9). In a header, thumbprints count only if there is no `kid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyName<'n> {
    pub(crate) kid: Option<Cow<'n, str>>,
    pub(crate) x5t_s256: Option<Cow<'n, str>>,
    pub(crate) x5t: Option<Cow<'n, str>>,
}

impl KeyName<'_> {
    /// Whether a token does not name its key.
    pub(crate) const fn is_empty(&self) -> bool {
        self.kid.is_none() && self.x5t_s256.is_none() && self.x5t.is_none()
    }

    pub(crate) fn into_owned(self) -> KeyName<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        KeyName { kid: own(self.kid), x5t_s256: own(self.x5t_s256), x5t: own(self.x5t) }
    }

    /// Whether a published key has this name: the same `kid`, byte by byte. Without a `kid`, one thumbprint must be equal
    /// and none may differ. A token that does not name its key matches every key.
    pub(super) fn names(&self, published: &KeyName<'_>) -> bool {
        if self.kid.is_some() {
            return self.kid == published.kid;
        }
        let thumbprints = [(&self.x5t_s256, &published.x5t_s256), (&self.x5t, &published.x5t)];
        let same = thumbprints.map(|(ours, theirs)| Some(ours.as_ref()? == theirs.as_ref()?));
        self.is_empty() || (same.contains(&Some(true)) && !same.contains(&Some(false)))
    }
}

/// Decodes base64url strictly: no padding, no other characters, no bits left over at the end (RFC 4648, section 3.5). Each
/// token then has exactly one text.
pub(crate) fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, CheckFailure> {
    BASE64URL.decode(text).map_err(|_| CheckFailure::Malformed)
}

/// Decodes as [`decode`] does, and appends the bytes to a vector that is long enough.
pub(super) fn decode_onto(text: &str, bytes: &mut Vec<u8>) -> Result<(), CheckFailure> {
    BASE64URL.decode_vec(text, bytes).map_err(|_| CheckFailure::Malformed)
}

/// Decodes as [`decode`] does into `bytes`, and returns the number of bytes. `None` if they do not fit.
pub(super) fn decode_into(text: &str, bytes: &mut [u8]) -> Option<usize> {
    BASE64URL.decode_slice(text, bytes).ok()
}

/// The greatest limit that can be configured. Real tokens with thousands of roles reach 30 KiB.
pub(crate) const MAX_TOKEN: usize = 64 * 1024;
/// The default limit. Most tokens have less than 4 KiB, and common servers reject headers of more than 8 to 32 KiB.
pub(crate) const DEFAULT_MAX_TOKEN: usize = 16 * 1024;
/// The longest encoded header. A key id and names fit in, but not a certificate chain, which is never read.
const MAX_HEADER: usize = 4 * 1024;
/// The longest encoded signature: RSA with 8192 bits has 1024 bytes, which are 1366 characters.
const MAX_SIGNATURE: usize = 1366;
/// The longest key id. Thumbprints are 43 characters; the longest seen in the wild is 86.
const MAX_KID: usize = 512;

/// Decodes many characters at once on machines that support it.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
static BASE64URL: std::sync::LazyLock<engine::Simd> = std::sync::LazyLock::new(|| engine::Simd::url_safe(NO_PAD));
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
static BASE64URL: engine::GeneralPurpose = engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
