//! One log event for each rejection. It contains neither the token nor another header. It can contain the configured issuer,
//! the key id, the path, and the text of an error.
//!
//! The first three rejections of each cause and minute are logged at `info`, or at `error` if an operator must act. The others
//! are logged at `debug`. If there were more, one summary per cause and minute is logged at `warn`.

use std::error::Error as StdError;
use std::sync::{Arc, LazyLock};

use super::{Guard, Rejection, RejectionKind};
use crate::introspection::IntrospectionError;
use crate::log::{Cause, Escaped, EventLimit, EventSummary, MAX_CAUSE, limited};
use crate::verify::VerifyError;

impl Rejection {
    /// Takes the challenge from `guard`, and logs the rejection.
    pub(crate) fn logged(self, guard: &Arc<Guard>) -> Self {
        self.logged_with(guard, None, None)
    }

    /// The same, with the issuer of the token and the error of the verifier.
    pub(super) fn logged_with(mut self, guard: &Arc<Guard>, issuer: Option<&str>, error: Option<&VerifyError>) -> Self {
        log(guard, &self, issuer, error);
        self.guard = Some(Arc::clone(guard));
        self
    }
}

fn log(guard: &Guard, rejection: &Rejection, issuer: Option<&str>, error: Option<&VerifyError>) {
    let kind = rejection.label();
    let cause = match rejection.kind() {
        RejectionKind::InvalidToken(failure) => failure.label(),
        RejectionKind::Request(failure) => failure.label(),
        _ => kind,
    };
    let kid = error.and_then(|error| error.kid.as_deref()).map(|kid| tracing::field::display(Escaped(kid, MAX_KID)));
    let source = error.and_then(StdError::source);
    let reason = source.map(|source| tracing::field::display(Cause(source)));
    let is_shown = guard.events.is_shown(cause, summary);
    match rejection.kind() {
        RejectionKind::Unavailable { .. } => {
            limited!(is_shown, info, target: "mcp_bearer::rejection", kind, cause = reason, issuer, kid,
                "request rejected: the access token cannot be verified now");
        }
        // The module `introspection` has logged this at `error`.
        RejectionKind::Misconfigured if source.is_some_and(is_failed_introspection) => {
            limited!(is_shown, info, target: "mcp_bearer::rejection", kind, cause = reason, issuer, kid,
                "request rejected: introspection is misconfigured");
        }
        RejectionKind::Misconfigured | RejectionKind::Internal => {
            limited!(is_shown, error, target: "mcp_bearer::rejection", kind, cause = reason, issuer, kid,
                "request rejected: this server is misconfigured");
        }
        _ => {
            limited!(is_shown, info, target: "mcp_bearer::rejection", kind, cause, issuer, kid, source = reason,
                "request rejected");
        }
    }
}

/// Logs a mistake in the program that a request revealed. `message` says how to repair it.
pub(crate) fn misconfigured(guard: &Guard, cause: &'static str, message: &'static str) {
    let is_shown = guard.events.is_shown(cause, summary);
    limited!(is_shown, error, target: "mcp_bearer::rejection", kind = "internal", cause, "{message}");
}

/// Logs the mistake of a route without a layer. Without a `Guard`, one limit for the whole process applies.
pub(crate) fn misconfigured_outside(cause: &'static str, path: Option<&str>, message: &'static str) {
    static LIMIT: LazyLock<Arc<EventLimit>> = LazyLock::new(Arc::default);
    let is_shown = LIMIT.is_shown(cause, summary);
    let path = path.map(|path| tracing::field::display(Escaped(path, MAX_CAUSE)));
    limited!(is_shown, error, target: "mcp_bearer::rejection", kind = "internal", cause, path, "{message}");
}

fn summary(EventSummary { cause, events, hidden }: EventSummary) {
    tracing::warn!(target: "mcp_bearer::rejection", cause, count = events, hidden,
        "many requests were rejected for one cause within a minute: only the first appear above `debug`");
}

fn is_failed_introspection(source: &(dyn StdError + 'static)) -> bool {
    matches!(source.downcast_ref(), Some(IntrospectionError::Failed { .. }))
}

/// The longest key id in one event, in characters.
const MAX_KID: usize = 64;
