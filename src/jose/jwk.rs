use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::jws::{KeyName, decode, decode_onto};
use super::{Algorithm, AllowedAlgorithms};
use crate::crypto::{MAX_RSA_BITS, PublicKey};
use crate::json::Text;

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
        let members = KeyMembers::from_map(jwk);
        members.require_public()?;
        members.text("kid")?;
        members.require_signature_use()?;
        let imported = members.import(AllowedAlgorithms::supported(), MAX_RSA_BITS)?;
        Ok(Self { name: published_name(jwk), imported })
    }

    /// Reads the key that a signature came with (RFC 7515, section 4.1.3), for one algorithm. `kid` and certificates are
    /// not read.
    ///
    /// Anybody can send such a key. So an RSA modulus has a lower limit, and a number that begins with a zero byte
    /// (RFC 7518, section 2 forbids it) is an error: each key then has one thumbprint.
    pub(crate) fn from_header(
        members: &KeyMembers<'_>,
        algorithm: Algorithm,
        max_rsa_bits: usize,
    ) -> Result<Self, UnusableKey> {
        members.require_public()?;
        members.require_signature_use()?;
        if members.get("key_ops").is_some_and(|operations| !operations.has("verify")) {
            return Err(UnusableKey::NotForSignatures);
        }
        let imported = members.import(AllowedAlgorithms::from_iter([algorithm]), max_rsa_bits.min(MAX_RSA_BITS))?;
        if algorithm.key_type() == "RSA" {
            for number in ["n", "e"] {
                if members.octets(number)?.first() == Some(&0) {
                    return Err(UnusableKey::Encoding);
                }
            }
        }
        Ok(Self { name: KeyName::default(), imported })
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

/// The members of a key that are not `null` (RFC 7517, section 4).
pub(crate) struct KeyMembers<'j>(SmallVec<[(Cow<'j, str>, KeyMember<'j>); USUAL_MEMBERS]>);

/// The value of a member. All members that are imported are strings, and `key_ops` is an array of strings.
enum KeyMember<'j> {
    Text(Cow<'j, str>),
    Texts(Vec<Cow<'j, str>>),
    Other,
}

impl<'j> KeyMembers<'j> {
    fn from_map(jwk: &'j Map<String, Value>) -> Self {
        let members = jwk.iter().filter(|(_, value)| !value.is_null());
        Self(members.map(|(name, value)| (name.into(), KeyMember::from(value))).collect())
    }

    /// A member that is a string. An error if it is anything else.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, UnusableKey> {
        match self.get(name) {
            None => Ok(None),
            Some(KeyMember::Text(text)) => Ok(Some(text)),
            Some(_) => Err(UnusableKey::Malformed),
        }
    }

    fn get(&self, name: &str) -> Option<&KeyMember<'j>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }

    fn octets(&self, name: &str) -> Result<Vec<u8>, UnusableKey> {
        decode(self.text(name)?.ok_or(UnusableKey::Malformed)?).map_err(|_| UnusableKey::Encoding)
    }

    /// A number without leading zeros. RFC 7518, section 2 forbids them, but some servers write one.
    fn number(&self, name: &str) -> Result<Vec<u8>, UnusableKey> {
        Ok(self.octets(name)?.into_iter().skip_while(|byte| *byte == 0).collect())
    }

    fn require_public(&self) -> Result<(), UnusableKey> {
        let is_private = PRIVATE_MEMBERS.iter().any(|member| self.get(member).is_some());
        if is_private { Err(UnusableKey::Private) } else { Ok(()) }
    }

    /// Checks that `use` is `sig` or absent, and that `key_ops` is an array of different strings or absent (RFC 7517,
    /// sections 4.2 and 4.3).
    fn require_signature_use(&self) -> Result<(), UnusableKey> {
        if self.text("use")?.is_some_and(|usage| usage != "sig") {
            return Err(UnusableKey::Malformed);
        }
        match self.get("key_ops") {
            None => Ok(()),
            Some(KeyMember::Texts(names)) if names.iter().collect::<HashSet<_>>().len() == names.len() => Ok(()),
            Some(_) => Err(UnusableKey::Malformed),
        }
    }

    /// Imports the key for those of `algorithms` that fit it.
    fn import(
        &self,
        algorithms: AllowedAlgorithms,
        max_rsa_bits: usize,
    ) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
        match self.text("kty")?.ok_or(UnusableKey::Malformed)? {
            "RSA" => self.import_rsa(algorithms, max_rsa_bits),
            "EC" => self.import_ec(algorithms),
            "OKP" => self.import_okp(algorithms),
            _ => Err(UnusableKey::Unsupported),
        }
    }

    fn import_rsa(
        &self,
        algorithms: AllowedAlgorithms,
        max_bits: usize,
    ) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
        let (n, e) = (self.number("n")?, self.number("e")?);
        let is_long_enough = n.len() > MIN_RSA_BYTES || (n.len() == MIN_RSA_BYTES && n.first() >= Some(&0x80));
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let has_size = is_long_enough && n.len() <= max_bits / 8 && e.len() <= MAX_EXPONENT;
        if !has_size || !odd(&n) || !odd(&e) || e == [1] {
            return Err(UnusableKey::Size);
        }
        let fitting = algorithms.iter().filter(|algorithm| algorithm.key_type() == "RSA");
        self.import_with(fitting, |algorithm| PublicKey::from_rsa(algorithm, &n, &e))
    }

    fn import_ec(&self, algorithms: AllowedAlgorithms) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
        // The lengths of the point up to x, and up to y.
        let (algorithm, lengths) = match self.text("crv")?.ok_or(UnusableKey::Malformed)? {
            "P-256" => (Algorithm::ES256, [33, 65]),
            "P-384" => (Algorithm::ES384, [49, 97]),
            "P-521" => (Algorithm::ES512, [67, 133]),
            _ => return Err(UnusableKey::Unsupported),
        };
        let mut point = Vec::with_capacity(POINT_CAPACITY);
        point.push(4);
        for (name, length) in ["x", "y"].into_iter().zip(lengths) {
            let text = self.text(name)?.ok_or(UnusableKey::Malformed)?;
            decode_onto(text, &mut point).map_err(|_| UnusableKey::Encoding)?;
            // Each coordinate is checked (RFC 7518, section 6.2.1.2): 31 and 33 bytes would be joined to the same point.
            if point.len() != length {
                return Err(UnusableKey::InvalidPoint);
            }
        }
        let fitting = algorithms.iter().filter(|known| *known == algorithm);
        self.import_with(fitting, |algorithm| PublicKey::from_point(algorithm, &point))
    }

    fn import_okp(&self, algorithms: AllowedAlgorithms) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
        if self.text("crv")?.ok_or(UnusableKey::Malformed)? != "Ed25519" {
            return Err(UnusableKey::Unsupported);
        }
        let x: [u8; 32] = self.octets("x")?.try_into().map_err(|_| UnusableKey::InvalidPoint)?;
        if has_small_order(x) {
            return Err(UnusableKey::InvalidPoint);
        }
        let fitting = algorithms.iter().filter(|algorithm| *algorithm == Algorithm::EdDSA);
        self.import_with(fitting, |algorithm| PublicKey::from_point(algorithm, &x))
    }

    /// Imports a key for its `alg`, which must be one of `fitting`. A key without `alg` is imported for all of them.
    fn import_with(
        &self,
        fitting: impl Iterator<Item = Algorithm>,
        import: impl Fn(Algorithm) -> Option<PublicKey>,
    ) -> Result<Vec<(Algorithm, PublicKey)>, UnusableKey> {
        let named = match self.text("alg")? {
            Some(name) => Some(Algorithm::from_name(name).ok_or(UnusableKey::Unsupported)?),
            None => None,
        };
        let is_wanted =
            |algorithm: &Algorithm| algorithm.is_supported() && named.is_none_or(|named| named == *algorithm);
        let imported = fitting.filter(is_wanted).map(|algorithm| Some((algorithm, import(algorithm)?)));
        let imported: Vec<_> = imported.collect::<Option<_>>().ok_or(UnusableKey::InvalidPoint)?;
        if imported.is_empty() { Err(UnusableKey::Unsupported) } else { Ok(imported) }
    }
}

impl KeyMember<'_> {
    /// Whether the value is an array with this string.
    fn has(&self, text: &str) -> bool {
        matches!(self, Self::Texts(texts) if texts.iter().any(|known| known == text))
    }
}

impl<'j> From<&'j Value> for KeyMember<'j> {
    fn from(value: &'j Value) -> Self {
        let texts = |values: &'j Vec<Value>| values.iter().map(|text| text.as_str().map(Cow::from)).collect();
        match value {
            Value::String(text) => Self::Text(text.into()),
            Value::Array(values) => Option::map_or(texts(values), Self::Other, Self::Texts),
            _ => Self::Other,
        }
    }
}

impl<'j> From<&'j RawValue> for KeyMember<'j> {
    fn from(value: &'j RawValue) -> Self {
        let json = value.get();
        let read = match json.as_bytes().first() {
            Some(b'"') => serde_json::from_str(json).map(|Text(text)| Self::Text(text)),
            Some(b'[') => serde_json::from_str(json)
                .map(|texts: Vec<Text<'j>>| Self::Texts(texts.into_iter().map(|Text(text)| text).collect())),
            _ => return Self::Other,
        };
        read.unwrap_or(Self::Other)
    }
}

// Not a derived type: that would read an array as a key too, and allocate for a member that is not needed.
impl<'de: 'j, 'j> Deserialize<'de> for KeyMembers<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers(PhantomData))
    }
}

struct ReadMembers<'j>(PhantomData<&'j str>);

impl<'de: 'j, 'j> Visitor<'de> for ReadMembers<'j> {
    type Value = KeyMembers<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON Web Key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = SmallVec::new();
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if value.get() != "null" {
                members.push((name, KeyMember::from(value)));
            }
        }
        Ok(KeyMembers(members))
    }
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

/// This many members are kept on the stack. A public key has three or four, and often `kid`, `use`, `alg` and `key_ops`.
const USUAL_MEMBERS: usize = 8;
/// Members that only a private or a symmetric key has (RFC 7518, section 6; RFC 8037, section 2).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/// The longest key, in bytes of JSON without a certificate chain. RSA with 8192 bits takes 1.5 KiB.
const MAX_KEY: usize = 8 * 1024;
/// Room for a point of P-521, and for the last bytes of a decoder.
const POINT_CAPACITY: usize = 136;
/// The shortest RSA modulus: 2048 bits (RFC 7518, section 3.3). A shorter one can be factored.
const MIN_RSA_BYTES: usize = 256;
/// The longest public exponent, in bytes. It is 65537 nearly everywhere, and a long one makes signature checks slow.
const MAX_EXPONENT: usize = 4;
