use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::challenge::challenge;
use super::token::NoToken;
use crate::failure::CheckFailure;
use crate::protection::Protection;
use crate::scope::Scopes;
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
    /// What an `insufficient_scope` challenge names beyond the layer's own.
    scopes: Scopes,
}

/// What a [`Rejection`] is about; it decides the status.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// 401 without an error code: no bearer credentials.
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
            RejectionKind::Internal => "internal",
        }
    }

    /// The error code of the body, and of the challenge if there is one (RFC 6750, section 3.1).
    #[must_use]
    pub const fn error_code(&self) -> Option<&'static str> {
        match self.kind {
            RejectionKind::MissingToken => None,
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
            RejectionKind::Internal => "The server is not set up for this request",
        }
    }

    /// The `WWW-Authenticate` header, for those refusals that have one.
    #[must_use]
    pub fn challenge(&self) -> Option<HeaderValue> {
        let protection = self.protection.as_ref()?;
        let required = || protection.required.challenge().without(OFFLINE_ACCESS);
        let error = || self.error_code().map(|code| (code, self.description()));
        match self.kind {
            RejectionKind::MissingToken => Some(challenge(protection, None, &required())),
            RejectionKind::InvalidRequest | RejectionKind::InvalidToken(_) => {
                Some(challenge(protection, error(), &required()))
            }
            // All scopes of the operation in one challenge: older clients ask for exactly these (MCP 2026-07-28).
            RejectionKind::InsufficientScope => {
                let scopes = required().union(&self.scopes).without(OFFLINE_ACCESS);
                Some(challenge(protection, error(), &scopes))
            }
            RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured | RejectionKind::Internal => None,
        }
    }

    /// The whole response.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let body = match self.error_code() {
            None => Bytes::new(),
            Some(code) => {
                // Neither text has a character that JSON would escape.
                let parts = ["{\"error\":\"", code, "\",\"error_description\":\"", self.description(), "\"}"];
                Bytes::from(parts.concat())
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        self.complete(&mut response);
        let headers = response.headers_mut();
        if self.error_code().is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }

    /// Puts into any response what a refusal must have: its challenge before those of other schemes, `no-store`, and
    /// itself.
    pub(super) fn complete(&self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge() {
            // A response that was made of `to_response` has the challenge already.
            let others = headers.get_all(header::WWW_AUTHENTICATE).iter().filter(|other| !is_bearer(other));
            let others: Vec<_> = others.cloned().collect();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
            for other in others {
                headers.append(header::WWW_AUTHENTICATE, other);
            }
        }
        if let RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured = self.kind {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after()));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(self.clone());
    }

    /// When another try makes sense, in seconds: the word of the server that is needed, else 5 s, at least 1 s, at most a
    /// minute. A part of a second counts as a whole one: who comes back early is refused again.
    fn retry_after(&self) -> u64 {
        let time = match self.kind {
            RejectionKind::Unavailable { retry_after: Some(time) } => time.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER),
            _ => DEFAULT_RETRY_AFTER,
        };
        time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
    }

    pub(crate) const fn new(kind: RejectionKind) -> Self {
        Self { kind, protection: None, scopes: Scopes::EMPTY }
    }

    pub(super) fn insufficient_scope(protection: Arc<Protection>, scopes: Scopes) -> Self {
        Self { kind: RejectionKind::InsufficientScope, protection: Some(protection), scopes }
    }

    pub(crate) fn guarded_by(mut self, protection: &Arc<Protection>) -> Self {
        self.protection = Some(Arc::clone(protection));
        self
    }
}

impl From<NoToken> for Rejection {
    fn from(reason: NoToken) -> Self {
        Self::new(match reason {
            NoToken::Missing => RejectionKind::MissingToken,
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

fn is_bearer(challenge: &HeaderValue) -> bool {
    let scheme = challenge.as_bytes().split(|byte| matches!(byte, b' ' | b',')).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"Bearer")
}

/// Asking for it is between the client and the authorization server (MCP 2026-07-28).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
/// `Retry-After: 0` would ask for a storm.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
