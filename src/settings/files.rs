use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::secret::SecretText;
use crate::escape::{Escaped, MAX_SHOWN};

/// The content of a file, without a line break at its end. The error is the message of a mistake.
pub(super) fn content(path: &Path) -> Result<SecretText, String> {
    let shown = path.to_string_lossy();
    let shown = Escaped(&shown, MAX_SHOWN);
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(MAX_FILE.saturating_add(1)).read_to_string(&mut text)?;
        Ok::<_, io::Error>(SecretText::new(text))
    };
    let text = read().map_err(|error| {
        format!("the file \"{shown}\" cannot be read: {error}; correct the path or its permissions")
    })?;
    if u64::try_from(text.reveal().len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(format!("the file \"{shown}\" has more than {MAX_FILE} bytes; use another file"));
    }
    let content = text.reveal();
    let content = content.strip_suffix('\n').unwrap_or(content);
    let content = content.strip_suffix('\r').unwrap_or(content);
    if content.is_empty() {
        return Err(format!("the file \"{shown}\" is empty; write the value into it"));
    }
    Ok(SecretText::new(content))
}

/// In bytes: as long as the largest key set. A longer file was named by mistake.
const MAX_FILE: u64 = 4 * 1024 * 1024;
