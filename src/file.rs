//! Small files of the configuration: read as a whole, with a bound.

use std::fs::File;
use std::io::{self, Read as _};
use std::mem;
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Reading a pipe or a device may never end.
    #[error("is not a regular file")]
    NotAFile,
    /// The value is the limit.
    #[error("has more than {0} bytes")]
    TooLarge(usize),
    #[error("is empty")]
    Empty,
    #[error("is not valid UTF-8")]
    NotText,
}

/// Appends a file of at most `limit` bytes to `content`, and returns its modification time.
///
/// `content` does not grow by more than one allocation, so no copy of a secret is left behind.
pub(crate) fn read_file(path: &Path, limit: usize, content: &mut Vec<u8>) -> Result<SystemTime, FileError> {
    // Opening a pipe would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(FileError::NotAFile);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let is_too_large = |length: usize| length > limit;
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if is_too_large(length) {
        return Err(FileError::TooLarge(limit));
    }
    content.reserve_exact(limit.saturating_add(1));
    // The file may grow while it is read.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if is_too_large(file.take(most).read_to_end(content)?) {
        return Err(FileError::TooLarge(limit));
    }
    Ok(metadata.modified()?)
}

/// Reads a text of at most `limit` bytes, without one line break at its end, which editors and `echo` write. The text may be a
/// secret: all copies of it are zeroised.
pub(crate) fn read_text(path: &Path, limit: usize) -> Result<Zeroizing<String>, FileError> {
    let mut content = Zeroizing::new(Vec::new());
    read_file(path, limit, &mut content)?;
    let without = content.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text).len());
    content.truncate(without.unwrap_or(usize::MAX));
    match String::from_utf8(mem::take(&mut *content)) {
        Ok(text) if text.is_empty() => Err(FileError::Empty),
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(FileError::NotText)
        }
    }
}
