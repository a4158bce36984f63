use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::challenge::challenge;
use super::token::NoToken;
use crate::failure::{CheckFailure, OperationFailure};
use crate::protection::Protection;
use crate::scope::{OFFLINE_ACCESS, Scopes};
use crate::verify::{VerifyError, VerifyErrorKind};

/// Why a request was refused, and what its sender is told.
///
/// It is left in the extensions of every refusal's response, and is what
/// [`AuthInfo::require_scopes`](crate::AuthInfo::require_scopes) returns.
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    /// Absent where no layer is known, or before one adopted the rejection.
    protection: Option<Arc<Protection>>,
    /// What a challenge names beyond the layer's own: the scopes of an operation.
    scopes: Scopes,
    /// The `id` of the JSON-RPC request that is refused, as JSON.
    pub(super) request_id: Option<Box<str>>,
}

/// What a [`Rejection`] is about; it decides the status.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// 401 without an error code: no credentials, or those of another scheme than `Bearer`.
    MissingToken,
    /// 400 `invalid_request`: credentials that are no single bearer token.
    InvalidRequest,
    /// 401 `invalid_token`: the token is not good.
    InvalidToken(CheckFailure),
    /// 403 `insufficient_scope`: the token is good for something else.
    InsufficientScope,
    /// 503: the token cannot be judged at the moment.
    Unavailable {
        /// What the server that is needed said about another try.
        retry_after: Option<Duration>,
    },
    /// 503: the token cannot be judged before an operator changes something.
    Misconfigured,
    /// 400, 403, 404, 408 or 413: a request that no token would make acceptable.
    Operation(OperationFailure),
    /// 500: a handler asks for what only a layer could have put there, or for a scope that is none.
    Internal,
}

impl Rejection {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            RejectionKind::MissingToken | RejectionKind::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            RejectionKind::InvalidRequest => StatusCode::BAD_REQUEST,
            RejectionKind::InsufficientScope => StatusCode::FORBIDDEN,
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => StatusCode::SERVICE_UNAVAILABLE,
            RejectionKind::Operation(failure) => match failure {
                OperationFailure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                OperationFailure::TooSlow => StatusCode::REQUEST_TIMEOUT,
                OperationFailure::Incomplete | OperationFailure::Unreadable | OperationFailure::HeaderMismatch => {
                    StatusCode::BAD_REQUEST
                }
                OperationFailure::Unlisted | OperationFailure::Origin => StatusCode::FORBIDDEN,
                OperationFailure::UnknownSession => StatusCode::NOT_FOUND,
            },
            RejectionKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable label of the log's `kind` field.
    pub(super) const fn label(&self) -> &'static str {
        match self.kind {
            RejectionKind::MissingToken => "missing_token",
            RejectionKind::InvalidRequest => "invalid_request",
            RejectionKind::InvalidToken(_) => "invalid_token",
            RejectionKind::InsufficientScope => "insufficient_scope",
            RejectionKind::Unavailable { .. } => "unavailable",
            RejectionKind::Misconfigured => "misconfigured",
            RejectionKind::Operation(_) => "operation",
            RejectionKind::Internal => "internal",
        }
    }

    /// The error code of the body, and of the challenge if there is one (RFC 6750, section 3.1). An operation that is
    /// refused whatever the token is answered in JSON-RPC, which has codes of its own.
    #[must_use]
    pub const fn error_code(&self) -> Option<&'static str> {
        match self.kind {
            RejectionKind::MissingToken | RejectionKind::Operation(_) => None,
            RejectionKind::InvalidRequest => Some("invalid_request"),
            RejectionKind::InvalidToken(_) => Some("invalid_token"),
            RejectionKind::InsufficientScope => Some("insufficient_scope"),
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => Some("temporarily_unavailable"),
            RejectionKind::Internal => Some("server_error"),
        }
    }

    /// A fixed sentence, the same for everybody.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        match self.kind {
            RejectionKind::MissingToken => "An access token is needed",
            RejectionKind::InvalidRequest => "The request must carry exactly one bearer token",
            RejectionKind::InvalidToken(failure) => failure.description(),
            RejectionKind::InsufficientScope => "The access token does not grant what this operation needs",
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => {
                "The access token cannot be checked at the moment"
            }
            RejectionKind::Operation(failure) => failure.description(),
            RejectionKind::Internal => "The server is not set up for this request",
        }
    }

    /// The `WWW-Authenticate` header, for those refusals that have one.
    #[must_use]
    pub fn challenge(&self) -> Option<HeaderValue> {
        self.challenge_with(self.error_code())
    }

    /// The challenge, with this error code.
    pub(super) fn challenge_with(&self, code: Option<&str>) -> Option<HeaderValue> {
        let protection = self.protection.as_ref()?;
        // All scopes of the operation in one challenge: older clients ask for exactly these (MCP 2026-07-28).
        let scopes = || {
            let required = protection.required.challenge(&protection.hierarchy);
            let all = if self.scopes.is_empty() { required } else { required.union(&self.scopes) };
            if all.contains(OFFLINE_ACCESS) { all.without(OFFLINE_ACCESS) } else { all }
        };
        match self.kind {
            RejectionKind::MissingToken
            | RejectionKind::InvalidRequest
            | RejectionKind::InvalidToken(_)
            | RejectionKind::InsufficientScope => {
                Some(challenge(protection, code.map(|code| (code, self.description())), &scopes()))
            }
            RejectionKind::Unavailable { .. }
            | RejectionKind::Misconfigured
            | RejectionKind::Operation(_)
            | RejectionKind::Internal => None,
        }
    }

    pub(crate) const fn new(kind: RejectionKind) -> Self {
        Self { kind, protection: None, scopes: Scopes::EMPTY, request_id: None }
    }

    /// A good token that does not grant the layer's scopes and these.
    pub(crate) fn insufficient_scope(protection: &Arc<Protection>, scopes: Scopes) -> Self {
        Self { scopes, ..Self::new(RejectionKind::InsufficientScope).guarded_by(protection) }
    }

    /// No credentials, for what needs the layer's scopes and these.
    pub(crate) fn missing_token(protection: &Arc<Protection>, scopes: Scopes) -> Self {
        Self { scopes, ..Self::new(RejectionKind::MissingToken).guarded_by(protection) }
    }

    /// An operation that no token would make good; `request_id` is JSON.
    pub(crate) fn operation(failure: OperationFailure, request_id: Option<Box<str>>) -> Self {
        Self { request_id, ..Self::new(RejectionKind::Operation(failure)) }
    }

    pub(crate) fn guarded_by(mut self, protection: &Arc<Protection>) -> Self {
        self.protection = Some(Arc::clone(protection));
        self
    }
}

impl From<NoToken> for Rejection {
    fn from(reason: NoToken) -> Self {
        Self::new(match reason {
            NoToken::Missing | NoToken::OtherScheme => RejectionKind::MissingToken,
            NoToken::Malformed => RejectionKind::InvalidRequest,
            NoToken::Refused(failure) => RejectionKind::InvalidToken(failure),
        })
    }
}

impl From<VerifyError> for Rejection {
    fn from(error: VerifyError) -> Self {
        error.kind().into()
    }
}

/// The only place where a reason becomes a status.
impl From<VerifyErrorKind> for Rejection {
    fn from(kind: VerifyErrorKind) -> Self {
        Self::new(match kind {
            VerifyErrorKind::Invalid(failure) => RejectionKind::InvalidToken(failure),
            VerifyErrorKind::Unavailable { retry_after } => RejectionKind::Unavailable { retry_after },
            VerifyErrorKind::Misconfigured => RejectionKind::Misconfigured,
        })
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection").field("kind", &self.kind).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl std::error::Error for Rejection {}
