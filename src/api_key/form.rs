//! The form of an API key: prefix, lookup id, secret and checksum.

use crate::escape::Escaped;

/// Why a text is not an API key, or why no key could be generated. It contains no part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiKeyError {
    kind: ApiKeyErrorKind,
    message: Box<str>,
}

/// The kind of an [`ApiKeyError`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiKeyErrorKind {
    /// The text is not a prefix, `_`, and 48 letters and digits.
    Form,
    /// The checksum does not match: the key has a typing error.
    Checksum,
    /// The prefix cannot be used.
    Prefix,
    /// Random bytes are not available: the crate is built without a cryptography backend, or the machine has none.
    Randomness,
}

impl ApiKeyError {
    pub(super) fn new(kind: ApiKeyErrorKind) -> Self {
        let message = match kind {
            ApiKeyErrorKind::Form => {
                "the text is not an API key: a key is a prefix, `_`, and 48 letters and digits; copy the whole key"
            }
            ApiKeyErrorKind::Checksum => "the checksum of the API key does not match; copy the whole key again",
            ApiKeyErrorKind::Prefix => "the prefix cannot be used",
            ApiKeyErrorKind::Randomness => {
                "no API key can be generated without random bytes; enable the feature `aws-lc-rs` or `rust-crypto`, and \
                 check the random number generator of this machine"
            }
        };
        Self { kind, message: message.into() }
    }

    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> ApiKeyErrorKind {
        self.kind
    }
}

/// The lookup id in a key with any prefix.
pub(super) fn id_in(text: &str) -> Result<&str, ApiKeyErrorKind> {
    let (prefix, body) = text.rsplit_once('_').ok_or(ApiKeyErrorKind::Form)?;
    if check_prefix(prefix).is_err() || body.len() != BODY || !is_base62(body) {
        return Err(ApiKeyErrorKind::Form);
    }
    let before = |end: usize| text.len().checked_sub(end).and_then(|end| text.split_at_checked(end));
    let (covered, found) = before(CHECKSUM).ok_or(ApiKeyErrorKind::Form)?;
    if found.as_bytes() != checksum(covered.as_bytes()) {
        return Err(ApiKeyErrorKind::Checksum);
    }
    before(CHECKSUM + SECRET).map(|(id, _)| id).ok_or(ApiKeyErrorKind::Form)
}

/// The lookup id of a key. `None` if the text does not have the form of a key.
pub(crate) fn lookup_id(key: &[u8]) -> Option<&str> {
    id_in(std::str::from_utf8(key).ok()?).ok()
}

/// Whether a text is a lookup id of a key with this prefix.
pub(super) fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest.len() == ID && is_base62(rest))
}

pub(super) fn check_prefix(prefix: &str) -> Result<(), ApiKeyError> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let is_valid = (2..=MAX_PREFIX).contains(&prefix.len())
        && prefix.starts_with(|first: char| first.is_ascii_lowercase())
        && prefix.bytes().all(is_allowed)
        && !prefix.ends_with('_')
        && !JWT_STARTS.iter().any(|start| prefix.starts_with(start));
    if is_valid {
        return Ok(());
    }
    let message = format!(
        "the prefix \"{}\" of API keys cannot be used; use 2 to {MAX_PREFIX} lower-case letters, digits and `_`, with a letter \
         first and no `_` last, and not `ey`, `ew` or `e3` first, because a JWT starts so",
        Escaped(prefix, 2 * MAX_PREFIX)
    );
    Err(ApiKeyError { kind: ApiKeyErrorKind::Prefix, message: message.into() })
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The CRC-32 of ISO 3309, as gzip and PNG use it, in 6 digits of base 62.
pub(super) fn checksum(covered: &[u8]) -> [u8; CHECKSUM] {
    let crc = !covered.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 })
    });
    let mut digits = [b'0'; CHECKSUM];
    let mut rest = crc;
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(rest % 62).unwrap_or_default();
        *digit = BASE62.get(value).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

/// The prefix of keys if no other one is set: MCP key.
pub(super) const DEFAULT_PREFIX: &str = "mcpk";
/// In characters: 71 bits, so that ids do not collide.
pub(super) const ID: usize = 12;
/// In characters: 178 bits, so that nobody can guess a secret, and a digest without salt is enough.
pub(super) const SECRET: usize = 30;
/// In characters: 62 to the power of 6 is more than 2 to the power of 32.
pub(super) const CHECKSUM: usize = 6;
const BODY: usize = ID + SECRET + CHECKSUM;
/// In characters, for a company and an environment.
const MAX_PREFIX: usize = 20;
/// The longest key, in characters.
pub(super) const MAX_LENGTH: usize = MAX_PREFIX + 1 + BODY;
/// How a JSON object starts in base64url, with white space after the brace too.
const JWT_STARTS: [&str; 3] = ["ey", "ew", "e3"];
pub(super) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The polynomial of the CRC-32, with its bits reversed.
const POLYNOMIAL: u32 = 0xedb8_8320;
