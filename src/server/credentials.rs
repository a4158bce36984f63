//! The setters that decide which credentials a request may have.

use super::ResourceServerBuilder;
use crate::bearer::DevelopmentIdentity;

impl ResourceServerBuilder {
    /// Reads the token from this header and not from `Authorization`, for a proxy that logs users in and passes a signed
    /// JWT on. A server has one such header: the last call counts. [`google_iap`](crate::issuer::providers::google_iap) and
    /// [`cloudflare_access`](crate::issuer::providers::cloudflare_access) bring their header, and do not need this call.
    ///
    /// The value is the token alone; a `Bearer` before it is removed. The token is verified like any other. A request with an
    /// `Authorization` header gets 400 (`invalid_request`), whatever is in it, and so does one that has the header twice.
    ///
    /// Let the proxy remove the header from requests that it receives. The [guide](crate::guide::other_headers) says why, and
    /// which proxies fit. Headers with the name of a user and without a signature are not supported.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp").token_from("cf-access-jwt-assertion");
    /// ```
    ///
    /// The build fails if the name is not a header name, or is one with another meaning, such as `authorization`, `cookie`,
    /// `host` or `x-forwarded-user`.
    pub fn token_from(mut self, header: impl Into<Box<str>>) -> Self {
        self.token_header = Some(header.into());
        self
    }

    /// Accepts requests **without credentials** from this machine as `identity`, for development without an authorization
    /// server. Every program of every user of the machine can then send requests. Never call it on a server in production.
    ///
    /// It replaces the issuer, or is used beside one: a request with credentials is verified as usual, and gets 401 if no issuer
    /// accepts them. The identity does not have an issuer, an audience or an expiry, and
    /// [`AuthInfo::kind`](crate::AuthInfo::kind) is [`Development`](crate::CredentialKind::Development). Required scopes
    /// apply to it.
    ///
    /// Each request must come from this machine, or it gets 403, with and without credentials:
    ///
    /// - The address of the client is a loopback address. In axum, serve the application with
    ///   `into_make_service_with_connect_info::<SocketAddr>()`; other servers insert a [`PeerAddr`](crate::PeerAddr). Without
    ///   the address, each request gets 500.
    /// - The host of the request is `localhost` or a loopback address, against DNS rebinding.
    /// - No web page sends it, or one of a loopback origin.
    /// - It does not have a header that proxies add, such as `Forwarded`, `X-Forwarded-For`, `X-Real-IP` or `Via`.
    ///
    /// A proxy or a TCP tunnel on this machine that adds no such header hides where a request comes from: do not put the server
    /// behind one.
    ///
    /// The log warns at the start, and once a minute while the identity is used. The build fails unless the host of the
    /// resource is `localhost` or a loopback address.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use mcp_bearer::{BuildError, DevelopmentIdentity, ResourceServer};
    ///
    /// fn server() -> Result<ResourceServer, BuildError> {
    ///     ResourceServer::builder("http://localhost:8000/mcp")
    ///         .dangerously_trust_everyone_on_loopback(DevelopmentIdentity::new("dev").scopes(["mcp:tools"]))
    ///         .build_lazy()
    /// }
    /// # server().unwrap();
    /// # }
    /// ```
    pub fn dangerously_trust_everyone_on_loopback(mut self, identity: DevelopmentIdentity) -> Self {
        self.development = Some(identity);
        self
    }
}
