//! The setters that decide which tokens of an issuer are introspected, and where.

use std::time::Duration;

use url::Url;

use super::Issuer;
use super::config::Introspected;
use crate::error::{BuildError, SetterMistake};
use crate::identifier::{self, PlainHttp};
use crate::introspection::Introspection;

impl Issuer {
    /// Introspects **every** token of this issuer (RFC 7662), JWTs too.
    ///
    /// Use it for tokens that only the authorization server can read, and where a revocation must be noticed within
    /// [`positive_cache`](Introspection::positive_cache). No key set is needed. A JWT of another issuer, an expired JWT, and a
    /// JWT that is marked as another kind of token are rejected without introspection.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    /// use mcp_bearer::introspection::ClientCredentials;
    ///
    /// let credentials = ClientCredentials::basic("mcp-server", "s3cret");
    /// let issuer = Issuer::discover("https://auth.example.com").introspect_all(credentials);
    /// ```
    #[must_use]
    pub fn introspect_all(self, introspection: impl Into<Introspection>) -> Self {
        self.introspected(Introspected::All, introspection.into())
    }

    /// Verifies JWTs locally, and introspects opaque tokens (RFC 7662).
    ///
    /// At most one issuer of a resource server accepts opaque tokens, unless
    /// [`route_opaque`](crate::ResourceServerBuilder::route_opaque) selects the issuer.
    #[must_use]
    pub fn introspect_opaque(self, introspection: impl Into<Introspection>) -> Self {
        self.introspected(Introspected::Opaque, introspection.into())
    }

    /// Introspects tokens at this URL instead of the `introspection_endpoint` of the metadata. No metadata is fetched then
    /// with [`jwks_uri`](Self::jwks_uri) or [`introspect_all`](Self::introspect_all).
    ///
    /// [`build`](crate::ResourceServerBuilder::build) introspects one made-up token there. It fails if the URL does not introspect:
    /// if no connection is made, or if the response is a redirect, HTML, or has a status such as 405 or 500. 401, 403 and 404
    /// without the error code `invalid_client` are one warning, because some endpoints respond so to an unknown token.
    #[must_use]
    pub fn introspection_endpoint(mut self, url: impl Into<Box<str>>) -> Self {
        self.introspection_endpoint = Some(url.into());
        self.independent()
    }

    /// Accepts plain http beyond loopback for the URL of [`introspection_endpoint`](Self::introspection_endpoint), and for no other
    /// URL. Use it for an endpoint inside a private network that has no TLS, such as the admin port of Ory Hydra in a cluster.
    ///
    /// Anybody on the network path can then read the access tokens and the client credentials, and can make any token active.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    /// use mcp_bearer::introspection::ClientCredentials;
    ///
    /// let issuer = Issuer::discover("https://auth.example.com")
    ///     .introspect_opaque(ClientCredentials::none())
    ///     .introspection_endpoint("http://hydra-admin.ory.svc:4445/admin/oauth2/introspect")
    ///     .dangerously_allow_http_introspection();
    /// ```
    ///
    /// # Errors
    /// The server is not built if this has no effect, because there is no `introspection_endpoint`, or because its URL is https or on
    /// loopback: [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting).
    #[must_use]
    pub fn dangerously_allow_http_introspection(mut self) -> Self {
        self.introspection_plain_http = PlainHttp::Anywhere;
        self.independent()
    }

    /// Introspects locally verified JWTs too, to notice a revocation: at most once in `interval` for each token, 1 s to
    /// 1 hour.
    ///
    /// It needs [`introspect_opaque`](Self::introspect_opaque), whose credentials it uses. While introspection fails, a token
    /// whose last result is older than `interval` is answered with 503.
    #[must_use]
    pub const fn revocation_check(mut self, interval: Duration) -> Self {
        self.revocation_check = Some(interval);
        self
    }

    fn introspected(mut self, which: Introspected, introspection: Introspection) -> Self {
        self.introspection = Some((which, introspection));
        self.independent()
    }

    /// Parses the URL of the configured introspection endpoint.
    pub(super) fn parse_introspection_endpoint(&self, text: &str) -> Result<Url, BuildError> {
        let parse = |plain_http| identifier::endpoint(text, plain_http);
        let parsed = match self.plain_http {
            PlainHttp::Anywhere => parse(PlainHttp::Anywhere),
            PlainHttp::LoopbackOnly => parse(self.introspection_plain_http),
        };
        parsed.map_err(|error| match parse(PlainHttp::Anywhere) {
            Ok(_) => BuildError::issuer(format!(
                "the URL {text:?} of the introspection endpoint has the scheme http, which is accepted only for loopback hosts: \
                 use https, or call `dangerously_allow_http_introspection()` for a host inside a private network"
            )),
            Err(_) => BuildError::issuer(format!("the URL {error}")),
        })
    }

    /// `dangerously_allow_http_introspection` must not stay in a configuration that does not need it.
    pub(super) fn http_introspection_mistake(&self) -> Option<SetterMistake> {
        if self.introspection_plain_http == PlainHttp::LoopbackOnly {
            return None;
        }
        let message = match &self.introspection_endpoint {
            None => "`dangerously_allow_http_introspection` has no effect without `introspection_endpoint`; call both, or remove it"
                .to_owned(),
            Some(text) => {
                // An invalid URL is reported elsewhere.
                let url = identifier::endpoint(text, PlainHttp::LoopbackOnly).ok()?;
                let place = if url.scheme() == "https" { "has the scheme https" } else { "is on loopback" };
                format!(
                    "`dangerously_allow_http_introspection` has no effect, because the introspection endpoint {text:?} {place}; \
                     remove it"
                )
            }
        };
        Some(("dangerously_allow_http_introspection", BuildError::setting(message)))
    }
}
