use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ResourceServer;
use crate::claims::DEFAULT_SKEW;
use crate::clock::{Clock, SystemClock};
use crate::error::BuildError;
use crate::identifier::PlainHttp;
use crate::issuer::Issuer;
use crate::jose::compact::DEFAULT_MAX_TOKEN;
use crate::resource::ProtectedResourceMetadata;
use crate::verify::RouteOpaque;

/// The configuration of a [`ResourceServer`]. Mistakes are found by [`build`](Self::build) and
/// [`build_lazy`](Self::build_lazy).
#[must_use]
pub struct ResourceServerBuilder {
    pub(super) resource: Box<str>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) audiences: Vec<Box<str>>,
    pub(super) scopes_supported: Vec<String>,
    pub(super) implications: Vec<(String, Vec<String>)>,
    pub(super) challenge_scopes: Vec<(String, String)>,
    pub(super) metadata: ProtectedResourceMetadata,
    pub(super) metadata_at_root: bool,
    pub(super) metadata_url: Option<Box<str>>,
    pub(super) metadata_paths: Vec<Box<str>>,
    pub(super) realm: Option<Box<str>>,
    pub(super) skew: Duration,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) max_token_length: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) plain_http: PlainHttp,
    pub(super) route_opaque: Option<RouteOpaque>,
    /// `None` stands for the default.
    pub(super) verified_tokens: Option<usize>,
    pub(super) verification_timeout: Duration,
}

impl ResourceServerBuilder {
    pub(super) fn new(resource: Box<str>) -> Self {
        Self {
            resource,
            issuers: Vec::new(),
            audiences: Vec::new(),
            scopes_supported: Vec::new(),
            implications: Vec::new(),
            challenge_scopes: Vec::new(),
            metadata: ProtectedResourceMetadata::default(),
            metadata_at_root: false,
            metadata_url: None,
            metadata_paths: Vec::new(),
            realm: None,
            skew: DEFAULT_SKEW,
            max_lifetime: None,
            max_token_length: DEFAULT_MAX_TOKEN,
            clock: Arc::new(SystemClock),
            plain_http: PlainHttp::LoopbackOnly,
            route_opaque: None,
            verified_tokens: None,
            verification_timeout: DEFAULT_VERIFICATION_TIMEOUT,
        }
    }

    /// Accepts the tokens of this authorization server. Call it once for each; at least one is needed.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Says whose a token is that says nothing itself: the identifier of the issuer that is to be asked about it, or
    /// `None` to refuse it. Needed where several issuers introspect, since a token is never shown to one after the other.
    /// Where `route` panics, the request gets 503.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
    ///     .route_opaque(|token| token.starts_with("acme_").then_some("https://auth.acme.example"));
    /// ```
    pub fn route_opaque<I: AsRef<str>>(mut self, route: impl Fn(&str) -> Option<I> + Send + Sync + 'static) -> Self {
        self.route_opaque = Some(Arc::new(move |token| route(token).map(|issuer| issuer.as_ref().into())));
        self
    }

    /// Accepts tokens for this audience too, of every issuer, such as `api://...`. It is compared as it is, and not
    /// published. For a client id, use [`accept_client_id_as_audience`](Issuer::accept_client_id_as_audience).
    pub fn accept_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The scopes that the metadata names, for clients to choose from. What a route requires is set on its layer.
    pub fn scopes_supported<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.scopes_supported.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Lets a token with `scope` do what needs one of `implied`. Transitive; circles are refused.
    pub fn scope_implies<I>(mut self, scope: impl Into<String>, implied: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.implications.push((scope.into(), implied.into_iter().map(Into::into).collect()));
        self
    }

    /// Calls `scope` by another name in challenges and in the metadata: the one under which clients must ask for it, where
    /// tokens carry a shorter one. Entra grants `read` when it is asked for `api://notes/read`:
    /// `.challenge_scope("read", "api://notes/read")`. Everywhere else, in
    /// [`required_scopes`](crate::BearerAuthLayer::required_scopes) and here, a scope has the name that tokens carry.
    pub fn challenge_scope(mut self, scope: impl Into<String>, requested: impl Into<String>) -> Self {
        self.challenge_scopes.push((scope.into(), requested.into()));
        self
    }

    /// Sets further members of the protected resource metadata.
    pub fn metadata(mut self, set: impl FnOnce(ProtectedResourceMetadata) -> ProtectedResourceMetadata) -> Self {
        self.metadata = set(self.metadata);
        self
    }

    /// Serves the metadata at `/.well-known/oauth-protected-resource` as well, for hosts with only one resource. Some clients
    /// ignore the path of the resource.
    pub const fn serve_metadata_at_root(mut self) -> Self {
        self.metadata_at_root = true;
        self
    }

    /// Serves the metadata at this local path too, where a proxy in front changes paths. Each call adds a path. What clients
    /// are told does not change: it follows from the resource identifier, or is the [`metadata_url`](Self::metadata_url).
    pub fn metadata_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.metadata_paths.push(path.into());
        self
    }

    /// Sets the URL of the metadata that challenges name as `resource_metadata` (RFC 9728, section 5.1), for a gateway at
    /// which the [well-known URL](crate::ResourceServer::metadata_url) of the resource cannot be reached. It must have the
    /// resource's own origin. Its path is served too.
    ///
    /// A gateway routes `https://api.example.com/prod/*` only, and removes `/prod`:
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// let builder = ResourceServer::builder("https://api.example.com/prod/mcp")
    ///     .metadata_url("https://api.example.com/prod/.well-known/oauth-protected-resource/mcp")
    ///     .metadata_path("/.well-known/oauth-protected-resource/mcp");
    /// ```
    pub fn metadata_url(mut self, url: impl Into<Box<str>>) -> Self {
        self.metadata_url = Some(url.into());
        self
    }

    /// Names a realm in challenges (RFC 9110, section 11.5). Printable ASCII.
    pub fn realm(mut self, realm: impl Into<Box<str>>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// How far the clocks of this server and of its issuers may be apart: 0 to 300 s, 60 s by default.
    pub const fn clock_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Refuses tokens that were issued for longer than this. Not set by default.
    pub const fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// The longest token that is accepted, in bytes: 1 KiB to 64 KiB, 16 KiB by default. A longer one gets 401; at most once
    /// a minute, a `warn` in the log has the length.
    ///
    /// Users with hundreds of roles or groups have such tokens. HTTP servers limit headers too: over HTTP/2, hyper answers
    /// with 431 as soon as all headers of a request take more than 16 KiB, a token of about 14.5 KiB. Raise
    /// `max_header_list_size` there as well.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp").max_token_length(32 * 1024);
    /// ```
    pub const fn max_token_length(mut self, bytes: usize) -> Self {
        self.max_token_length = bytes;
        self
    }

    /// Caches up to `capacity` verified JWTs, 0 to 1,000,000, 10,000 by default. 0 switches the cache off.
    ///
    /// MCP clients send the same token with every request. While a token is in the cache, its signature is not checked
    /// again. Everything else is checked with each request: times, audience, the other claims, scopes, and
    /// [`revocation_check`](crate::Issuer::revocation_check).
    ///
    /// An entry lasts for 60 s at most, never beyond the token's `exp`, and only until the issuer's key set changes. The key
    /// of an entry is a keyed hash (HMAC) of the token. An entry takes as much memory as the token's claims and some
    /// hundred bytes, and several times that once a handler has read [`AuthInfo::claims`](crate::AuthInfo::claims). A token
    /// with more than 4 KiB of claims counts several times. JWTs that are verified with a
    /// [`KeySource`](crate::keys::KeySource) of your own are not cached.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// // A server with many users.
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp").cache_verified_tokens(100_000);
    /// // Each request pays for the signature check.
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp").cache_verified_tokens(0);
    /// ```
    pub const fn cache_verified_tokens(mut self, capacity: usize) -> Self {
        self.verified_tokens = Some(capacity);
        self
    }

    /// How long one request waits for the key of its token, from the issuer or from a
    /// [`KeySource`](crate::keys::KeySource), and for a [`TokenVerifier`](crate::verify::TokenVerifier): 100 ms to 60 s, 10 s
    /// by default. Then it is answered with 503.
    ///
    /// Introspection has its own limits. A panic in a verifier, a key source, an HTTP client or a clock of your own is
    /// answered with 503 too, unless the program is built with `panic = "abort"`. Code that blocks its thread cannot be
    /// interrupted.
    pub const fn verification_timeout(mut self, limit: Duration) -> Self {
        self.verification_timeout = limit;
        self
    }

    /// Tells the time by this clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Accepts a resource identifier with plain http beyond loopback, where anybody on the way can read tokens.
    pub const fn dangerously_allow_http(mut self) -> Self {
        self.plain_http = PlainHttp::Anywhere;
        self
    }

    /// Builds the server and waits until the keys and the introspection endpoint of every issuer are at hand.
    ///
    /// # Errors
    /// [`BuildError`] if the configuration cannot work, or if an issuer cannot be reached now.
    pub async fn build(self) -> Result<ResourceServer, BuildError> {
        let server = self.assemble()?;
        server.warm_up().await?;
        Ok(server)
    }

    /// Builds the server without any I/O. Inside a tokio runtime it then fetches keys in the background until it has
    /// them; tokens that cannot be judged before that are answered with 503. A request that waits starts an attempt too, at
    /// most one per second and issuer, so that the first valid token after an outage is accepted.
    ///
    /// # Errors
    /// [`BuildError`] if the configuration cannot work.
    pub fn build_lazy(self) -> Result<ResourceServer, BuildError> {
        let server = self.assemble()?;
        server.warm_up_in_background();
        Ok(server)
    }
}

impl fmt::Debug for ResourceServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServerBuilder")
            .field("resource", &self.resource)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

/// Clients and proxies give up after 30 to 60 s: the answer must be there before.
const DEFAULT_VERIFICATION_TIMEOUT: Duration = Duration::from_secs(10);
