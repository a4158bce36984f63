//! Issuers whose tokens the application verifies, and issuers that clients must not ask for tokens.

use std::sync::Arc;

use super::Issuer;
use super::config::{Publication, Source};
use crate::introspection::LookupLimits;
use crate::verify::TokenVerifier;

impl Issuer {
    /// Uses your own [`TokenVerifier`] for opaque tokens, and for JWTs whose `iss` is `name`. The
    /// [guide](crate::guide::own_verifier) shows how to write one.
    ///
    /// `name` need not be a URL: any visible ASCII text without quotes, of at most 2,048 bytes, is accepted.
    /// [`AuthInfo::issuer`](crate::AuthInfo::issuer) returns it for the results of
    /// [`Verified::for_this_resource`](crate::verify::Verified::for_this_resource). It is not published in
    /// `authorization_servers`, unless [`published`](Self::published) is called.
    ///
    /// At most one issuer of a resource server accepts opaque tokens, unless
    /// [`route_opaque`](crate::ResourceServerBuilder::route_opaque) selects the issuer.
    pub fn with_verifier(name: impl Into<Box<str>>, verifier: impl TokenVerifier) -> Self {
        Self::new(name, Source::Verifier(Arc::new(verifier)))
    }

    /// Gives the [`TokenVerifier`] of this issuer a cache, a limit of concurrent calls with a queue, and a circuit breaker: those
    /// of [introspection](crate::introspection).
    ///
    /// Use it for a verifier that sends requests or queries. Without it, each request calls the verifier, so that anybody can
    /// cause as many queries as requests. Concurrent requests with the same token share one call.
    /// [`forget`](crate::ResourceServer::forget) removes a token from the cache.
    ///
    /// [Events](crate::events), metrics, log lines and [`IssuerHealth::introspection`](crate::server::IssuerHealth::introspection)
    /// are those of introspection, with the name of this issuer. They show each call of the verifier as an introspection.
    ///
    /// It needs a tokio runtime, and a build with a cryptography backend.
    ///
    /// ```
    /// # use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError};
    /// # struct Sessions;
    /// # impl TokenVerifier for Sessions {
    /// #     async fn verify(&self, _: &str) -> Result<Verified, VerifyError> { Err(CheckFailure::Inactive.into()) }
    /// # }
    /// use std::time::Duration;
    ///
    /// use mcp_bearer::Issuer;
    /// use mcp_bearer::introspection::LookupLimits;
    ///
    /// let limits = LookupLimits::new().max_in_flight(10).positive_cache(Duration::from_secs(10));
    /// let issuer = Issuer::with_verifier("urn:example:sessions", Sessions).verifier_limits(limits);
    /// ```
    #[must_use]
    pub fn verifier_limits(mut self, limits: LookupLimits) -> Self {
        self.verifier_limits = Some(limits);
        self.independent()
    }

    /// Publishes this issuer in `authorization_servers` of the protected resource metadata (RFC 9728, section 2). Its identifier
    /// must be an https URL (or http on loopback), at which clients find an authorization server.
    ///
    /// Most issuers with such an identifier are published by default. Call it for an issuer that is not: one with a
    /// [`TokenVerifier`], one of Google Identity-Aware Proxy or Cloudflare Access, or one that was
    /// [`unpublished`](Self::unpublished).
    #[must_use]
    pub const fn published(mut self) -> Self {
        self.publication = Publication::Published;
        self
    }

    /// Leaves this issuer out of `authorization_servers` in the protected resource metadata (RFC 9728, section 2), and accepts
    /// its tokens as before.
    ///
    /// Use it if clients cannot request a token from this issuer themselves, for example because a gateway in front of this
    /// server adds the token. The issuers of Google Identity-Aware Proxy and Cloudflare Access are unpublished by default. If no
    /// issuer is published, the metadata has no `authorization_servers`, and the log has a warning when the server is built.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    ///
    /// let issuer = Issuer::discover("https://gateway.example.com").unpublished();
    /// ```
    #[must_use]
    pub const fn unpublished(mut self) -> Self {
        self.publication = Publication::Unpublished;
        self
    }
}
