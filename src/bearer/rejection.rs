use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::Guard;
use super::guard::ChallengeError;
use super::token::NoToken;
use crate::failure::CheckFailure;
use crate::scope::Scopes;
use crate::sender::ProofFailure;
use crate::verify::{VerifyError, VerifyErrorKind};

/// Why a request was rejected, and what its sender is told.
///
/// The extensions of every rejected request's response contain one. A handler gets one from
/// [`AuthInfo::require_scopes`](crate::AuthInfo::require_scopes), and returns it: with the feature `axum` it is a response.
#[derive(Clone, thiserror::Error)]
#[error("{}", self.description())]
pub struct Rejection {
    kind: RejectionKind,
    /// Set when the rejection is logged; `None` if no layer covers the route.
    pub(super) guard: Option<Arc<Guard>>,
    /// The scopes that the challenge names besides the layer's own.
    pub(crate) scopes: Scopes,
    /// Replaces the JSON object of OAuth as the body of the response.
    pub(crate) body: Option<Bytes>,
}

/// The reason of a [`Rejection`], which decides the status.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// 401 without an error code: the request does not have credentials, or has credentials of another scheme than `Bearer`.
    MissingToken,
    /// 400 `invalid_request`: the credentials are not one bearer token.
    InvalidRequest,
    /// 401 `invalid_token`: the access token is invalid.
    InvalidToken(CheckFailure),
    /// 401 `invalid_dpop_proof` or `use_dpop_nonce`: the DPoP proof is missing or invalid.
    InvalidProof(ProofFailure),
    /// 403 `insufficient_scope`: the access token is valid and does not grant enough.
    InsufficientScope,
    /// 503: the access token cannot be verified now.
    #[non_exhaustive]
    Unavailable {
        /// The time until the next attempt, if it is known. `Retry-After` is this time, rounded up to whole seconds, from 1 s to
        /// 60 s, and 5 s if it is not known.
        retry_after: Option<Duration>,
    },
    /// 503: the access token cannot be verified before an operator changes the configuration.
    Misconfigured,
    /// 403: the `Origin` of the request is not one of the [allowed origins](crate::ResourceServer::allowed_origins).
    Origin,
    /// The status of the failure: a layer rejects the request for a reason other than its access token. The MCP layer
    /// makes these of its [`OperationFailure`](crate::mcp::OperationFailure).
    Request(RequestFailure),
    /// 500: a handler needs what only a layer provides and no layer covers the route, or it requires a text that is not a
    /// scope.
    Internal,
}

/// A reason to reject a request other than its access token and its scopes, such as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFailure {
    pub(crate) status: StatusCode,
    pub(crate) texts: &'static FailureTexts,
    /// Whether the session of the request is unknown.
    pub(crate) is_of_session: bool,
}

/// The texts of a [`RequestFailure`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FailureTexts {
    pub(crate) label: &'static str,
    /// The fixed sentence that the client reads.
    pub(crate) description: &'static str,
    /// The cause in the words of the log line.
    pub(crate) summary: &'static str,
    /// How an operator can repair it.
    pub(crate) advice: &'static str,
}

impl RequestFailure {
    /// The status of the response.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.status
    }

    /// The stable label of the log's `cause` field.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.texts.label
    }

    /// The fixed sentence that the client reads.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.texts.description
    }
}

impl Rejection {
    /// The kind of the rejection.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.parts().0
    }

    /// A stable name of the [kind](Self::kind), for metrics and logs: the `kind` field of this crate's own log lines.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        self.parts().1
    }

    /// The sentence that the client reads. It is the same for all requests of one kind.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.parts().2
    }

    const fn parts(&self) -> (StatusCode, &'static str, &'static str) {
        let unavailable = "The access token cannot be checked at the moment";
        match self.kind {
            RejectionKind::MissingToken => (StatusCode::UNAUTHORIZED, "missing_token", "An access token is needed"),
            RejectionKind::InvalidRequest => {
                let description = "The request must carry exactly one bearer token";
                (StatusCode::BAD_REQUEST, "invalid_request", description)
            }
            RejectionKind::InvalidToken(failure) => (StatusCode::UNAUTHORIZED, "invalid_token", failure.description()),
            RejectionKind::InvalidProof(failure) => (StatusCode::UNAUTHORIZED, "invalid_proof", failure.description()),
            RejectionKind::InsufficientScope => {
                let description = "The access token does not grant what this operation needs";
                (StatusCode::FORBIDDEN, "insufficient_scope", description)
            }
            RejectionKind::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", unavailable),
            RejectionKind::Misconfigured => (StatusCode::SERVICE_UNAVAILABLE, "misconfigured", unavailable),
            RejectionKind::Origin => (StatusCode::FORBIDDEN, "origin", "The origin of the request is not allowed"),
            RejectionKind::Request(failure) => (failure.status, "request", failure.texts.description),
            RejectionKind::Internal => {
                let description = "The server is not set up for this request";
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", description)
            }
        }
    }

    /// The error code of the challenge and of the body (RFC 6750, section 3.1). `None` if the request had no credentials,
    /// or if it was rejected for another reason than its access token.
    #[must_use]
    pub const fn error_code(&self) -> Option<&'static str> {
        match self.kind {
            RejectionKind::MissingToken | RejectionKind::Origin | RejectionKind::Request(_) => None,
            RejectionKind::InvalidRequest => Some("invalid_request"),
            RejectionKind::InvalidToken(_) => Some("invalid_token"),
            RejectionKind::InvalidProof(failure) => Some(failure.error_code()),
            RejectionKind::InsufficientScope => Some("insufficient_scope"),
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => Some("temporarily_unavailable"),
            RejectionKind::Internal => Some("server_error"),
        }
    }

    /// The value of the `WWW-Authenticate` header, if this kind of rejection has one.
    #[must_use]
    pub fn challenge(&self) -> Option<HeaderValue> {
        self.challenge_with(self.error_code())
    }

    /// The challenge with this error code.
    pub(crate) fn challenge_with(&self, code: Option<&str>) -> Option<HeaderValue> {
        let guard = self.guard.as_ref()?;
        let asks_for_token = matches!(
            self.kind,
            RejectionKind::MissingToken
                | RejectionKind::InvalidRequest
                | RejectionKind::InvalidToken(_)
                | RejectionKind::InvalidProof(_)
                | RejectionKind::InsufficientScope
        );
        let is_of_proof = matches!(self.kind, RejectionKind::InvalidProof(_));
        let error = code.map(|code| ChallengeError { code, description: self.description(), is_of_proof });
        let scopes = match self.kind {
            RejectionKind::MissingToken if !guard.initial_scopes.is_empty() => {
                Cow::Owned(self.scopes.union(&guard.initial_scopes))
            }
            _ => Cow::Borrowed(&self.scopes),
        };
        asks_for_token.then(|| guard.challenge(error, &scopes))
    }

    pub(crate) const fn new(kind: RejectionKind) -> Self {
        Self { kind, guard: None, scopes: Scopes::EMPTY, body: None }
    }

    /// The JSON body of the response; empty if there is none.
    pub(super) fn body(&self) -> Bytes {
        match (&self.body, self.error_code()) {
            (Some(body), _) => body.clone(),
            (None, None) => Bytes::new(),
            // JSON would escape none of the characters of these texts.
            (None, Some(code)) => {
                Bytes::from(["{\"error\":\"", code, "\",\"error_description\":\"", self.description(), "\"}"].concat())
            }
        }
    }
}

impl From<NoToken> for Rejection {
    fn from(reason: NoToken) -> Self {
        Self::new(match reason {
            NoToken::Missing | NoToken::OtherScheme => RejectionKind::MissingToken,
            NoToken::Malformed | NoToken::WrongHeader => RejectionKind::InvalidRequest,
            NoToken::Rejected(failure) => RejectionKind::InvalidToken(failure),
        })
    }
}

impl From<VerifyError> for Rejection {
    fn from(error: VerifyError) -> Self {
        error.kind().into()
    }
}

/// This is the only place that chooses the status for a failed verification.
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
