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

/// A file of a wrong format has a mistake in each line.
const MAX_MISTAKES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

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
