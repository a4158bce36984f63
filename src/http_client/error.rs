use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};

/// Why a request got no response.
///
/// ```
/// use mcp_bearer::http_client::{HttpError, HttpErrorKind};
///
/// let error = HttpError::new(HttpErrorKind::Connect).with_source(std::io::Error::other("connection refused"));
/// assert_eq!(error.kind(), HttpErrorKind::Connect);
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct HttpError {
    kind: HttpErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an [`HttpError`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HttpErrorKind {
    /// The name was not found, the connection was refused, or the TLS handshake failed. The request is retried once.
    #[error("no connection could be made")]
    Connect,
    /// The connection was closed before the head of a response was complete. This happens to idle connections at any time.
    /// The request is retried once.
    #[error("the connection was closed before a response")]
    Closed,
    /// The request exceeded its time limit.
    #[error("the request timed out")]
    Timeout,
    /// The response body was larger than [`RequestLimits::body`](super::RequestLimits::body).
    #[error("the response is too large")]
    TooLarge,
    /// [`RequestLimits::addresses`](super::RequestLimits::addresses) forbids the address.
    #[error(
        "the address is private, link-local or loopback, where a URL from a fetched document must not lead; if it is \
         correct, call `jwks_uri(..)` or `introspection_endpoint(..)` with the URL"
    )]
    ForbiddenAddress,
    /// The response has a content coding (RFC 9110, section 8.4), although the request asks for none.
    #[error("the response has a content coding, although the request asks for none")]
    Encoded,
    /// The client followed a redirect, which it must not do.
    #[error("the response comes from another URL; build the client without redirects")]
    Redirected,
    /// The request could not be built.
    #[error("the request cannot be built")]
    Unsendable,
    /// The client could not be set up, for example because this machine has no CA certificates.
    #[error("the HTTP client cannot be set up")]
    Setup,
    /// Any other failure, such as a broken connection.
    #[error("the request failed")]
    Other,
}

impl HttpError {
    /// An error of this kind, without a source.
    #[must_use]
    pub const fn new(kind: HttpErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> HttpErrorKind {
        self.kind
    }
}

/// Why a request to an authorization server failed, or its response cannot be used.
///
/// ```
/// use mcp_bearer::http_client::{FetchError, FetchErrorKind};
///
/// let error = FetchError::new(FetchErrorKind::Status(503), "https://auth.example.com/jwks");
/// assert_eq!(error.kind(), FetchErrorKind::Status(503));
/// ```
#[derive(Debug, thiserror::Error)]
pub struct FetchError {
    kind: FetchErrorKind,
    url: Box<str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    subject: Subject,
}

/// The purpose of the request.
#[derive(Debug)]
enum Subject {
    /// A metadata document that was not found: all URLs that were tried, each with its result. This error is the most helpful of
    /// them.
    Metadata(Box<[TriedUrl]>),
    /// The result for a token, at an introspection endpoint.
    Introspection,
    Other,
}

/// One URL that was tried for a metadata document, and its result.
#[derive(Debug, Clone)]
struct TriedUrl {
    url: Box<str>,
    result: FetchErrorKind,
}

/// The kind of a [`FetchError`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchErrorKind {
    /// No response was received. The source is an [`HttpError`](crate::http_client::HttpError).
    NoResponse,
    /// The response has this status instead of 200.
    Status(u16),
    /// The response is not the expected document.
    Document,
    /// The metadata document has another issuer than the configured one (RFC 8414, section 3.3).
    IssuerMismatch,
    /// The authorization server rejected the client credentials of this server with this status (RFC 7662, section 2.3).
    CredentialsRejected(u16),
    /// The request could not be built and was not sent. See the source.
    Unsendable,
    /// The request was interrupted by a panic, or by the end of its runtime.
    Interrupted,
    /// A [`TokenVerifier`](crate::verify::TokenVerifier) of the application failed. There is no URL, but the name of the issuer.
    VerifierFailed,
    /// A [`TokenVerifier`](crate::verify::TokenVerifier) of the application cannot work until an operator changes something.
    VerifierMisconfigured,
    /// An [`ApiKeyStore`](crate::api_key::ApiKeyStore) of the application failed. There is no URL.
    KeyStoreFailed,
    /// An [`ApiKeyStore`](crate::api_key::ApiKeyStore) of the application returned a key with mistakes.
    KeyStoreMisconfigured,
}

impl FetchError {
    /// An error of this kind for the response from `url`.
    #[must_use]
    pub fn new(kind: FetchErrorKind, url: &str) -> Self {
        Self { kind, url: url.into(), retry_after: None, source: None, subject: Subject::Other }
    }

    /// The error for a request that failed. A response that is too large or encoded is still a response.
    pub(crate) fn from_http_error(url: &str, error: HttpError) -> Self {
        let kind = match error.kind() {
            HttpErrorKind::TooLarge | HttpErrorKind::Encoded => FetchErrorKind::Document,
            HttpErrorKind::Unsendable => FetchErrorKind::Unsendable,
            _ => FetchErrorKind::NoResponse,
        };
        Self::new(kind, url).with_source(error)
    }

    /// The error for a response whose status says that it is not the document.
    pub(crate) fn from_status(url: &str, status: StatusCode, headers: &HeaderMap) -> Self {
        let error = Self::new(FetchErrorKind::Status(status.as_u16()), url);
        match status {
            _ if status.is_redirection() => error.with_location(headers),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let source = DocumentError::new("the server requires authentication for this document");
                error.with_source(source.repaired_by(
                    "add credentials in your own `http_client(..)`, or call `jwks_uri(..)` if the key set needs none",
                ))
            }
            _ => error,
        }
    }

    /// Adds the target of a redirect, if the response has one.
    pub(crate) fn with_location(self, headers: &HeaderMap) -> Self {
        let Some(location) = headers.get(header::LOCATION) else { return self };
        let source = DocumentError::new("the response is a redirect, which is not followed");
        self.with_source(source.found(&String::from_utf8_lossy(location.as_bytes())))
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn with_boxed_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// This error, for a metadata document that none of the URLs in `tried` has.
    pub(crate) fn for_metadata(mut self, tried: impl IntoIterator<Item = (Box<str>, FetchErrorKind)>) -> Self {
        self.subject = Subject::Metadata(tried.into_iter().map(|(url, result)| TriedUrl { url, result }).collect());
        self
    }

    /// This error, for an introspection.
    pub(crate) fn for_introspection(mut self) -> Self {
        self.subject = Subject::Introspection;
        self
    }

    pub(crate) const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// The `Retry-After` of the response.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The URL of the request.
    #[must_use]
    pub const fn url(&self) -> &str {
        &self.url
    }

    /// Whether the error is about a metadata document, and not about a key set or an introspection.
    pub(crate) const fn is_about_metadata(&self) -> bool {
        matches!(self.subject, Subject::Metadata(_))
    }

    /// Whether the error is about the response of an introspection endpoint.
    pub(crate) const fn is_about_introspection(&self) -> bool {
        matches!(self.subject, Subject::Introspection)
    }

    /// The defect of the document, if that is the cause.
    pub(crate) fn document(&self) -> Option<&DocumentError> {
        self.source.as_ref()?.downcast_ref()
    }

    /// The error of the HTTP client, if that is the cause.
    pub(crate) fn http_error(&self) -> Option<&HttpError> {
        self.source.as_ref()?.downcast_ref()
    }

    /// Whether no connection could be made.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self.http_error().map(HttpError::kind), Some(HttpErrorKind::Connect | HttpErrorKind::ForbiddenAddress))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match &self.subject {
            // The document of another issuer is the one that matters.
            Subject::Metadata(tried) if tried.len() > 1 && self.kind != FetchErrorKind::IssuerMismatch => {
                let separators = std::iter::once(" ").chain(std::iter::repeat(", "));
                f.write_str("no metadata at")?;
                return tried.iter().zip(separators).try_for_each(|(tried, separator)| write!(f, "{separator}{tried}"));
            }
            _ => {}
        }
        match self.kind {
            FetchErrorKind::NoResponse => write!(f, "no response from {url}"),
            FetchErrorKind::Status(status) => write!(f, "status {status} from {url}"),
            FetchErrorKind::Document => write!(f, "{url} did not respond with the expected document"),
            FetchErrorKind::IssuerMismatch => write!(f, "{url} has another issuer than the configured one"),
            FetchErrorKind::CredentialsRejected(status) => {
                write!(f, "{url} rejects the client credentials of this server with status {status}")
            }
            FetchErrorKind::Unsendable => write!(f, "the request to {url} cannot be built"),
            FetchErrorKind::Interrupted => write!(f, "the request to {url} was interrupted"),
            FetchErrorKind::VerifierFailed => write!(f, "the token verifier of {url} failed"),
            FetchErrorKind::VerifierMisconfigured => write!(f, "the token verifier of {url} is misconfigured"),
            FetchErrorKind::KeyStoreFailed => f.write_str("the API key store failed"),
            FetchErrorKind::KeyStoreMisconfigured => f.write_str("the API key store returned a key with mistakes"),
        }
    }
}

impl fmt::Display for TriedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match self.result {
            FetchErrorKind::NoResponse => write!(f, "{url} (no response)"),
            FetchErrorKind::Status(status @ 300..=399) => write!(f, "{url} (status {status}, a redirect)"),
            FetchErrorKind::Status(status) => write!(f, "{url} (status {status})"),
            FetchErrorKind::Document => write!(f, "{url} (not the expected document)"),
            FetchErrorKind::IssuerMismatch => write!(f, "{url} (another issuer)"),
            _ => write!(f, "{url} (failed)"),
        }
    }
}

/// A defect of a fetched document.
///
/// `Display` shows the invalid value to the operator who configures the server. Log lines leave it out.
#[derive(Debug, thiserror::Error)]
#[error("{message}{found}{repair}")]
pub(crate) struct DocumentError {
    message: String,
    /// The invalid value with what comes around it in the text.
    found: String,
    /// The invalid value alone, escaped and cut.
    value: Option<Box<str>>,
    repair: String,
}

impl DocumentError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), found: String::new(), value: None, repair: String::new() }
    }

    /// The body of a response is not valid JSON.
    pub(crate) fn not_json(response: &Response<Bytes>, error: &serde_json::Error) -> Self {
        let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        let kind = kind.filter(|kind| !kind.to_ascii_lowercase().contains("json"));
        let (document, mut invalid) = (response.body(), Self::not_json_text(response.body(), error));
        if let Some(kind) = kind.filter(|_| !document.is_empty()) {
            invalid.found = format!(" (content type \"{}\")", shortened(&kind));
        }
        invalid
    }

    fn not_json_text(document: &[u8], error: &serde_json::Error) -> Self {
        match document.trim_ascii_start() {
            [] => Self::new("the document is empty"),
            [0xef, 0xbb, 0xbf, ..] => {
                Self::new("the document begins with a byte order mark, which is not valid JSON (RFC 8259, section 8.1)")
                    .repaired_by("serve the document without it")
            }
            [b'<', ..] => Self::new("the document is HTML or XML, not JSON").repaired_by(
                "check the path of the URL, such as its realm or tenant, or call `well_known_url(..)` or `jwks_uri(..)` with the \
                 right one",
            ),
            _ if std::str::from_utf8(document).is_err() => Self::new("the document is not UTF-8"),
            // The message of `serde_json` can contain a part of the document.
            _ => Self::new(format!(
                "the document is not a JSON object with unique names (line {}, column {})",
                error.line(),
                error.column()
            )),
        }
    }

    /// Adds the invalid value, escaped and cut.
    pub(crate) fn found(mut self, value: &str) -> Self {
        let shown = shortened(value);
        self.found = format!(": \"{shown}\"");
        self.value = Some(shown.into());
        self
    }

    /// The invalid value, escaped and cut to 128 characters.
    pub(crate) fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Adds what the operator can do.
    pub(crate) fn repaired_by(mut self, repair: &str) -> Self {
        self.repair = format!("; {repair}");
        self
    }

    /// The repair for the operator.
    pub(crate) fn repair(&self) -> &str {
        self.repair.trim_start_matches("; ")
    }

    /// The text for log lines, without any byte of the document.
    pub(crate) fn for_log(&self) -> String {
        [&*self.message, &*self.repair].concat()
    }
}

/// A value from a response, escaped and cut.
fn shortened(value: &str) -> String {
    value.chars().flat_map(char::escape_default).take(MAX_FOUND).collect()
}

/// The most characters of an invalid value in an error: most URLs fit.
pub(crate) const MAX_FOUND: usize = 128;
