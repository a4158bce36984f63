use std::error::Error as StdError;
use std::time::Duration;

use crate::api_key::lookup_id;
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::introspection::{IntrospectionError, LookupError, LookupErrorKind, TokenStatus};
use crate::keys::KeyError;
use crate::log::Cause;

/// Why a token was not verified.
///
/// ```
/// use std::time::Duration;
///
/// use mcp_bearer::verify::{CheckFailure, VerifyError};
///
/// // The caller gets 401.
/// let invalid = VerifyError::from(CheckFailure::Inactive);
/// // The caller gets 503 with `Retry-After: 30`. The source is logged.
/// let outage = VerifyError::unavailable(Some(Duration::from_secs(30))).with_source("the database is down");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct VerifyError {
    kind: VerifyErrorKind,
    /// The configured issuer, for the log.
    pub(crate) issuer: Option<Box<str>>,
    /// The key id in the token's header, for the log.
    pub(crate) kid: Option<Box<str>>,
    /// The expected and the found value of the failed check, for the log.
    pub(crate) detail: Option<Box<Detail>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of a [`VerifyError`]. It decides between the status codes 401 and 503.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyErrorKind {
    /// The token is invalid: 401.
    #[error("the token is invalid: {0}")]
    Invalid(CheckFailure),
    /// The token cannot be verified at the moment: 503. An outage never makes a token invalid.
    #[non_exhaustive]
    #[error("the token cannot be verified at the moment")]
    Unavailable {
        /// The time until the next attempt, if it is known.
        retry_after: Option<Duration>,
    },
    /// The token cannot be verified until an operator changes the configuration: 503, and an `error` event.
    #[error("the token cannot be verified with this configuration")]
    Misconfigured,
}

impl VerifyError {
    /// An error of this kind. For [`VerifyErrorKind::Unavailable`] use [`unavailable`](Self::unavailable).
    #[must_use]
    pub const fn new(kind: VerifyErrorKind) -> Self {
        Self { kind, issuer: None, kid: None, detail: None, source: None }
    }

    /// The token cannot be verified at the moment. The caller gets 503, with `Retry-After` if the time is known.
    #[must_use]
    pub const fn unavailable(retry_after: Option<Duration>) -> Self {
        Self::new(VerifyErrorKind::Unavailable { retry_after })
    }

    /// Adds the cause. It is logged, never sent.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// The status of the token of `issuer`, if this is an error of the token. The cache keeps only the failure, so the source is
    /// logged here.
    pub(super) fn into_status(self, issuer: &str) -> Result<TokenStatus, LookupError> {
        let source = self.source;
        let kind = match self.kind {
            VerifyErrorKind::Invalid(failure) => {
                let cause = source.as_deref().map(|source| tracing::field::display(Cause(source)));
                tracing::debug!(target: "mcp_bearer::introspection", issuer, cause, "the token verifier rejects a token");
                return Ok(TokenStatus::Rejected(failure));
            }
            VerifyErrorKind::Unavailable { retry_after } => LookupErrorKind::Unavailable { retry_after },
            VerifyErrorKind::Misconfigured => LookupErrorKind::Misconfigured,
        };
        Err(LookupError { kind, source })
    }

    pub(super) fn about(mut self, issuer: &str, kid: Option<&str>) -> Self {
        self.issuer = Some(issuer.into());
        self.kid = kid.map(Box::from);
        self
    }

    /// Adds the lookup id of an API key, which is not secret. The operator finds the stored key by it.
    pub(super) fn about_api_key(mut self, key: &[u8]) -> Self {
        self.kid = lookup_id(key).map(Box::from);
        self
    }
}

impl From<CheckFailure> for VerifyError {
    fn from(failure: CheckFailure) -> Self {
        Self::new(VerifyErrorKind::Invalid(failure))
    }
}

impl From<CheckError> for VerifyError {
    fn from(error: CheckError) -> Self {
        Self { detail: error.detail, ..error.failure.into() }
    }
}

impl From<KeyError> for VerifyError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => CheckFailure::UnknownKey.into(),
            KeyError::Unusable => Self::unavailable(None).with_source(error),
            KeyError::Unavailable { retry_after, source } => {
                Self { source: source.map(Into::into), ..Self::unavailable(retry_after) }
            }
        }
    }
}

impl From<IntrospectionError> for VerifyError {
    fn from(error: IntrospectionError) -> Self {
        let kind = match error {
            IntrospectionError::Failed { is_misconfiguration: true, .. } => VerifyErrorKind::Misconfigured,
            _ => VerifyErrorKind::Unavailable { retry_after: error.retry_after() },
        };
        Self::new(kind).with_source(error)
    }
}
