use std::fmt;
use std::path::Path;

use crate::crypto::{SECRET_KEY_REPAIR, SecretKey};
use crate::error::BuildError;
use crate::file::read_text;

/// The secret key of the introspection results that replicas share, for
/// [`RedisState::share_introspection_results`](super::RedisState::share_introspection_results).
///
/// It encrypts the results, so that somebody who reads the store learns no claim, and somebody who writes to the store cannot make a
/// token active. Give the same key to all replicas. Replicas with different keys do not find each other's results, so a key is
/// changed by a restart of one replica after the other.
///
/// `Debug` does not print the key. It is zeroised when the last clone is dropped.
///
/// ```
/// use mcp_bearer::shared::ResultKey;
///
/// let key = ResultKey::new([7; 32]); // 32 random bytes from a secret store
/// assert!(!format!("{key:?}").contains('7'));
/// ```
#[derive(Clone)]
pub struct ResultKey(pub(super) SecretKey);

impl ResultKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(SecretKey::new(key))
    }

    /// Reads the text of a key file: 32 random bytes in Base64, in base64url without padding, or in hexadecimal.
    /// `openssl rand -base64 32` makes one. White space around the key is ignored.
    ///
    /// ```
    /// use mcp_bearer::shared::ResultKey;
    ///
    /// let key = ResultKey::parse("mZ0bWmyzCYhYUqBy3sPqWVzDJ1cIYtnAfjuY3sNqG5U=\n")?;
    ///
    /// let error = ResultKey::parse("secret").unwrap_err();
    /// assert!(error.to_string().starts_with("the text is not a key for introspection results: it has 6 characters"));
    /// # Ok::<(), mcp_bearer::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting) if the text is anything else. The message contains nothing of the text.
    pub fn parse(text: &str) -> Result<Self, BuildError> {
        // Some editors write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        SecretKey::parse(text.trim()).map(Self).map_err(|mistake| {
            let message =
                format!("the text is not a key for introspection results: it has {mistake}; {SECRET_KEY_REPAIR}");
            BuildError::setting(message)
        })
    }

    /// Reads a key file. [`parse`](Self::parse) describes its content. The file is read once, and the call blocks while it is read.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting) if the file cannot be read, is not a regular file, has more
    /// than 1 KiB, or has an invalid content. The message has the path, and nothing of the key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let shown = path.as_ref().display().to_string();
        let wrong =
            |mistake: String| BuildError::setting(format!("the key file {shown:?} for introspection results{mistake}"));
        let text = read_text(path.as_ref(), MAX_KEY_FILE).map_err(|error| wrong(format!(" {error}")))?;
        Self::parse(&text).map_err(|mistake| wrong(format!(": {mistake}")))
    }
}

impl fmt::Debug for ResultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultKey").finish_non_exhaustive()
    }
}

/// In bytes.
const MAX_KEY_FILE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::env::temp_dir;
    use std::fs;

    use super::*;

    #[test]
    fn a_mistake_in_the_file_names_the_path_and_the_repair() {
        let path = temp_dir().join(format!("mcp-bearer-result-key-{}", std::process::id()));
        let message = || ResultKey::from_file(&path).unwrap_err().to_string();
        let start = format!("the key file {:?} for introspection results", path.display().to_string());
        assert!(message().starts_with(&format!("{start} cannot be read: ")), "{}", message());
        for (content, expected) in [
            (String::new(), "is empty"),
            ("a".repeat(1025), "has more than 1024 bytes"),
            (format!("{:064x}\n{:064x}", 1, 2), "129 characters"),
            ("secret".to_owned(), "as of `openssl rand -base64 32`"),
        ] {
            fs::write(&path, content).unwrap();
            assert!(message().starts_with(&start) && message().contains(expected), "{}", message());
            assert!(!message().contains("secret"));
        }
        fs::write(&path, format!("\u{feff} {:064x}\r\n", 1)).unwrap();
        assert!(ResultKey::from_file(&path).is_ok());
        fs::remove_file(&path).unwrap();
    }
}
