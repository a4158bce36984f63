use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::{DocumentError, HttpError, HttpErrorKind};

/// Why an answer of an authorization server could not be had, or could not be used.
#[derive(Debug)]
pub struct FetchError {
    kind: FetchErrorKind,
    url: Box<str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What was wrong with it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchErrorKind {
    /// No answer: see the source, an [`HttpError`](crate::http_client::HttpError).
    NoAnswer,
    /// An answer with a status other than 200.
    Status(u16),
    /// An answer that is not what was asked for.
    Document,
    /// Metadata of another issuer than the configured one (RFC 8414, section 3.3).
    IssuerMismatch,
    /// The authorization server refused this server's own client credentials (RFC 7662, section 2.3).
    CredentialsRefused(u16),
    /// The request could not be written, and was not sent: see the source.
    Unsendable,
    /// The attempt was cut off, by a panic or by the end of its runtime.
    Interrupted,
}

impl FetchError {
    /// An error of this kind about the answer from `url`.
    #[must_use]
    pub fn new(kind: FetchErrorKind, url: &str) -> Self {
        Self { kind, url: url.into(), retry_after: None, source: None }
    }

    /// The error for a failed exchange. A response that is too large or encoded is a response all the same.
    pub(crate) fn of_exchange(url: &str, error: HttpError) -> Self {
        let kind = match error.kind() {
            HttpErrorKind::TooLarge | HttpErrorKind::Encoded => FetchErrorKind::Document,
            HttpErrorKind::Unsendable => FetchErrorKind::Unsendable,
            _ => FetchErrorKind::NoAnswer,
        };
        Self::new(kind, url).with_source(error)
    }

    /// An answer with a status other than 200 to a request for a document.
    pub(crate) fn of_status(url: &str, status: StatusCode, retry_after: Option<Duration>) -> Self {
        let error = Self::new(FetchErrorKind::Status(status.as_u16()), url).with_retry_after(retry_after);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let source = DocumentError::new("the server gives this document only to those who authenticate");
                error.with_source(source.repaired_by(
                    "add credentials in an `http_client(..)` of your own, or call `jwks_uri(..)` if the keys need none",
                ))
            }
            _ => error,
        }
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

    /// What was wrong with the answer.
    #[must_use]
    pub const fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// Whether no connection could be made at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self.http_error(), Some(HttpErrorKind::Connect | HttpErrorKind::ForbiddenAddress))
    }

    fn http_error(&self) -> Option<HttpErrorKind> {
        self.source.as_ref()?.downcast_ref::<HttpError>().map(HttpError::kind)
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
            FetchErrorKind::CredentialsRefused(status) => {
                write!(f, "{url} refuses the client credentials of this server with status {status}")
            }
            FetchErrorKind::Unsendable => write!(f, "the request to {url} cannot be written"),
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
