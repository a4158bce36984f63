use std::path::Path;

use crate::error::BuildError;
use crate::file::read_text;
use crate::sender::NonceKey;

impl NonceKey {
    /// Reads a key file. [`parse`](Self::parse) describes its content.
    ///
    /// The file is read once, and the call blocks while it is read. To change the key of a running server, replace the file and
    /// rotate to its new content:
    ///
    /// ```no_run
    /// use mcp_bearer::ResourceServer;
    /// use mcp_bearer::sender::{Dpop, NonceKey};
    ///
    /// const FILE: &str = "/run/secrets/nonce_keys";
    /// let settings = Dpop::new().require_nonces().nonce_key(NonceKey::from_file(FILE)?);
    ///
    /// fn reload(server: &ResourceServer) -> Result<(), mcp_bearer::BuildError> {
    ///     server.rotate_nonce_key(NonceKey::from_file(FILE)?);
    ///     Ok(())
    /// }
    /// # Ok::<(), mcp_bearer::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting) if the file cannot be read, is not a regular file, has more
    /// than 16 KiB, or has an invalid content. The message has the path and no part of a key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let text = read_text(path, MAX_KEY_FILE)
            .map_err(|error| BuildError::setting(format!("the nonce key file {shown:?} {error}")))?;
        Self::parse(&text).map_err(|mistake| BuildError::setting(format!("the nonce key file {shown:?}: {mistake}")))
    }
}

/// In bytes: four keys, with a page of comments for each.
const MAX_KEY_FILE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::env::temp_dir;
    use std::fs;

    use super::*;

    #[test]
    fn a_mistake_in_the_file_names_the_path() {
        let path = temp_dir().join(format!("mcp-bearer-nonce-key-{}", std::process::id()));
        let message = || NonceKey::from_file(&path).unwrap_err().to_string();
        let start = format!("the nonce key file {:?}", path.display().to_string());
        assert!(message().starts_with(&format!("{start} cannot be read: ")), "{}", message());
        for (content, expected) in [
            (String::new(), "is empty"),
            ("#".repeat(16 * 1024 + 1), "has more than 16384 bytes"),
            (format!("{:064x}\nsecret", 1), "line 2 is not a nonce key"),
        ] {
            fs::write(&path, content).unwrap();
            assert!(message().starts_with(&start) && message().contains(expected), "{}", message());
        }
        fs::write(&path, format!("{:064x}\n", 1)).unwrap();
        assert!(NonceKey::from_file(&path).is_ok());
        fs::remove_file(&path).unwrap();
    }
}
