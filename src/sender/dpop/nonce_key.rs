use std::fmt;

use crate::crypto::{SECRET_KEY_REPAIR as REPAIR, SecretKey};
use crate::error::BuildError;

/// The secret key of the nonces for DPoP proofs (RFC 9449, section 8), for [`Dpop::nonce_key`](crate::sender::Dpop::nonce_key).
///
/// A nonce is valid on each server that has its key. Give the same key to all replicas of a server, else a client must repeat
/// its request whenever it reaches another replica. A server without a configured key uses a random one.
///
/// The key signs new nonces. [`also_accepts`](Self::also_accepts) adds keys that only verify nonces, so that replicas can change
/// their key one after the other, and no client has to repeat a request:
///
/// | step | signs | also accepts | |
/// |---|---|---|---|
/// | before | old key | | |
/// | 1 | old key | new key | until all replicas have it |
/// | 2 | new key | old key | until all replicas have it, and one lifetime of a nonce has passed |
/// | 3 | new key | | |
///
/// `Debug` does not print the key. It is zeroised when the last clone is dropped.
///
/// ```
/// use mcp_bearer::sender::NonceKey;
///
/// let (old, new) = ([7; 32], [8; 32]); // 32 random bytes each, from a secret store
/// let key = NonceKey::new(old).also_accepts(NonceKey::new(new));
/// assert!(!format!("{key:?}").contains('7'));
/// ```
#[derive(Clone)]
pub struct NonceKey {
    pub(super) signing: SecretKey,
    /// Keys that only verify.
    pub(super) accepted: Vec<SecretKey>,
}

impl NonceKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { signing: SecretKey::new(key), accepted: Vec::new() }
    }

    /// Also accepts the nonces of another key, and of the keys that it accepts. Each additional key costs one HMAC for a nonce
    /// that is not valid.
    #[must_use]
    pub fn also_accepts(mut self, other: Self) -> Self {
        self.accepted.push(other.signing);
        self.accepted.extend(other.accepted);
        self
    }

    /// Reads the text of a key file. It has one key per line: the first signs nonces, and all verify them. There are at most four
    /// keys.
    ///
    /// A key is 32 random bytes in Base64, in base64url without padding, or in hexadecimal. `openssl rand -base64 32` makes one.
    /// Empty lines and lines that start with `#` are ignored.
    ///
    /// ```
    /// use mcp_bearer::sender::NonceKey;
    ///
    /// let text = "\
    /// ## since November
    /// mZ0bWmyzCYhYUqBy3sPqWVzDJ1cIYtnAfjuY3sNqG5U=
    /// ## before
    /// 4f1c2d7a90b3e86655f02a8c1d94be37aa60c5d21e9f7b4830d6c1a27be5f908
    /// ";
    /// let key = NonceKey::parse(text)?;
    ///
    /// let error = NonceKey::parse("secret").unwrap_err();
    /// assert!(error.to_string().starts_with("line 1 is not a nonce key"));
    /// # Ok::<(), mcp_bearer::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting) if a line is not a key, if two lines have the same key, or if
    /// the text contains no key, or more than four. The message has the number of the line, and no part of a key.
    pub fn parse(text: &str) -> Result<Self, BuildError> {
        // Some editors write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = (1_usize..).zip(text.lines().map(str::trim));
        let mut keys: Vec<(usize, SecretKey)> = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let key = SecretKey::parse(line).map_err(|mistake| {
                BuildError::setting(format!("line {number} is not a nonce key: it has {mistake}; {REPAIR}"))
            })?;
            if let Some((same, _)) = keys.iter().find(|(_, known)| *known == key) {
                let message = format!("line {number} has the same nonce key as line {same}; remove one of them");
                return Err(BuildError::setting(message));
            }
            if keys.len() == MAX_KEYS {
                let message = format!(
                    "line {number} has a fifth nonce key, and at most {MAX_KEYS} are accepted; remove the oldest key"
                );
                return Err(BuildError::setting(message));
            }
            keys.push((number, key));
        }
        let mut keys = keys.into_iter().map(|(_, key)| key);
        let Some(signing) = keys.next() else {
            return Err(BuildError::setting(format!("a nonce key is missing; {REPAIR}")));
        };
        Ok(Self { signing, accepted: keys.collect() })
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceKey").finish_non_exhaustive()
    }
}

/// The current key, the next one and the previous one, and one to spare. Each key costs an HMAC for a nonce that is not valid.
const MAX_KEYS: usize = 4;

#[cfg(test)]
mod tests;
