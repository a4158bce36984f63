use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::http_client::{HttpError, HttpErrorKind};

/// Why there is no key for a token.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The issuer's current key set has no such key: the token is refused.
    #[error("the key set holds no such key")]
    Unknown,
    /// The key set could not be had, so the token cannot be judged.
    #[error("the key set is not available")]
    Unavailable {
        /// When the authorization server said that another try makes sense.
        retry_after: Option<Duration>,
        /// What went wrong, if known.
        #[source]
        source: Option<Arc<FetchError>>,
    },
}

/// Why a document of an authorization server could not be had.
#[derive(Debug)]
pub struct FetchError {
    kind: FetchErrorKind,
    url: Box<str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kept a document from being had.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchErrorKind {
    /// No answer: see the source, an [`HttpError`](crate::http_client::HttpError).
    NoAnswer,
    /// An answer with a status other than 200.
    Status(u16),
    /// An answer that is not the document.
    Document,
    /// Metadata of another issuer than the configured one (RFC 8414, section 3.3).
    IssuerMismatch,
    /// The attempt was cut off, by a panic or by the end of its runtime.
    Interrupted,
}

impl FetchError {
    /// An error of this kind about the document at `url`.
    #[must_use]
    pub fn new(kind: FetchErrorKind, url: &str) -> Self {
        Self { kind, url: url.into(), retry_after: None, source: None }
    }

    /// What an exchange failed of: one that brought too much did bring an answer.
    pub(crate) fn of_exchange(url: &str, error: HttpError) -> Self {
        let kind = match error.kind() {
            HttpErrorKind::TooLarge => FetchErrorKind::Document,
            _ => FetchErrorKind::NoAnswer,
        };
        Self::new(kind, url).with_source(error)
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// What kept the document from being had.
    #[must_use]
    pub const fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// Whether no connection could be made at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        let cause = self.source.as_ref().and_then(|source| source.downcast_ref::<HttpError>());
        cause.is_some_and(|cause| matches!(cause.kind(), HttpErrorKind::Connect | HttpErrorKind::ForbiddenAddress))
    }

    /// When the server said that another try makes sense.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match self.kind {
            FetchErrorKind::NoAnswer => write!(f, "no answer from {url}"),
            FetchErrorKind::Status(status) => write!(f, "status {status} from {url}"),
            FetchErrorKind::Document => write!(f, "{url} did not answer with the expected document"),
            FetchErrorKind::IssuerMismatch => write!(f, "{url} names another issuer than the configured one"),
            FetchErrorKind::Interrupted => write!(f, "the request to {url} was interrupted"),
        }
    }
}

impl StdError for FetchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        })
    }
}
