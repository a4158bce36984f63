//! Small files of the configuration: read as a whole, with a bound.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

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
