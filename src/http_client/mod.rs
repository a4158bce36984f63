//! Requests to authorization servers: one trait, and the limits, the retry and the single flight that all requests share.
//!
//! The feature `reqwest` (on by default) brings an implementation. To send requests through another client, implement
//! [`HttpClient`] and pass it to [`Issuer::http_client`](crate::Issuer::http_client).

#[cfg(feature = "reqwest")]
mod address;
mod back_off;
mod connection;
mod error;
#[cfg(feature = "reqwest")]
mod reqwest;
mod send;
mod single_flight;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use url::Url;

pub(crate) use back_off::BackOff;
pub(crate) use connection::ConnectionProblem;
pub(crate) use error::{DocumentError, MAX_FOUND};
pub use error::{FetchError, FetchErrorKind, HttpError, HttpErrorKind};
#[cfg(feature = "reqwest")]
pub use reqwest::ReqwestClient;
pub(crate) use send::{Panicked, attempt, catch_panic, get, may_be_retried, retry_after, retry_pause};
pub(crate) use single_flight::SingleFlight;

/// Sends requests to authorization servers.
///
/// An implementation must keep these rules:
///
/// - It follows **no redirect**.
/// - It decodes nothing. Each request asks for no content coding, and a response that has one is rejected.
/// - It reads at most [`RequestLimits::body`] bytes of a response body, whatever `Content-Length` says.
/// - A response with any status is `Ok`. An [`HttpError`] means that no response was received.
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

/// The addresses that a request may connect to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any address. The operator configured the URL, or it is from a document that was fetched from a private address.
    Any,
    /// Only public addresses, because the URL is from a document that somebody else wrote. The value is the host of the URL that
    /// the operator configured, with its port unless that is 443. It has two exceptions:
    ///
    /// 1. A request to exactly this host and port may connect to any address.
    /// 2. If the host is `localhost` or is written as a private address, every address is allowed.
    ///
    /// DNS records do not make this host a private one, because an attacker may control them.
    NoMorePrivateThan(Box<str>),
}

impl AddressPolicy {
    /// The policy for the URLs in a document that was fetched from a configured URL.
    pub(crate) fn for_document_at(url: &Url) -> Self {
        Self::NoMorePrivateThan(authority(url).into())
    }
}

/// The host of a URL, with its port unless that is 443.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match url.port_or_known_default() {
        None | Some(443) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// The address that a response came from.
///
/// An [`HttpClient`] adds it to the extensions of a response. The URLs of a metadata document may be private if it came from a
/// private address. Without this extension they may not.
///
/// ```
/// use mcp_bearer::http_client::RemoteAddress;
///
/// let mut response = http::Response::new("{}");
/// response.extensions_mut().insert(RemoteAddress::new(([192, 0, 2, 1], 443).into()));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddress(pub SocketAddr);

impl RemoteAddress {
    /// The address of the server.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Whether only a host on a private network can have this address: private use (RFC 1918), shared (RFC 6598), unique
    /// local (RFC 4193), link-local or loopback. The URLs in a document from such an address may lead to any address.
    #[must_use]
    pub fn is_private(self) -> bool {
        match self.0.ip().to_canonical() {
            IpAddr::V4(address) => {
                let is_shared = matches!(address.octets(), [100, 64..=127, ..]);
                address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
            }
            IpAddr::V6(address) => {
                address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
            }
        }
    }
}

impl<T: HttpClient + ?Sized> HttpClient for std::sync::Arc<T> {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        self.as_ref().send(request, limits)
    }
}

/// A TLS handshake takes two or three round trips. A server that needs longer is not available.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
