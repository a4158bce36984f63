use std::error::Error as StdError;
use std::fmt;

/// Why no answer arrived.
#[derive(Debug)]
pub struct HttpError {
    kind: HttpErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kept an answer from arriving.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpErrorKind {
    /// No connection: name not found, refused, TLS failure. Such a request is tried once more.
    Connect,
    /// The connection ended before the head of an answer was complete, as one that was kept from an earlier request may at
    /// any moment. Such a request is tried once more.
    Closed,
    /// The time was up.
    Timeout,
    /// The answer was larger than [`RequestLimits::body`](super::RequestLimits::body).
    TooLarge,
    /// The address is one that [`RequestLimits::addresses`](super::RequestLimits::addresses) forbids.
    ForbiddenAddress,
    /// The answer has a content coding (RFC 9110, section 8.4), although the request asks for none.
    Encoded,
    /// The client followed a redirect, which it must not.
    Redirected,
    /// The request could not be written.
    Unsendable,
    /// The client itself could not be set up: this machine has no CA certificates, say.
    Setup,
    /// Anything else on the way, such as a connection that broke.
    Other,
}

impl HttpError {
    /// An error of this kind.
    #[must_use]
    pub const fn new(kind: HttpErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kept the answer from arriving.
    #[must_use]
    pub const fn kind(&self) -> HttpErrorKind {
        self.kind
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            HttpErrorKind::Connect => "no connection could be made",
            HttpErrorKind::Closed => "the connection ended before an answer",
            HttpErrorKind::Timeout => "no answer came in time",
            HttpErrorKind::TooLarge => "the answer is too large",
            HttpErrorKind::ForbiddenAddress => {
                "the address is private, link-local or loopback, where a fetched document must not lead; if it is right, \
                 call `jwks_uri(..)` or `introspection_endpoint(..)` with the URL"
            }
            HttpErrorKind::Encoded => "the answer has a content coding, although the request asks for none",
            HttpErrorKind::Redirected => "the answer comes from another URL: build the client without redirects",
            HttpErrorKind::Unsendable => "the request cannot be written",
            HttpErrorKind::Setup => "the HTTP client cannot be set up",
            HttpErrorKind::Other => "the exchange broke off",
        })
    }
}

impl StdError for HttpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        })
    }
}
