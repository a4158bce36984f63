//! How the crate reaches an authorization server: one trait, its limits, and the retry that all requests share.
//!
//! With the feature `reqwest` (on by default) nothing of this needs a thought. To route requests through a client of
//! your own, implement [`HttpClient`] and hand it to [`Issuer::http_client`](crate::Issuer::http_client).

mod address;
mod document_error;
mod error;
mod exchange;
mod fetch_error;
#[cfg(feature = "reqwest")]
mod public_address;
#[cfg(feature = "reqwest")]
mod reqwest;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

#[cfg(feature = "reqwest")]
pub(crate) use address::Reach;
pub use address::{AddressPolicy, RemoteAddress};
pub(crate) use document_error::DocumentError;
pub use error::{HttpError, HttpErrorKind};
pub(crate) use exchange::{attempt, exchange, may_be_retried, retry_after, retry_pause};
pub use fetch_error::{FetchError, FetchErrorKind};
#[cfg(feature = "reqwest")]
pub use reqwest::ReqwestClient;

/// Sends requests to authorization servers.
///
/// An implementation follows **no redirect**, decompresses nothing (each request asks for no content coding, and an answer
/// that has one is refused), and reads no more than
/// [`RequestLimits::body`] bytes of an answer, whatever its `Content-Length` says. Any status is an `Ok` answer: only
/// what kept an answer from arriving is an [`HttpError`]. It connects only where [`RequestLimits::addresses`] allows,
/// and judges the address that it connects to, not an earlier answer of the name server. It puts the [`RemoteAddress`] of
/// the connection into the extensions of the answer. The total time is bounded by the caller, who drops the future. A panic
/// counts as a failed request.
pub trait HttpClient: Send + Sync + 'static {
    /// Sends `request`, whose URI is absolute, and reads the whole answer.
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_>;
}

/// What [`HttpClient::send`] returns.
pub type HttpFuture<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// What one request may cost.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most bytes of an answer's body that are read; more is [`HttpErrorKind::TooLarge`].
    pub body: usize,
    /// The most time until a connection stands.
    pub connect: Duration,
    /// Which addresses may be connected to.
    pub addresses: AddressPolicy,
}

impl RequestLimits {
    pub(crate) const fn new(body: usize, addresses: AddressPolicy) -> Self {
        Self { body, connect: CONNECT_TIMEOUT, addresses }
    }
}

impl<T: HttpClient + ?Sized> HttpClient for std::sync::Arc<T> {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        self.as_ref().send(request, limits)
    }
}

/// A handshake takes two or three round trips; a server that needs longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
