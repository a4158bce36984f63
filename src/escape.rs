//! Texts that anybody can choose, made safe for log lines and messages.

use std::fmt::{self, Write as _};

/// A text that anybody can choose: printable ASCII, on one line, and cut after this number of characters.
#[derive(Clone, Copy)]
pub(crate) struct Escaped<'t>(pub(crate) &'t str, pub(crate) usize);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Short { out: f, left: self.1 }.write_str(self.0)
    }
}

/// Escapes all characters that are not printable ASCII, and cuts the text.
pub(crate) struct Short<'f, 'o> {
    pub(crate) out: &'f mut fmt::Formatter<'o>,
    pub(crate) left: usize,
}

impl fmt::Write for Short<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let is_plain = matches!(character, ' '..='~');
            let (plain, escaped) = (is_plain.then_some(character), (!is_plain).then(|| character.escape_default()));
            for shown in plain.into_iter().chain(escaped.into_iter().flatten()) {
                let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
                self.left = left;
                self.out.write_char(shown)?;
            }
        }
        Ok(())
    }
}

/// Texts in one line, with `separator` between them, escaped and cut after [`MAX_SHOWN`] characters.
pub(crate) fn shown<'t>(texts: impl IntoIterator<Item = &'t str>, separator: &str) -> Box<str> {
    let mut line = String::new();
    for text in texts {
        if line.len() > MAX_SHOWN {
            break;
        }
        if !line.is_empty() {
            line.push_str(separator);
        }
        // The text is cut here too, so that a long one is not copied as a whole.
        line.extend(text.chars().take(MAX_SHOWN));
    }
    Escaped(&line, MAX_SHOWN).to_string().into()
}

/// The most characters of a value in a message: most URLs fit.
pub(crate) const MAX_SHOWN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_anybody_can_choose_cannot_break_a_log_line() {
        assert_eq!(Escaped("a\r\n\u{1b}[31m\u{e9}", 64).to_string(), "a\\r\\n\\u{1b}[31m\\u{e9}");
        assert_eq!(Escaped(&"k".repeat(65_536), 64).to_string().len(), 64);
    }

    #[test]
    fn a_list_of_texts_is_cut_as_a_whole() {
        assert_eq!(&*shown(["a", "b\n"], ", "), "a, b\\n");
        assert_eq!(&*shown([], ", "), "");
        let many = vec!["x".repeat(100); 1_000];
        assert_eq!(shown(many.iter().map(String::as_str), ", ").len(), MAX_SHOWN);
        assert_eq!(shown(["\u{0}".repeat(100_000).as_str()], ", ").len(), MAX_SHOWN);
    }
}
