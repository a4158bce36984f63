use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ResourceServer;
use super::sender_settings::SenderSettings;
use crate::api_key::ApiKeys;
use crate::bearer::DevelopmentIdentity;
use crate::claims::DEFAULT_SKEW;
use crate::clock::{Clock, SystemClock};
use crate::error::BuildError;
use crate::events::Observer;
use crate::identifier::PlainHttp;
use crate::introspection::SharedResults;
use crate::issuer::Issuer;
use crate::jose::DEFAULT_MAX_TOKEN;
use crate::resource::ProtectedResourceMetadata;
use crate::revocation::SharedRevocations;
#[cfg(feature = "redis")]
use crate::shared::RedisState;
use crate::verify::RouteOpaque;

/// The configuration of a [`ResourceServer`].
///
/// The setters do not fail. [`build`](Self::build) and [`build_lazy`](Self::build_lazy) report mistakes.
///
/// ```
/// # #[cfg(all(feature = "reqwest", feature = "aws-lc-rs"))] {
/// use std::time::Duration;
///
/// use mcp_bearer::{BuildError, Issuer, ResourceServer};
///
/// fn server() -> Result<ResourceServer, BuildError> {
///     ResourceServer::builder("https://mcp.example.com/mcp")
///         .issuer(Issuer::discover("https://auth.example.com"))
///         .scopes_supported(["notes:read", "notes:write"])
///         .scope_implies("notes:write", ["notes:read"])
///         .clock_skew(Duration::from_secs(30))
///         .build_lazy()
/// }
/// # server().unwrap();
/// # }
/// ```
#[must_use]
pub struct ResourceServerBuilder {
    pub(super) resource: Box<str>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) audiences: Vec<Box<str>>,
    /// `None` means `Authorization`.
    pub(super) token_header: Option<Box<str>>,
    pub(super) development: Option<DevelopmentIdentity>,
    pub(super) scopes_supported: Vec<String>,
    pub(super) implications: Vec<(String, Vec<String>)>,
    pub(super) challenge_scopes: Vec<(String, String)>,
    pub(super) initial_scopes: Vec<String>,
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
    /// `None` means the default.
    pub(super) verified_tokens: Option<usize>,
    pub(super) verification_timeout: Duration,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) api_keys: Option<ApiKeys>,
    /// The store through which replicas share revocations.
    pub(super) shared_revocations: Option<Arc<dyn SharedRevocations>>,
    pub(super) shared_results: Option<Arc<dyn SharedResults>>,
    #[cfg(feature = "redis")]
    pub(super) shared_state: Option<RedisState>,
    /// Log lines leave out what a token contains.
    pub(super) claims_omitted: bool,
    pub(super) sender: SenderSettings,
}

impl ResourceServer {
    /// Starts the configuration of the resource with this resource identifier: its URL as clients use it, with https and
    /// without a fragment (RFC 9728, section 1.2). It is published as written, and must be the audience of tokens.
    pub fn builder(resource: impl Into<Box<str>>) -> ResourceServerBuilder {
        ResourceServerBuilder::new(resource.into())
    }
}

impl ResourceServerBuilder {
    pub(super) fn new(resource: Box<str>) -> Self {
        Self {
            resource,
            issuers: Vec::new(),
            audiences: Vec::new(),
            token_header: None,
            development: None,
            scopes_supported: Vec::new(),
            implications: Vec::new(),
            challenge_scopes: Vec::new(),
            initial_scopes: Vec::new(),
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
            observers: Vec::new(),
            api_keys: None,
            shared_revocations: None,
            shared_results: None,
            #[cfg(feature = "redis")]
            shared_state: None,
            claims_omitted: false,
            sender: SenderSettings::default(),
        }
    }

    /// Accepts the tokens of this authorization server. Call it once for each authorization server. At least one is needed, unless
    /// the server accepts [API keys](Self::api_keys).
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Chooses the issuer of an opaque token: `route` returns the issuer identifier, or `None` to reject the token.
    ///
    /// It is needed if several issuers verify opaque tokens. A token is never sent to one issuer after the other. If `route`
    /// panics, the request gets 503.
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

    /// Accepts [API keys](crate::api_key) beside access tokens. A second call replaces the keys of the first.
    ///
    /// A key is sent like an access token, as `Authorization: Bearer mcpk_...`. Layers require scopes of a key as of a token. If
    /// `scopes_supported` is set, a key with another scope is an error of the build. The metadata does not mention keys. Without
    /// an issuer it names no authorization server, and clients cannot log in.
    pub fn api_keys(mut self, keys: ApiKeys) -> Self {
        self.api_keys = Some(keys);
        self
    }

    /// Accepts another audience, such as `api://notes`, in the tokens of all issuers. It is compared byte for byte, and it
    /// is not published. For a client id, use [`accept_client_id_as_audience`](Issuer::accept_client_id_as_audience).
    pub fn accept_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets other members of the protected resource metadata.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
    ///     .metadata(|metadata| metadata.resource_name("Notes").resource_documentation("https://example.com/docs"));
    /// ```
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

    /// Serves the metadata at another local path as well, for a proxy that changes paths. Each call adds a path. The URL in
    /// challenges does not change: it follows from the resource identifier, or is the
    /// [`metadata_url`](Self::metadata_url).
    ///
    /// No other route may have this path: a bearer layer that covers it answers there with the metadata.
    pub fn metadata_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.metadata_paths.push(path.into());
        self
    }

    /// Sets `resource_metadata` of challenges (RFC 9728, section 5.1), for a gateway that does not forward the
    /// [well-known URL](crate::ResourceServer::metadata_url) of the resource. The URL must have the origin of the resource.
    /// Its path is served as well.
    ///
    /// For a gateway that forwards only `https://api.example.com/prod/*`, and removes `/prod`:
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

    /// Sets the realm of challenges (RFC 9110, section 11.5): 1 to 256 printable ASCII characters. Not set by default.
    pub fn realm(mut self, realm: impl Into<Box<str>>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the allowed difference between the clocks of this server and of its issuers: 0 to 300 s, 60 s by default.
    pub const fn clock_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Rejects access tokens with a longer lifetime, from `iat` (or now) to `exp`. Not set by default. It does not apply to other
    /// [kinds of credentials](crate::CredentialKind), such as API keys.
    pub const fn max_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Sets the length of the longest accepted token in bytes: 1 KiB to 64 KiB, 16 KiB by default. A longer token gets 401,
    /// and the log line of the rejection has its length.
    ///
    /// Users with hundreds of roles or groups have long tokens. HTTP servers limit headers as well: over HTTP/2, hyper
    /// answers 431 if all headers of a request take more than 16 KiB, which leaves about 14.5 KiB for a token. Raise
    /// `max_header_list_size` there too.
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
    /// An entry is used for 60 s at most, never beyond the token's `exp`, and only until the issuer's key set changes. The
    /// [guide](crate::guide::caching) says what an entry contains, and how much memory it takes. JWTs that are verified with a
    /// custom [`KeySource`](crate::keys::KeySource) are not cached.
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

    /// Sets how long a request waits for the key of its token, and for a [`TokenVerifier`](crate::verify::TokenVerifier):
    /// 100 ms to 60 s, 10 s by default. After that it gets 503.
    ///
    /// The limits of introspection are set on [`Introspection`](crate::introspection::Introspection). A panic in the
    /// application's `TokenVerifier`, [`KeySource`](crate::keys::KeySource), HTTP client or clock gets 503 as well, unless
    /// the program is built with `panic = "abort"`. Code that blocks its thread cannot be interrupted.
    pub const fn verification_timeout(mut self, limit: Duration) -> Self {
        self.verification_timeout = limit;
        self
    }

    /// Sets the clock that the times of tokens are compared with: the system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Passes all events of the server to `observer`, for example for an audit log. Several observers can be added. The
    /// events about an issuer that several servers share go to the observers of all of them.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Leaves the fields `expected`, `found`, `required` and `granted` out of log lines. Observers still get the values.
    ///
    /// By default, a rejection for its issuer, audience or scopes is logged with both values, escaped and with at most 128
    /// characters each. Subject, client id and other claims are never logged.
    pub const fn omit_claims_from_log(mut self) -> Self {
        self.claims_omitted = true;
        self
    }

    /// Accepts a resource identifier with plain http that is not a loopback address. Everybody on the network path can then
    /// read the tokens.
    pub const fn dangerously_allow_http(mut self) -> Self {
        self.plain_http = PlainHttp::Anywhere;
        self
    }

    /// Builds the server, and waits for its [`warm_up`](ResourceServer::warm_up): the keys, the introspection endpoint and the
    /// client credentials of every issuer.
    ///
    /// Afterwards, a background task keeps them available, as [`build_lazy`](Self::build_lazy) describes. With
    /// [`Issuer::jwks_file`], it does not wait for the keys. With `shared_state` (feature `redis`), it also waits for a connection
    /// to Redis.
    ///
    /// # Errors
    /// [`BuildError`] if the configuration cannot work, if an issuer or Redis cannot be reached, or if one of them rejects the
    /// credentials.
    pub async fn build(self) -> Result<ResourceServer, BuildError> {
        let server = self.into_server()?;
        server.warm_up_once().await?;
        server.announce();
        server.start_upkeep();
        Ok(server)
    }

    /// Builds the server without a request to an issuer, so that it starts while an issuer is down. A file of
    /// [API keys](Self::api_keys) and of [saved keys](crate::Issuer::jwks_file) is read.
    ///
    /// In a tokio runtime, a background task then fetches the keys and the introspection endpoint until they are available, with
    /// a back-off of up to a minute. It does so again if they become unavailable later, so a server without traffic becomes ready
    /// too. A server that is ready sends no request for this, except to fetch a key set again shortly before it can no longer be
    /// used. The task ends within seconds after the server and its layers are dropped. Outside a tokio runtime,
    /// [`warm_up`](ResourceServer::warm_up) starts it later.
    ///
    /// Until then, requests whose token cannot be verified get 503. A waiting request starts an attempt as well, at most one per
    /// second and issuer, so that the first valid token after an outage is accepted.
    ///
    /// # Errors
    /// [`BuildError`] if the configuration cannot work. With `shared_state` (feature `redis`), it needs a tokio runtime, because a
    /// task reads the revocations of other replicas.
    pub fn build_lazy(self) -> Result<ResourceServer, BuildError> {
        self.check_runtime()?;
        let server = self.into_server()?;
        server.announce();
        server.start_upkeep();
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

/// Clients and proxies give up after 30 to 60 s.
const DEFAULT_VERIFICATION_TIMEOUT: Duration = Duration::from_secs(10);
