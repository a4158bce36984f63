use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::Guard;
use super::token::NoToken;
use crate::failure::CheckFailure;
use crate::scope::Scopes;
use crate::verify::{VerifyError, VerifyErrorKind};

/// Why a request was rejected, and what its sender is told.
///
/// The extensions of every rejected request's response contain one.
/// [`AuthInfo::require_scopes`](crate::AuthInfo::require_scopes) returns one, and with the feature `axum` it is a response:
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use mcp_bearer::{AuthInfo, Rejection};
///
/// async fn delete_note(auth: AuthInfo) -> Result<&'static str, Rejection> {
///     auth.require_scopes(["notes:write"])?;
///     Ok("deleted")
/// }
/// # }
/// ```
#[derive(Clone, thiserror::Error)]
#[error("{}", self.description())]
pub struct Rejection {
    kind: RejectionKind,
    /// `None` if no layer saw the request, or before a layer adopts the rejection.
    guard: Option<Arc<Guard>>,
    /// The scopes that the challenge names besides the layer's own.
    scopes: Scopes,
    /// Replaces the JSON object of OAuth as the body of the response.
    body: Option<Bytes>,
}

/// The reason of a [`Rejection`], which decides the status.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// 401 without an error code: the request has no credentials, or credentials of another scheme than `Bearer`.
    MissingToken,
    /// 400 `invalid_request`: the credentials are not one bearer token.
    InvalidRequest,
    /// 401 `invalid_token`: the access token is invalid.
    InvalidToken(CheckFailure),
    /// 403 `insufficient_scope`: the access token is valid and does not grant enough.
    InsufficientScope,
    /// 503: the access token cannot be verified now.
    #[non_exhaustive]
    Unavailable {
        /// When the server that is needed asks for another attempt.
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

/// A reason to reject a request that no other access token would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFailure {
    pub(crate) status: StatusCode,
    pub(crate) label: &'static str,
    pub(crate) description: &'static str,
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
        self.label
    }

    /// The fixed sentence that the client reads.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.description
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
        match self.kind {
            RejectionKind::MissingToken | RejectionKind::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            RejectionKind::InvalidRequest => StatusCode::BAD_REQUEST,
            RejectionKind::InsufficientScope | RejectionKind::Origin => StatusCode::FORBIDDEN,
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => StatusCode::SERVICE_UNAVAILABLE,
            RejectionKind::Request(failure) => failure.status,
            RejectionKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A stable name of the [kind](Self::kind), for metrics and logs: the `kind` field of this crate's own log lines.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self.kind {
            RejectionKind::MissingToken => "missing_token",
            RejectionKind::InvalidRequest => "invalid_request",
            RejectionKind::InvalidToken(_) => "invalid_token",
            RejectionKind::InsufficientScope => "insufficient_scope",
            RejectionKind::Unavailable { .. } => "unavailable",
            RejectionKind::Misconfigured => "misconfigured",
            RejectionKind::Origin => "origin",
            RejectionKind::Request(_) => "request",
            RejectionKind::Internal => "internal",
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
            RejectionKind::InsufficientScope => Some("insufficient_scope"),
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => Some("temporarily_unavailable"),
            RejectionKind::Internal => Some("server_error"),
        }
    }

    /// The sentence that the client reads. It is the same for all requests of one kind.
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
            RejectionKind::Origin => "The origin of the request is not allowed",
            RejectionKind::Request(failure) => failure.description,
            RejectionKind::Internal => "The server is not set up for this request",
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
        match self.kind {
            RejectionKind::MissingToken
            | RejectionKind::InvalidRequest
            | RejectionKind::InvalidToken(_)
            | RejectionKind::InsufficientScope => {
                Some(guard.challenge(code.map(|code| (code, self.description())), &self.scopes))
            }
            RejectionKind::Unavailable { .. }
            | RejectionKind::Misconfigured
            | RejectionKind::Origin
            | RejectionKind::Request(_)
            | RejectionKind::Internal => None,
        }
    }

    pub(crate) const fn new(kind: RejectionKind) -> Self {
        Self { kind, guard: None, scopes: Scopes::EMPTY, body: None }
    }

    /// Names these scopes in the challenge, besides those of the layer.
    pub(crate) fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    pub(super) fn guarded_by(mut self, guard: &Arc<Guard>) -> Self {
        self.guard = Some(Arc::clone(guard));
        self
    }

    /// Responds with this JSON instead of OAuth's.
    pub(crate) fn with_body(mut self, json: Bytes) -> Self {
        self.body = Some(json);
        self
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
            NoToken::Malformed => RejectionKind::InvalidRequest,
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
