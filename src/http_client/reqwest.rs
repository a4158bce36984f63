//! The default HTTP client. No other file uses the crate `reqwest`, so that it can be replaced or left out.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use ::reqwest::redirect::Policy;
use ::reqwest::{Client, ClientBuilder};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use url::Url;

use super::public_address::is_public;
use super::{AddressPolicy, HttpClient, HttpError, HttpErrorKind, HttpFuture, Reach, RemoteAddress, RequestLimits};
use crate::identifier::is_loopback_name;

/// The default [`HttpClient`]: `reqwest` with rustls and the platform's trust anchors.
///
/// It follows no redirect, decompresses nothing, uses no proxy, and closes idle connections after 90 s. Its time limits
/// are 2 s for a connection, and 30 s for a request.
#[derive(Clone)]
pub struct ReqwestClient {
    // Connects to any address.
    any_address: Client,
    // Connects to public addresses only. It is a separate client, so that it never reuses a connection to a private
    // address.
    public_only: Client,
    // Whether the remote address of a connection is that of the server, and not that of a proxy.
    connects_directly: bool,
}

impl ReqwestClient {
    /// Makes a client with the settings that the documentation of the type describes.
    ///
    /// # Errors
    /// [`HttpErrorKind::Setup`] if TLS cannot be set up on this machine, usually because it has no CA certificates.
    pub fn new() -> Result<Self, HttpError> {
        Self::configured(|builder| builder)
    }

    /// Makes a client with additional settings, such as your own root certificate, a client certificate, or a longer
    /// time limit for connections. Redirects, decompression, proxies and name resolution cannot be changed.
    ///
    /// `configure` is called twice, because there are two clients inside: one that connects to any address, and one
    /// that connects to public addresses only.
    ///
    /// # Errors
    /// [`HttpErrorKind::Setup`] if `reqwest` does not accept the settings, or TLS cannot be set up on this machine.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mcp_bearer::http_client::ReqwestClient;
    ///
    /// let client = ReqwestClient::configured(|builder| builder.connect_timeout(Duration::from_secs(1)))?;
    /// let issuer = mcp_bearer::Issuer::discover("https://auth.example.com").http_client(client);
    /// # Ok::<(), mcp_bearer::http_client::HttpError>(())
    /// ```
    pub fn configured(configure: impl Fn(ClientBuilder) -> ClientBuilder) -> Result<Self, HttpError> {
        Self::with_resolver(Arc::new(SystemResolver), configure)
    }

    /// Uses your own client, for a proxy or other settings that [`configured`](Self::configured) does not allow.
    ///
    /// It must be built with `redirect(reqwest::redirect::Policy::none())`, and has its own time limit for connections. It
    /// resolves names itself, so the resolved addresses are **not** checked, not even those of `localhost`. Only URLs with an
    /// address instead of a name are checked. A response has no [`RemoteAddress`], because that may be the address of a proxy.
    #[must_use]
    pub fn from_client(client: Client) -> Self {
        Self { any_address: client.clone(), public_only: client, connects_directly: false }
    }

    /// Makes a client for plain http on a machine without CA certificates. It trusts no certificate, so every https
    /// request fails.
    pub(crate) fn without_certificates() -> Result<Self, HttpError> {
        Self::configured(|builder| builder.tls_certs_only([]))
    }

    fn with_resolver(
        resolver: Arc<dyn Resolve>,
        configure: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, HttpError> {
        let build = |resolver| {
            with_fixed_settings(configure(default_settings())).dns_resolver(resolver).build().map_err(not_set_up)
        };
        let resolver: Arc<dyn Resolve> = Arc::new(PinnedLoopback(resolver));
        let public: Arc<dyn Resolve> = Arc::new(PublicOnly(Arc::clone(&resolver)));
        Ok(Self { any_address: build(resolver)?, public_only: build(public)?, connects_directly: true })
    }

    async fn send_request(&self, request: Request<Bytes>, limits: RequestLimits) -> Result<Response<Bytes>, HttpError> {
        let client = self.client_for(request.uri(), &limits.addresses)?;
        let request = ::reqwest::Request::try_from(request).map_err(other)?;
        let url = request.url().clone();
        let mut received = client.execute(request).await.map_err(classify)?;
        // A client that was passed to `from_client` may follow redirects, although it must not.
        if *received.url() != url {
            return Err(HttpError::new(HttpErrorKind::Redirected));
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = received.status();
        *response.headers_mut() = std::mem::take(received.headers_mut());
        if let Some(address) = received.remote_addr().filter(|_| self.connects_directly) {
            response.extensions_mut().insert(RemoteAddress::new(address));
        }
        *response.body_mut() = read_body(received, limits.body).await?;
        Ok(response)
    }

    fn client_for(&self, uri: &http::Uri, addresses: &AddressPolicy) -> Result<&Client, HttpError> {
        let url = Url::parse(&uri.to_string()).map_err(other)?;
        match addresses.reach(&url) {
            Reach::Anywhere => Ok(&self.any_address),
            Reach::PublicOnly => Ok(&self.public_only),
            Reach::Forbidden => Err(forbidden()),
        }
    }
}

impl fmt::Debug for ReqwestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestClient").finish_non_exhaustive()
    }
}

impl HttpClient for ReqwestClient {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        Box::pin(self.send_request(request, limits))
    }
}

async fn read_body(mut response: ::reqwest::Response, limit: usize) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(classify)? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(HttpError::new(HttpErrorKind::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The settings that the user can change.
fn default_settings() -> ClientBuilder {
    Client::builder().connect_timeout(super::CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT).user_agent(concat!(
        env!("CARGO_PKG_NAME"),
        "/",
        env!("CARGO_PKG_VERSION")
    ))
}

/// Adds the settings that the user cannot change.
fn with_fixed_settings(builder: ClientBuilder) -> ClientBuilder {
    builder
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        // Another crate in the build may enable these features of `reqwest`, which would then decompress responses.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
}

/// The resolver of the operating system.
#[derive(Debug)]
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// A resolver that resolves `localhost` names without DNS (RFC 6761, section 6.3). Plain http is allowed for such
/// names, so a DNS server must not be able to point them to another machine.
struct PinnedLoopback(Arc<dyn Resolve>);

impl Resolve for PinnedLoopback {
    fn resolve(&self, name: Name) -> Resolving {
        if !is_loopback_name(name.as_str()) {
            return self.0.resolve(name);
        }
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let addresses: Addrs = Box::new(loopback.into_iter().map(|address| SocketAddr::new(address, 0)));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// A resolver that removes every address that is not public.
///
/// `reqwest` resolves a name once for each connection, and connects only to the addresses that this resolver returns.
/// So a DNS server cannot replace an address after the check (DNS rebinding).
struct PublicOnly(Arc<dyn Resolve>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.0.resolve(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolving.await?.collect();
            let public: Vec<SocketAddr> = addresses.iter().copied().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() && !addresses.is_empty() {
                return Err(NotPublic.into());
            }
            let public: Addrs = Box::new(public.into_iter());
            Ok(public)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the name resolves to private, link-local or loopback addresses only")]
struct NotPublic;

fn classify(error: ::reqwest::Error) -> HttpError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(current) = cause {
        if current.is::<NotPublic>() {
            return forbidden();
        }
        cause = current.source();
    }
    let kind = if error.is_timeout() && !error.is_connect() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_request() && is_closed(&error) {
        HttpErrorKind::Closed
    } else {
        HttpErrorKind::Other
    };
    // The query of a URL may be confidential.
    HttpError::new(kind).with_source(error.without_url())
}

/// Whether the connection was closed before the head of the response was complete.
fn is_closed(error: &(dyn StdError + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = Some(error);
    while let Some(current) = cause {
        let is_closed = match current.downcast_ref::<std::io::Error>() {
            Some(error) => matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof),
            None => current.to_string() == INCOMPLETE,
        };
        if is_closed {
            return true;
        }
        cause = current.source();
    }
    false
}

fn not_set_up(error: ::reqwest::Error) -> HttpError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(current) = cause {
        if current.to_string().contains(NO_CERTIFICATES) {
            return HttpError::new(HttpErrorKind::Setup).with_source(NoCertificates);
        }
        cause = current.source();
    }
    HttpError::new(HttpErrorKind::Setup).with_source(error)
}

#[derive(Debug, thiserror::Error)]
#[error(
    "no CA certificates were found on this machine: install them (often as the package `ca-certificates`), check \
     `SSL_CERT_FILE` and `SSL_CERT_DIR`, or add your own with `ReqwestClient::configured`"
)]
struct NoCertificates;

fn forbidden() -> HttpError {
    HttpError::new(HttpErrorKind::ForbiddenAddress)
}

fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> HttpError {
    HttpError::new(HttpErrorKind::Other).with_source(error)
}

/// hyper's error message for a connection that was closed without a response. The message is compared, because the
/// error type would need a direct dependency on hyper. A test fails if the message changes.
const INCOMPLETE: &str = "connection closed before message completed";
/// The error message of rustls-platform-verifier if the machine has no CA certificates. A test fails if the message
/// changes.
const NO_CERTIFICATES: &str = "No CA certificates";
/// The time limit of a request if its caller sets none. The callers in this crate set their own, which are never
/// longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
