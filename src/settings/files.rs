use std::io;
use std::path::Path;

use super::secret::SecretText;
use crate::escape::{Escaped, MAX_SHOWN};
use crate::file::{FileError, read_text};
use crate::introspection::MAX_SECRET;

/// The content of a file with a document, without a line break at its end. The error is the message of a mistake.
pub(super) fn content(path: &Path) -> Result<SecretText, String> {
    read_text(path, MAX_DOCUMENT).map(SecretText::from_file).map_err(|error| message(path, &error))
}

/// [`content`] of a file with a secret. The message does not have the path if it may be the secret itself, written into the wrong
/// field.
pub(super) fn secret_content(path: &Path) -> Result<SecretText, String> {
    let found = read_text(path, MAX_SECRET).map(SecretText::from_file);
    found.map_err(|error| match error {
        // A file that does not permit access exists, so its path is not a secret.
        FileError::Unreadable(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            format!("the file cannot be read: {error}; correct the path, which is not shown because it may be a secret")
        }
        error => message(path, &error),
    })
}

fn message(path: &Path, error: &FileError) -> String {
    let repair = match error {
        FileError::Unreadable(_) => "correct the path or its permissions",
        FileError::NotAFile | FileError::TooLarge(_) => "use another file",
        FileError::Empty => "write the value into it",
        FileError::NotText => "write it as UTF-8 text",
    };
    let path = path.to_string_lossy();
    format!("the file \"{}\" {error}; {repair}", Escaped(&path, MAX_SHOWN))
}

/// In bytes: as long as the largest key set. A longer file was named by mistake.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;
