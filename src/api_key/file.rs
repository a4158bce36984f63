//! The file of API keys: one stored key per line.

use std::io;
use std::path::Path;

use super::mistakes::KeyMistakes;
use super::stored::StoredKey;
use crate::file::{FileError, read_file};

/// Reads the bytes of the file, at most [`MAX_FILE`] of them.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match read_file(path, MAX_FILE, &mut bytes) {
        Ok(_) => Ok(bytes),
        Err(FileError::Unreadable(error)) => Err(error),
        Err(other) => Err(io::Error::other(format!("it {other}"))),
    }
}

/// Parses the lines of a file, and adds its mistakes. Empty lines and lines that start with `#` are ignored.
pub(super) fn parse(text: &str, mistakes: &mut KeyMistakes) -> Vec<(Box<str>, StoredKey)> {
    let mut keys = Vec::new();
    // Some editors write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1_u64..).zip(text.lines()) {
        let (line, place) = (line.trim(), format!("line {number}"));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match StoredKey::from_line(line) {
            Ok(key) => keys.push((place.into(), key)),
            Err(found) => found.into_iter().for_each(|what| mistakes.push(&place, what)),
        }
    }
    keys
}

/// In bytes: about 50,000 keys. More keys belong into a database.
const MAX_FILE: usize = 16 * 1024 * 1024;
