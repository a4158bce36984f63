use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

use super::jws::{KeyName, decode};
use super::{Algorithm, AllowedAlgorithms};
use crate::crypto::{MAX_RSA_BITS, PublicKey};

/// A public key for checking signatures. It is imported once for each algorithm that it may be used with.
pub struct VerificationKey {
    pub(super) name: KeyName<'static>,
    imported: Vec<(Algorithm, PublicKey)>,
}

/// The reason why an entry of a key set is not used.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// The entry is not an object, is longer than 8 KiB without its `x5c`, or repeats a name. Or a member has the wrong
    /// type: a `kid` that is a number, an empty `use`, `key_ops` that is a string.
    #[error("it is longer than 8 KiB, repeats a name, or has a member of the wrong type")]
    Malformed,
    /// A number is not base64url without padding (RFC 7518, section 2).
    #[error("a member is not base64url without padding (RFC 7518, section 2)")]
    Encoding,
    /// The entry has private members. It was published by mistake, and others may have it.
    #[error("it has private members, which must never be published")]
    Private,
    /// The key is not for checking signatures: `use` has another value than `sig`, `key_ops` does not contain `verify`, or
    /// the key is symmetric (`kty` is `oct`). An entry that is `null` counts as such too.
    #[error("it is not for signatures")]
    NotForSignatures,
    /// `kty`, `crv` or `alg` is unknown, does not fit the others, or is not supported by this build.
    #[error("its `kty`, `crv` or `alg` is unknown, does not fit the others, or is not supported")]
    Unsupported,
    /// An RSA key has less than 2048 or more than 8192 bits (4096 in pure Rust), or an unusual exponent.
    #[error("its modulus or exponent has a size that is not accepted")]
    Size,
    /// The key set has too many keys, or too many keys with the same `kid`.
    #[error("the key set has more keys than are used, or more than four with one `kid`")]
    TooMany,
    /// A coordinate has the wrong length (RFC 7518, section 6.2.1.2), or the point is not on its curve or has a small order.
    #[error("a coordinate has the wrong length, or the point is not on its curve")]
    InvalidPoint,
}

impl VerificationKey {
    /// Reads an entry of a key set that is [for signatures](Purpose) (RFC 7517, section 4; RFC 7518, section 6;
    /// RFC 8037, section 2).
    pub(super) fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, UnusableKey> {
        if serde_json::to_vec(jwk).map_or(true, |text| text.len() > MAX_KEY) {
            return Err(UnusableKey::Malformed);
        }
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
            return Err(UnusableKey::Private);
        }
        text(jwk, "kid")?;
        require_signature_use(jwk)?;
        let imported = match text(jwk, "kty")?.ok_or(UnusableKey::Malformed)? {
            "RSA" => import_rsa(jwk)?,
            "EC" => import_ec(jwk)?,
            "OKP" => import_okp(jwk)?,
            _ => return Err(UnusableKey::Unsupported),
        };
        Ok(Self { name: published_name(jwk), imported })
    }

    /// The key id.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.name.kid.as_deref()
    }

    /// The algorithms that the key may be used with: its `alg`, or all algorithms of its type if it has no `alg`.
    #[must_use]
    pub fn algorithms(&self) -> AllowedAlgorithms {
        self.imported.iter().map(|(algorithm, _)| *algorithm).collect()
    }

    /// Whether `signature` is a valid signature of `message` by this key. `false` if the key is not for `algorithm`.
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.imported.iter().any(|(with, key)| *with == algorithm && key.verifies(message, signature))
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid())
            .field("algorithms", &self.algorithms())
            .finish_non_exhaustive()
    }
}

/// The purpose of a published key, by `use` and `key_ops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `use: "sig"`, or `key_ops` with `verify`.
    Signatures,
    /// The key has neither member.
    Unspecified,
    /// The key is for something else.
    Other,
}

impl Purpose {
    pub(super) fn from_jwk(jwk: &Map<String, Value>) -> Self {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        let verifies = operations.map(|names| names.iter().any(|name| name == "verify"));
        match (text("use"), verifies) {
            _ if text("kty") == Some("oct") => Self::Other,
            (Some(usage), _) if !matches!(usage, "sig" | "") => Self::Other,
            (_, Some(false)) => Self::Other,
            (Some("sig"), _) | (_, Some(true)) => Self::Signatures,
            _ => Self::Unspecified,
        }
    }
}

/// The name of a published key. Members of a wrong type are ignored.
pub(super) fn published_name(jwk: &Map<String, Value>) -> KeyName<'static> {
    let text = |name: &str| Some(Cow::Owned(jwk.get(name)?.as_str()?.to_owned()));
    KeyName { kid: text("kid"), x5t_s256: text("x5t#S256"), x5t: text("x5t") }
}

/// Checks that `use` is `sig` or absent, and that `key_ops` is an array of different strings or absent (RFC 7517,
/// sections 4.2 and 4.3).
fn require_signature_use(jwk: &Map<String, Value>) -> Result<(), UnusableKey> {
    if text(jwk, "use")?.is_some_and(|usage| usage != "sig") {
        return Err(UnusableKey::Malformed);
    }
    let Some(operations) = jwk.get("key_ops") else { return Ok(()) };
    let operations = operations.as_array().ok_or(UnusableKey::Malformed)?;
    let names: Option<HashSet<&str>> = operations.iter().map(Value::as_str).collect();
    let are_distinct = names.is_some_and(|names| names.len() == operations.len());
    if are_distinct { Ok(()) } else { Err(UnusableKey::Malformed) }
}

fn import_rsa(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    let (n, e) = (number(jwk, "n")?, number(jwk, "e")?);
    let is_long_enough = n.len() > MIN_RSA_BYTES || (n.len() == MIN_RSA_BYTES && n.first() >= Some(&0x80));
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let has_size = is_long_enough && n.len() <= MAX_RSA_BITS / 8 && e.len() <= MAX_EXPONENT;
    if !has_size || !odd(&n) || !odd(&e) || e == [1] {
        return Err(UnusableKey::Size);
    }
    let fitting = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.key_type() == "RSA");
    import(jwk, fitting, |algorithm| PublicKey::from_rsa(algorithm, &n, &e))
}

fn import_ec(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    let (algorithm, length) = match text(jwk, "crv")?.ok_or(UnusableKey::Malformed)? {
        "P-256" => (Algorithm::ES256, 32),
        "P-384" => (Algorithm::ES384, 48),
        "P-521" => (Algorithm::ES512, 66),
        _ => return Err(UnusableKey::Unsupported),
    };
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    // Each coordinate is checked (RFC 7518, section 6.2.1.2): 31 and 33 bytes would be joined to the same point.
    if x.len() != length || y.len() != length {
        return Err(UnusableKey::InvalidPoint);
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    import(jwk, [algorithm], |algorithm| PublicKey::from_point(algorithm, &point))
}

fn import_okp(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    if text(jwk, "crv")?.ok_or(UnusableKey::Malformed)? != "Ed25519" {
        return Err(UnusableKey::Unsupported);
    }
    let x: [u8; 32] = octets(jwk, "x")?.try_into().map_err(|_| UnusableKey::InvalidPoint)?;
    if has_small_order(x) {
        return Err(UnusableKey::InvalidPoint);
    }
    import(jwk, [Algorithm::EdDSA], |algorithm| PublicKey::from_point(algorithm, &x))
}

/// Imports a key for its `alg`, which must be one of `fitting`. A key without `alg` is imported for all of them.
fn import(
    jwk: &Map<String, Value>,
    fitting: impl IntoIterator<Item = Algorithm>,
    import: impl Fn(Algorithm) -> Option<PublicKey>,
) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    let named = match text(jwk, "alg")? {
        Some(name) => Some(Algorithm::from_name(name).ok_or(UnusableKey::Unsupported)?),
        None => None,
    };
    let is_wanted = |algorithm: &Algorithm| algorithm.is_supported() && named.is_none_or(|named| named == *algorithm);
    let imported = fitting.into_iter().filter(is_wanted).map(|algorithm| Some((algorithm, import(algorithm)?)));
    let imported: Vec<_> = imported.collect::<Option<_>>().ok_or(UnusableKey::InvalidPoint)?;
    if imported.is_empty() { Err(UnusableKey::Unsupported) } else { Ok(imported) }
}

fn text<'v>(jwk: &'v Map<String, Value>, name: &str) -> Result<Option<&'v str>, UnusableKey> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(UnusableKey::Malformed),
    }
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, UnusableKey> {
    decode(text(jwk, name)?.ok_or(UnusableKey::Malformed)?).map_err(|_| UnusableKey::Encoding)
}

/// A number without leading zeros. RFC 7518, section 2 forbids them, but some servers write one.
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, UnusableKey> {
    Ok(octets(jwk, name)?.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// Whether a point of Curve25519 has order 1, 2, 4 or 8, in any of its encodings. With such a key, some signature is valid
/// for every message.
fn has_small_order(mut y: [u8; 32]) -> bool {
    // The first bit of the last byte is the sign of x.
    y[31] &= 0x7f;
    let [first, middle @ .., last] = y;
    // y is 0, 1, p - 1, p or p + 1. The encodings of the last three end in 7f.
    (first <= 1 && middle == [0; 30] && last == 0)
        || (matches!(first, 0xec..=0xee) && middle == [0xff; 30] && last == 0x7f)
        || ORDER_EIGHT.contains(&y)
}

/// The points of order 8, by their y.
const ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Members that only a private or a symmetric key has (RFC 7518, section 6; RFC 8037, section 2).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/// The longest key, in bytes of JSON without a certificate chain. RSA with 8192 bits takes 1.5 KiB.
const MAX_KEY: usize = 8 * 1024;
/// The shortest RSA modulus: 2048 bits (RFC 7518, section 3.3). A shorter one can be factored.
const MIN_RSA_BYTES: usize = 256;
/// The longest public exponent, in bytes. It is 65537 nearly everywhere, and a long one makes signature checks slow.
const MAX_EXPONENT: usize = 4;
