//! One event per refusal. Never a token, a claim beyond a configured issuer, or a header.

use std::error::Error as StdError;
use std::fmt;

use super::{Rejection, RejectionKind};
use crate::verify::VerifyError;

/// A refusal, and the error that led to it if a verifier found one.
pub(crate) fn refused(rejection: &Rejection, error: Option<&VerifyError>) {
    let kind = rejection.label();
    let issuer = error.and_then(VerifyError::issuer);
    let kid = error.and_then(VerifyError::kid).map(|kid| tracing::field::display(Escaped(kid)));
    let source = error.and_then(StdError::source).map(|source| tracing::field::display(Chain(source)));
    match rejection.kind() {
        RejectionKind::InvalidToken(failure) => {
            let cause = failure.label();
            tracing::debug!(target: "mcp_bearer::rejection", kind, cause, issuer, kid, source, "request refused");
        }
        RejectionKind::Operation(failure) => {
            let cause = failure.label();
            tracing::debug!(target: "mcp_bearer::rejection", kind, cause, "request refused");
        }
        RejectionKind::Unavailable { .. } => {
            tracing::warn!(target: "mcp_bearer::rejection", kind, cause = source, issuer, kid, "token cannot be judged");
        }
        RejectionKind::Misconfigured | RejectionKind::Internal => {
            tracing::error!(target: "mcp_bearer::rejection", kind, cause = source, issuer, kid, "misconfiguration");
        }
        RejectionKind::MissingToken | RejectionKind::InvalidRequest | RejectionKind::InsufficientScope => {
            tracing::debug!(target: "mcp_bearer::rejection", kind, cause = kind, "request refused");
        }
    }
}

/// A good token that does not grant enough.
pub(crate) fn insufficient_scope(issuer: &str) {
    let kind = "insufficient_scope";
    tracing::debug!(target: "mcp_bearer::rejection", kind, cause = kind, issuer, "request refused");
}

/// A text that a stranger chose: printable, on one line, and short.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaped = self.0.chars().flat_map(char::escape_default).take(MAX_LOGGED);
        escaped.try_for_each(|character| fmt::Write::write_char(f, character))
    }
}

/// An error and all that caused it.
struct Chain<'e>(&'e (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The most characters of a key id in one event.
const MAX_LOGGED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_chose_cannot_break_a_log_line() {
        assert_eq!(Escaped("a\r\n\u{1b}[31mé").to_string(), "a\\r\\n\\u{1b}[31m\\u{e9}");
        assert_eq!(Escaped(&"k".repeat(65_536)).to_string().len(), 64);
    }
}
