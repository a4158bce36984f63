//! The mistakes in stored API keys, all at once.

use std::fmt;

use crate::escape::{Escaped, MAX_SHOWN};

/// Mistakes, each with its place, such as `line 3`.
#[derive(Debug, Default, thiserror::Error)]
pub(crate) struct KeyMistakes(Vec<(Box<str>, String)>);

impl KeyMistakes {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, place: &str, what: impl Into<String>) {
        self.0.push((place.into(), what.into()));
    }
}

impl FromIterator<(Box<str>, String)> for KeyMistakes {
    fn from_iter<I: IntoIterator<Item = (Box<str>, String)>>(mistakes: I) -> Self {
        Self(mistakes.into_iter().collect())
    }
}

impl fmt::Display for KeyMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (place, what)) in self.0.iter().enumerate().take(MAX_MISTAKES) {
            let separator = if at == 0 { "" } else { ". " };
            write!(f, "{separator}{place}: {what}")?;
        }
        match self.0.len().checked_sub(MAX_MISTAKES) {
            Some(more @ 1..) => write!(f, ". {more} more mistakes are not shown"),
            _ => Ok(()),
        }
    }
}

/// A value from the configuration, quoted, escaped and cut.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", Escaped(text, MAX_SHOWN))
}

/// The name that somebody may have meant: at most two letters differ, and less than half of them.
pub(super) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written: Vec<char> = written.chars().take(MAX_SHOWN).collect();
    let distances = known.into_iter().map(|name| (distance(&written, name), name));
    let close = distances.filter(|(distance, name)| *distance <= 2 && distance.saturating_mul(2) < name.len());
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// How many characters have to be inserted, removed or replaced (Levenshtein).
fn distance(written: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for character in name.chars() {
        let mut diagonal = row.first().copied().unwrap_or_default();
        let mut left = diagonal.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, other) in row.iter_mut().skip(1).zip(written) {
            let replaced = diagonal.saturating_add(usize::from(*other != character));
            diagonal = *above;
            left = replaced.min(left.saturating_add(1)).min(above.saturating_add(1));
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A file of a wrong format has a mistake in each line.
const MAX_MISTAKES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["id", "name", "sha256", "identity", "scopes", "expires"];
        for (written, expected) in [
            ("scope", Some("scopes")),
            ("sha-256", Some("sha256")),
            ("Name", Some("name")),
            ("expiry", Some("expires")),
            ("identiy", Some("identity")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
    }

    #[test]
    fn the_list_of_mistakes_is_bounded() {
        let mistakes =
            KeyMistakes::from_iter((1..=1_000).map(|line| (format!("line {line}").into(), "wrong".to_owned())));
        let text = mistakes.to_string();
        assert!(
            text.starts_with("line 1: wrong. line 2: wrong. ") && text.ends_with("980 more mistakes are not shown"),
            "{text}"
        );
        assert!(text.len() < 400, "{text}");
    }
}
