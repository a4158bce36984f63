//! Requests to authorization servers: one trait, and the limits, the retry and the single flight that all requests share.
//!
//! The feature `reqwest` (on by default) brings an implementation. To send requests through another client, implement
//! [`HttpClient`] and pass it to [`Issuer::http_client`](crate::Issuer::http_client).

mod address;
mod catch_panic;
mod error;
mod get;
#[cfg(feature = "reqwest")]
mod public_address;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod single_flight;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

#[cfg(feature = "reqwest")]
pub(crate) use address::Reach;
pub use address::{AddressPolicy, RemoteAddress};
pub(crate) use catch_panic::{Panicked, catch_panic};
pub(crate) use error::DocumentError;
pub use error::{FetchError, FetchErrorKind, HttpError, HttpErrorKind};
pub(crate) use get::{attempt, get, retry_after};
#[cfg(feature = "reqwest")]
pub use reqwest::ReqwestClient;
pub(crate) use retry::{BackOff, may_be_retried, retry_pause};
pub(crate) use single_flight::SingleFlight;

/// Sends requests to authorization servers.
///
/// An implementation must keep these rules:
///
/// - It follows **no redirect**.
/// - It decodes nothing. Each request asks for no content coding, and a response that has one is rejected.
/// - It reads at most [`RequestLimits::body`] bytes of a response body, whatever `Content-Length` says.
/// - A response with any status is `Ok`. An [`HttpError`] means that there was no response.
/// - It connects only to addresses that [`RequestLimits::addresses`] allows. It checks the address of the connection itself,
///   not an earlier DNS response.
/// - It adds the [`RemoteAddress`] of the connection to the extensions of the response.
///
/// The caller limits the total time by dropping the future. A panic counts as a failed request.
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
///
/// /// Prints the URI of each request, and sends it with another client.
/// struct Printed<C>(C);
///
/// impl<C: HttpClient> HttpClient for Printed<C> {
///     fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
///         println!("request to {}", request.uri());
///         self.0.send(request, limits)
///     }
/// }
/// ```
pub trait HttpClient: Send + Sync + 'static {
    /// Sends `request`, whose URI is absolute, and reads the whole response.
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_>;
}

/// The future of [`HttpClient::send`].
pub type HttpFuture<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// The limits of one request.
///
/// ```
/// use mcp_bearer::http_client::{AddressPolicy, RequestLimits};
///
/// let limits = RequestLimits::new(64 * 1024, AddressPolicy::Any);
/// assert_eq!(limits.connect.as_secs(), 2);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most bytes of a response body. A longer body is [`HttpErrorKind::TooLarge`].
    pub body: usize,
    /// The time limit for making a connection: 2 s.
    pub connect: Duration,
    /// The addresses that the request may connect to.
    pub addresses: AddressPolicy,
}

impl RequestLimits {
    /// Limits for a response body of at most `body` bytes. The time limit for making a connection is 2 s.
    #[must_use]
    pub const fn new(body: usize, addresses: AddressPolicy) -> Self {
        Self { body, connect: CONNECT_TIMEOUT, addresses }
    }
}

impl<T: HttpClient + ?Sized> HttpClient for std::sync::Arc<T> {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        self.as_ref().send(request, limits)
    }
}

/// A TLS handshake takes two or three round trips. A server that needs longer is not available.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
