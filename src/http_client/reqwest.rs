//! The default HTTP client. No other file uses the crate `reqwest`, so that it can be replaced or left out.

use std::error::Error as StdError;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use ::reqwest::redirect::Policy;
use ::reqwest::{Client, ClientBuilder};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use url::Url;

use super::address::{Reach, is_public};
use super::{AddressPolicy, HttpClient, HttpError, HttpErrorKind, HttpFuture, RemoteAddress, RequestLimits};
use crate::identifier::is_loopback_name;

/// The default [`HttpClient`]: `reqwest` with rustls and the platform's trust anchors.
///
/// It follows no redirect, decompresses nothing, uses no proxy, and closes idle connections after 90 s. Its time limits
/// are 2 s for a connection, and 30 s for a request.
#[derive(Clone)]
pub struct ReqwestClient {
    // Connects to any address.
    any_address: Client,
    // Connects to public addresses only. It is a separate client, so it never reuses a connection to a private address.
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
        names: Arc<dyn Resolve>,
        configure: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, HttpError> {
        let build = |public_only| {
            let default = Client::builder().connect_timeout(super::CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT);
            let configured =
                configure(default.user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))));
            let fixed = configured.redirect(Policy::none()).no_proxy().referer(false);
            // Another crate in the build may enable these features of `reqwest`, which would then decompress responses.
            let fixed = fixed.no_gzip().no_brotli().no_deflate().no_zstd();
            let resolver = CheckedResolver { names: Arc::clone(&names), public_only };
            fixed.dns_resolver(Arc::new(resolver)).build().map_err(not_set_up)
        };
        Ok(Self { any_address: build(false)?, public_only: build(true)?, connects_directly: true })
    }

    fn client_for(&self, uri: &http::Uri, addresses: &AddressPolicy) -> Result<&Client, HttpError> {
        let url =
            Url::parse(&uri.to_string()).map_err(|error| HttpError::new(HttpErrorKind::Other).with_source(error))?;
        match addresses.reach(&url) {
            Reach::Anywhere => Ok(&self.any_address),
            Reach::PublicOnly => Ok(&self.public_only),
            Reach::Forbidden => Err(HttpError::new(HttpErrorKind::ForbiddenAddress)),
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
        Box::pin(async move {
            let client = self.client_for(request.uri(), &limits.addresses)?;
            let request = ::reqwest::Request::try_from(request)
                .map_err(|error| HttpError::new(HttpErrorKind::Other).with_source(error))?;
            let url = request.url().clone();
            let received = client.execute(request).await.map_err(classify)?;
            // A client that was passed to `from_client` may follow redirects, although it must not.
            if *received.url() != url {
                return Err(HttpError::new(HttpErrorKind::Redirected));
            }
            let address = received.remote_addr().filter(|_| self.connects_directly);
            let (mut head, body) = Response::<::reqwest::Body>::from(received).into_parts();
            head.extensions.clear();
            if let Some(address) = address {
                head.extensions.insert(RemoteAddress::new(address));
            }
            let body = Limited::new(body, limits.body).collect().await;
            let body = body.map_err(|error| match error.downcast::<::reqwest::Error>() {
                Ok(error) => classify(*error),
                Err(_) => HttpError::new(HttpErrorKind::TooLarge),
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
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

/// A resolver that resolves `localhost` names without DNS (RFC 6761, section 6.3), and can remove every address that is not
/// public.
///
/// Plain http is allowed for `localhost` names, so a DNS server must not be able to point them to another machine. `reqwest`
/// resolves a name once for each connection, and connects only to the addresses that this resolver returns. So a DNS server
/// cannot replace an address after the check (DNS rebinding).
struct CheckedResolver {
    names: Arc<dyn Resolve>,
    public_only: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only;
        let resolving = if is_loopback_name(name.as_str()) {
            let loopback = [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
            let loopback: Addrs = Box::new(loopback.into_iter());
            Box::pin(std::future::ready(Ok(loopback)))
        } else {
            self.names.resolve(name)
        };
        Box::pin(async move {
            let mut addresses: Vec<SocketAddr> = resolving.await?.collect();
            let is_found = !addresses.is_empty();
            addresses.retain(|address| !public_only || is_public(address.ip()));
            if is_found && addresses.is_empty() {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the name resolves to private, link-local or loopback addresses only")]
struct NotPublic;

fn classify(error: ::reqwest::Error) -> HttpError {
    if chain(&error).any(|cause| cause.is::<NotPublic>()) {
        return HttpError::new(HttpErrorKind::ForbiddenAddress);
    }
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_request() && chain(&error).any(is_closed) {
        HttpErrorKind::Closed
    } else {
        HttpErrorKind::Other
    };
    // The query of a URL may be confidential.
    HttpError::new(kind).with_source(error.without_url())
}

/// Whether this cause shows that the connection was closed before the head of the response was complete.
fn is_closed(cause: &(dyn StdError + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) => matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof),
        None => cause.to_string() == INCOMPLETE,
    }
}

fn not_set_up(error: ::reqwest::Error) -> HttpError {
    let setup = HttpError::new(HttpErrorKind::Setup);
    if chain(&error).any(|cause| cause.to_string().contains(NO_CERTIFICATES)) {
        return setup.with_source(
            "no CA certificates were found on this machine: install them (often as the package `ca-certificates`), check \
             `SSL_CERT_FILE` and `SSL_CERT_DIR`, or add your own with `ReqwestClient::configured`",
        );
    }
    setup.with_source(error)
}

/// An error and all its sources.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
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
