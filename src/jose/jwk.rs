use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

use super::compact::decode;
use super::key_name::OwnedKeyName;
use super::{Algorithm, AllowedAlgorithms};
use crate::crypto::{KeyMaterial, MAX_RSA_BITS, PublicKey};

/// A public key for checking signatures, imported once for each algorithm that it may be used with.
pub struct VerificationKey {
    pub(super) name: OwnedKeyName,
    imported: Vec<(Algorithm, PublicKey)>,
}

/// Why a member of a key set was left out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Not an object, over 8 KiB without its `x5c`, a repeated member, or a member that is read has the wrong type: a
    /// `kid` that is a number, an empty `use`, `key_ops` that is a string.
    #[error("it is over 8 KiB, repeats a member, or has a member of the wrong type")]
    Malformed,
    /// A number of the key is not base64url without padding (RFC 7518, section 2).
    #[error("a member is not base64url without padding (RFC 7518, section 2)")]
    Encoding,
    /// It has private members: publishing it was a mistake, and others may have it.
    #[error("it has private members, which must never be published")]
    Private,
    /// It is not for checking signatures: `use` has another value than `sig`, `key_ops` does not have `verify`, or it is
    /// symmetric (`kty` is `oct`). The entry `null`, which means absent, is counted here too.
    #[error("it is not for signatures")]
    NotForSignatures,
    /// A `kty`, `crv` or `alg` that is unknown, does not fit the others, or is not supported by this build.
    #[error("its `kty`, `crv` or `alg` is unknown, does not fit the others, or is not supported")]
    Unsupported,
    /// RSA below 2048 or above 8192 bits, in pure Rust above 4096, or with an odd choice of exponent.
    #[error("its modulus or exponent has a size that is not accepted")]
    Size,
    /// Beyond the limit of keys, or of keys with one `kid`.
    #[error("the key set has more keys than are used, or more than four with one `kid`")]
    TooMany,
    /// Coordinates of the wrong length (RFC 7518, section 6.2.1.2), a point off its curve, or one of small order.
    #[error("a coordinate has the wrong length, or the point is not on its curve")]
    InvalidPoint,
}

impl VerificationKey {
    /// Reads one member of a key set that is [for signatures](Purpose) (RFC 7517, section 4; RFC 7518, section 6;
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

    /// The key's identifier.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.name.kid.as_deref()
    }

    /// The algorithms that the key may be used with: its `alg`, else all that its type allows.
    #[must_use]
    pub fn algorithms(&self) -> AllowedAlgorithms {
        self.imported.iter().map(|(algorithm, _)| *algorithm).collect()
    }

    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.imported.iter().any(|(with, _)| *with == algorithm)
    }

    /// Whether `signature` is this key's over `message`. `false` for an algorithm that the key is not for.
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

/// The purpose of a published key, as far as it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `use: "sig"`, or `key_ops` with `verify`.
    Signatures,
    /// It does not say.
    Unspecified,
    /// Something else.
    Other,
}

impl Purpose {
    pub(super) fn of(jwk: &Map<String, Value>) -> Self {
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

/// The name of a published key, as far as it can be read.
pub(super) fn published_name(jwk: &Map<String, Value>) -> OwnedKeyName {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str).map(Box::from);
    OwnedKeyName { kid: text("kid"), x5t_s256: text("x5t#S256"), x5t: text("x5t") }
}

/// `use` is `sig` or absent, and `key_ops` is a list of different operations or absent (RFC 7517, sections 4.2 and 4.3).
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
    let bits = match n.first() {
        Some(first) => n.len().saturating_mul(8).saturating_sub(leading_zero_bits(*first)),
        None => 0,
    };
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !RSA_BITS.contains(&bits) || !odd(&n) || !odd(&e) || e.len() > MAX_EXPONENT || e == [1] {
        return Err(UnusableKey::Size);
    }
    let fitting =
        [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
    import(jwk, &fitting, KeyMaterial::Rsa { n: &n, e: &e })
}

fn import_ec(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    let (algorithm, length) = match text(jwk, "crv")?.ok_or(UnusableKey::Malformed)? {
        "P-256" => (Algorithm::ES256, 32),
        "P-384" => (Algorithm::ES384, 48),
        "P-521" => (Algorithm::ES512, 66),
        _ => return Err(UnusableKey::Unsupported),
    };
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    // Each by itself (RFC 7518, section 6.2.1.2): 31 and 33 bytes would join to the same point.
    if x.len() != length || y.len() != length {
        return Err(UnusableKey::InvalidPoint);
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    import(jwk, &[algorithm], KeyMaterial::Ec { point: &point })
}

fn import_okp(jwk: &Map<String, Value>) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    if text(jwk, "crv")?.ok_or(UnusableKey::Malformed)? != "Ed25519" {
        return Err(UnusableKey::Unsupported);
    }
    let x = octets(jwk, "x")?;
    if x.len() != 32 || has_small_order(&x) {
        return Err(UnusableKey::InvalidPoint);
    }
    import(jwk, &[Algorithm::EdDSA], KeyMaterial::Ed25519 { x: &x })
}

/// Imports a key for the algorithm that it names, which must fit its type, else for each that fits.
fn import(
    jwk: &Map<String, Value>,
    fitting: &[Algorithm],
    material: KeyMaterial<'_>,
) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
    let named = match text(jwk, "alg")? {
        Some(name) => Some(Algorithm::from_name(name).ok_or(UnusableKey::Unsupported)?),
        None => None,
    };
    let wanted = fitting.iter().copied().filter(|algorithm| named.is_none_or(|named| named == *algorithm));
    let wanted: Vec<Algorithm> = wanted.filter(|algorithm| algorithm.is_supported()).collect();
    if wanted.is_empty() {
        return Err(UnusableKey::Unsupported);
    }
    let imported: Option<Vec<_>> = wanted
        .into_iter()
        .map(|algorithm| PublicKey::import(algorithm, material).map(|key| (algorithm, key)))
        .collect();
    imported.ok_or(UnusableKey::InvalidPoint)
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

/// A number without its leading zeros: RFC 7518, section 2 forbids them, but some servers write one.
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, UnusableKey> {
    Ok(octets(jwk, name)?.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn leading_zero_bits(byte: u8) -> usize {
    usize::try_from(byte.leading_zeros()).unwrap_or_default()
}

/// Whether a point of Curve25519 has order 1, 2, 4 or 8, in any of its spellings: some signature under such a key
/// matches every message.
fn has_small_order(x: &[u8]) -> bool {
    let mut y: Vec<u8> = x.to_vec();
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let is = |first: u8, middle: u8, last: u8| {
        matches!(y.as_slice(), [head, between @ .., tail]
            if *head == first && *tail == last && between.iter().all(|byte| *byte == middle))
    };
    // y = 0, 1, and p - 1, p, p + 1, whose encodings end in 7f.
    is(0, 0, 0)
        || is(1, 0, 0)
        || is(0xec, 0xff, 0x7f)
        || is(0xed, 0xff, 0x7f)
        || is(0xee, 0xff, 0x7f)
        || ORDER_EIGHT.iter().any(|point| y == point)
}

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
/// The most bytes of one key as JSON, without a certificate chain: RSA with 8192 bits takes 1.5 KiB.
const MAX_KEY: usize = 8 * 1024;
/// Below, factoring is within reach (RFC 7518, section 3.3).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=MAX_RSA_BITS;
/// A public exponent is 65537 nearly everywhere; a long one makes checks slow.
const MAX_EXPONENT: usize = 4;
