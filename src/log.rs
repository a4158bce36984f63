//! Parts of log lines: causes that are short and on one line, and events whose number is limited.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use tokio::time::Instant;

use crate::event_limit::{EventLimit, EventSummary};
use crate::http_client::DocumentError;

/// Writes an event at its own level if it is to be shown, else at `debug`.
macro_rules! limited {
    ($is_shown:expr, $level:ident, $($event:tt)+) => {
        if $is_shown { tracing::$level!($($event)+) } else { tracing::debug!($($event)+) }
    };
}
pub(crate) use limited;

/// Counts an event that anybody can cause, and returns whether it appears at its own level.
///
/// `report` writes the summary of a window in which some events did not appear at their own level. It is called at the end
/// of the window. Outside a tokio runtime, it is called at the first event after that.
pub(crate) fn is_shown(
    limit: &Arc<EventLimit>,
    cause: &'static str,
    report: impl FnOnce(EventSummary) + Send + 'static,
) -> bool {
    let decision = limit.count(cause, Instant::now().into_std());
    let runtime = tokio::runtime::Handle::try_current();
    match (decision.previous_summary, decision.summary_due, runtime) {
        (Some(previous), ..) => report(previous),
        (None, Some(due), Ok(runtime)) => {
            let limit = Arc::clone(limit);
            runtime.spawn(async move {
                tokio::time::sleep(due.time_left).await;
                if let Some(summary) = limit.finish(due) {
                    report(summary);
                }
            });
        }
        (None, _, _) => {}
    }
    decision.is_shown
}

/// An error and its sources as one short text without control characters. It has no byte of a fetched document.
#[derive(Clone, Copy)]
pub(crate) struct Cause<'e>(&'e (dyn StdError + 'static));

impl<'e> Cause<'e> {
    /// The error and all its sources.
    pub(crate) fn new(error: &'e (dyn StdError + 'static)) -> Self {
        Self(error)
    }
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut short = Short { out: f, left: MAX_CAUSE };
        let mut next = Some(self.0);
        let mut separator = "";
        while let Some(error) = next {
            match error.downcast_ref::<DocumentError>() {
                Some(document) => write!(short, "{separator}{}", document.for_log())?,
                None => write!(short, "{separator}{error}")?,
            }
            (separator, next) = (": ", error.source());
        }
        Ok(())
    }
}

/// A text that anybody can choose: printable ASCII, on one line, and cut.
#[derive(Clone, Copy)]
pub(crate) struct Escaped<'t> {
    text: &'t str,
    limit: usize,
}

impl<'t> Escaped<'t> {
    /// At most `limit` characters.
    pub(crate) const fn new(text: &'t str, limit: usize) -> Self {
        Self { text, limit }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Short { out: f, left: self.limit }.write_str(self.text)
    }
}

/// Escapes all characters that are not printable ASCII, and cuts the text.
struct Short<'f, 'o> {
    out: &'f mut fmt::Formatter<'o>,
    left: usize,
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

/// The most characters of a cause in one event: the error chain of a failed TLS handshake is shorter.
pub(crate) const MAX_CAUSE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: String,
        source: Option<Box<Layer>>,
    }

    fn layer(text: &str, source: Option<Layer>) -> Layer {
        Layer { text: text.to_owned(), source: source.map(Box::new) }
    }

    #[test]
    fn a_text_that_anybody_can_choose_cannot_break_a_log_line() {
        assert_eq!(Escaped::new("a\r\n\u{1b}[31mé", 64).to_string(), "a\\r\\n\\u{1b}[31m\\u{e9}");
        assert_eq!(Escaped::new(&"k".repeat(65_536), 64).to_string().len(), 64);
    }

    #[test]
    fn a_cause_names_every_level_on_one_line() {
        let error = layer("no answer", Some(layer("TLS\nhandshake", Some(layer("UnknownIssuer", None)))));
        assert_eq!(Cause::new(&error).to_string(), "no answer: TLS\\nhandshake: UnknownIssuer");
    }

    #[test]
    fn a_cause_is_cut_at_256_characters() {
        for error in [layer(&"x".repeat(200_000), None), layer("no answer", Some(layer(&"\n".repeat(9_000), None)))] {
            assert_eq!(Cause::new(&error).to_string().len(), MAX_CAUSE);
        }
    }

    #[test]
    fn log_lines_have_no_value_of_a_document() {
        let source = DocumentError::new("the member \"jwks_uri\" is not an https URL").found("http://SECRET");
        let error = crate::http_client::FetchError::new(crate::http_client::FetchErrorKind::Document, "https://as");
        let error = Arc::new(error.with_source(source));
        let shown = Cause::new(&error).to_string();
        assert!(shown.contains("https://as") && shown.contains("jwks_uri") && !shown.contains("SECRET"), "{shown}");
    }
}
