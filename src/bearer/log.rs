//! Makes one event for each rejection, and log lines about mistakes in the program.

use std::error::Error as StdError;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::token::NoToken;
use super::{Guard, Rejection, RejectionKind};
use crate::escape::{Escaped, MAX_SHOWN};
use crate::events::{Detail, Event, Rejected, RequestInfo};
use crate::introspection::IntrospectionError;
use crate::log::{EventLimit, EventSummary, limited};
use crate::verify::VerifyError;

/// The parts of a rejection's event besides its kind.
#[derive(Default)]
pub(crate) struct Reason<'r> {
    /// The label and the summary of a cause that is more precise than the kind.
    pub(super) cause: Option<(&'static str, &'static str)>,
    /// Advice that is more precise than that for the kind.
    pub(super) advice: Option<&'r str>,
    pub(super) issuer: Option<&'r str>,
    /// The name of an API key.
    pub(super) api_key: Option<&'r str>,
    pub(super) detail: Option<&'r Detail>,
    pub(super) error: Option<&'r VerifyError>,
    pub(super) duration: Option<Duration>,
}

impl Rejection {
    /// Takes the challenge from `guard`, and emits the event of the rejection.
    pub(crate) fn logged(self, guard: &Arc<Guard>, request: Option<RequestInfo<'_>>) -> Self {
        self.logged_with(guard, request, &Reason::default())
    }

    pub(super) fn logged_with(
        mut self,
        guard: &Arc<Guard>,
        request: Option<RequestInfo<'_>>,
        reason: &Reason<'_>,
    ) -> Self {
        emit(guard, &self, request, reason);
        self.guard = Some(Arc::clone(guard));
        self
    }
}

fn emit(guard: &Guard, rejection: &Rejection, request: Option<RequestInfo<'_>>, reason: &Reason<'_>) {
    let (cause, summary, advice) = cause(rejection.kind(), request, reason);
    let source = reason.error.and_then(StdError::source);
    let rejected = Rejected {
        request,
        kind: rejection.label(),
        cause,
        summary,
        advice: reason.advice.or(advice),
        issuer: reason.issuer,
        api_key: reason.api_key,
        key_id: reason.error.and_then(|error| error.kid.as_deref()),
        detail: reason.detail.or_else(|| reason.error.and_then(|error| error.detail.as_deref())),
        error: source,
        duration: reason.duration,
        is_reported: source.is_some_and(is_failed_introspection),
    };
    guard.events.emit(&match rejection.kind() {
        RejectionKind::InvalidProof(_) => Event::ProofRejected(rejected),
        RejectionKind::InsufficientScope => Event::ScopeMissing(rejected),
        RejectionKind::Request(failure) if failure.is_of_session => Event::SessionRejected(rejected),
        RejectionKind::Request(_) | RejectionKind::Origin | RejectionKind::Internal => Event::RequestRejected(rejected),
        _ => Event::TokenRejected(rejected),
    });
}

/// The label, the summary and the advice of the cause.
fn cause(
    kind: RejectionKind,
    request: Option<RequestInfo<'_>>,
    reason: &Reason<'_>,
) -> (&'static str, &'static str, Option<&'static str>) {
    if let Some((label, summary)) = reason.cause {
        return (label, summary, None);
    }
    match kind {
        RejectionKind::MissingToken if request.is_some_and(|request| request.has_token_in_query()) => {
            let advice = "send the token in the header `Authorization: Bearer` (OAuth 2.1, section 5.1)";
            ("token_in_query", "no access token; the token in the query is not used", Some(advice))
        }
        RejectionKind::MissingToken => ("missing_token", "no access token", None),
        RejectionKind::InvalidRequest => {
            let advice = "send one `Authorization` header, and in it the word `Bearer`, a space and the token";
            ("invalid_request", "the credentials are not one bearer token", Some(advice))
        }
        RejectionKind::InvalidToken(failure) => (failure.label(), failure.summary(), Some(failure.advice())),
        RejectionKind::InvalidProof(failure) => (failure.label(), failure.summary(), Some(failure.advice())),
        RejectionKind::InsufficientScope => {
            let advice = "let the client request the required scopes, and let the user or an operator grant them";
            ("insufficient_scope", "scope missing", Some(advice))
        }
        RejectionKind::Unavailable { .. } => ("unavailable", "the access token cannot be verified now", None),
        RejectionKind::Misconfigured => ("misconfigured", "this server is misconfigured", None),
        RejectionKind::Origin => {
            let advice = "add the origin to `allowed_origins` if its pages may call this server";
            ("origin", "the origin is not allowed", Some(advice))
        }
        RejectionKind::Request(failure) => (failure.label(), failure.texts.summary, Some(failure.texts.advice)),
        RejectionKind::Internal => ("internal", "this server is misconfigured", None),
    }
}

impl NoToken {
    /// The cause, if it is more precise than what the client sees.
    pub(super) const fn cause(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::OtherScheme => Some(("other_scheme", "the credentials use another scheme than `Bearer`")),
            Self::WrongHeader => {
                Some(("wrong_header", "the credentials are in a header that is not read, or in several headers"))
            }
            Self::Missing | Self::Malformed | Self::Rejected(_) => None,
        }
    }
}

/// Logs a mistake in the program that a request revealed. `message` says how to repair it.
pub(crate) fn misconfigured(guard: &Guard, cause: &'static str, message: &'static str) {
    let is_shown = guard.events.limit.is_shown(cause, None, summary);
    limited!(is_shown, error, target: "mcp_bearer::rejection", kind = "internal", cause, "{message}");
}

/// Logs the mistake of a route without a layer. Without a `Guard`, one limit for the whole process applies.
pub(crate) fn misconfigured_outside(cause: &'static str, path: Option<&str>, message: &'static str) {
    static LIMIT: LazyLock<Arc<EventLimit>> = LazyLock::new(Arc::default);
    let is_shown = LIMIT.is_shown(cause, None, summary);
    let path = path.map(|path| tracing::field::display(Escaped(path, MAX_SHOWN)));
    limited!(is_shown, error, target: "mcp_bearer::rejection", kind = "internal", cause, path, "{message}");
}

fn summary(EventSummary { cause, events, hidden, .. }: EventSummary) {
    tracing::warn!(target: "mcp_bearer::rejection", cause, count = events, hidden,
        "many requests were rejected for one cause within a minute: only the first appear above `debug`");
}

fn is_failed_introspection(source: &(dyn StdError + 'static)) -> bool {
    matches!(source.downcast_ref(), Some(IntrospectionError::Failed { .. }))
}
