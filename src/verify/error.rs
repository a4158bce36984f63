use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::failure::CheckFailure;
use crate::introspection::IntrospectionError;
use crate::keys::KeyError;

/// Why a token was not verified.
#[derive(Debug)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    // For the log: a configured issuer, and what the token names as its key.
    issuer: Option<Box<str>>,
    kid: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kept a token from being verified. The difference decides between 401 and 503.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyErrorKind {
    /// The token is not good: 401.
    Invalid(CheckFailure),
    /// The token cannot be judged now: 503. An outage never makes a token bad.
    Unavailable {
        /// When another try makes sense, by the word of the server that is needed.
        retry_after: Option<Duration>,
    },
    /// The token cannot be judged before an operator changes something: 503, and an `error` event.
    Misconfigured,
}

impl VerifyError {
    /// An error of this kind.
    #[must_use]
    pub const fn new(kind: VerifyErrorKind) -> Self {
        Self { kind, issuer: None, kid: None, source: None }
    }

    /// Adds what caused it. It is logged, never sent.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn about(mut self, issuer: &str, kid: Option<&str>) -> Self {
        self.issuer = Some(issuer.into());
        self.kid = kid.map(Box::from);
        self
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What kept the token from being verified.
    #[must_use]
    pub const fn kind(&self) -> VerifyErrorKind {
        self.kind
    }
}

impl From<CheckFailure> for VerifyError {
    fn from(failure: CheckFailure) -> Self {
        Self::new(VerifyErrorKind::Invalid(failure))
    }
}

impl From<KeyError> for VerifyError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => CheckFailure::UnknownKey.into(),
            KeyError::Unusable => Self::new(VerifyErrorKind::Unavailable { retry_after: None }).with_source(error),
            KeyError::Unavailable { retry_after, source } => {
                let error = Self::new(VerifyErrorKind::Unavailable { retry_after });
                match source {
                    Some(source) => error.with_source(source),
                    None => error,
                }
            }
        }
    }
}

impl From<IntrospectionError> for VerifyError {
    fn from(error: IntrospectionError) -> Self {
        let kind = if error.is_misconfiguration() {
            VerifyErrorKind::Misconfigured
        } else {
            VerifyErrorKind::Unavailable { retry_after: error.retry_after() }
        };
        Self::new(kind).with_source(error)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            VerifyErrorKind::Invalid(failure) => write!(f, "the token is not valid: {failure}"),
            VerifyErrorKind::Unavailable { .. } => f.write_str("the token cannot be judged at the moment"),
            VerifyErrorKind::Misconfigured => f.write_str("the token cannot be judged with this configuration"),
        }
    }
}

impl StdError for VerifyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        })
    }
}
