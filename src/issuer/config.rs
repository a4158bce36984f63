use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::AuthorizationServerMetadata;
use super::build::Parts;
use crate::claims::WithoutAudience;
use crate::discovery::{DiscoveryMethod, MapMetadata};
use crate::http_client::HttpClient;
use crate::identifier::PlainHttp;
use crate::introspection::Introspection;
use crate::jose::{Algorithm, DEFAULT_MAX_KEYS, JwkSet};
use crate::keys::{KeySetLimits, KeySource};
use crate::verify::TokenVerifier;

/// An authorization server whose tokens are accepted.
///
/// Clones share one discovery, one key set and one memory of introspected tokens: hand a clone to each
/// [`ResourceServer`](crate::ResourceServer) of a process. A setter that changes how these are had makes a clone
/// independent.
///
/// ```
/// use mcp_bearer::Issuer;
/// use mcp_bearer::jose::Algorithm;
///
/// let issuer = Issuer::discover("https://auth.example.com/realms/demo")
///     .algorithms([Algorithm::RS256])
///     .scope_claim("/realm_access/roles");
/// ```
#[derive(Clone)]
pub struct Issuer {
    pub(super) url: Box<str>,
    /// The wrong argument of a function of `providers`.
    pub(super) mistake: Option<Box<str>>,
    pub(super) source: Source,
    pub(super) also_issued_as: Vec<Box<str>>,
    pub(super) tenants: Option<Tenants>,
    pub(super) well_known_url: Option<Box<str>>,
    pub(super) jwks_uri: Option<Box<str>>,
    pub(super) introspection_endpoint: Option<Box<str>>,
    pub(super) map_metadata: Option<MapMetadata>,
    pub(super) http_client: Option<Arc<dyn HttpClient>>,
    pub(super) plain_http: PlainHttp,
    pub(super) key_set_lifetime: Duration,
    pub(super) last_known_good: Duration,
    pub(super) key_set_limits: KeySetLimits,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    pub(super) audiences: Vec<Box<str>>,
    pub(super) client_audiences: Vec<Box<str>>,
    pub(super) without_audience: WithoutAudience,
    pub(super) missing_token_type_accepted: bool,
    pub(super) id_token_claims_accepted: bool,
    pub(super) scope_claims: Vec<String>,
    pub(super) at_jwt_required: bool,
    pub(super) introspection: Option<(Introspected, Introspection)>,
    pub(super) revocation_check: Option<Duration>,
    /// What clones share.
    pub(super) parts: Arc<Parts>,
}

#[derive(Clone)]
pub(super) enum Source {
    Discover(DiscoveryMethod),
    Metadata(Box<AuthorizationServerMetadata>),
    Jwks(JwkSet),
    Keys(Arc<dyn KeySource>),
    Verifier(Arc<dyn TokenVerifier>),
}

/// Which tokens the authorization server is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Introspected {
    All,
    /// Those that are no JWTs.
    Opaque,
}

/// Issuers that differ in one part only.
#[derive(Clone)]
pub(super) struct Tenants {
    pub(super) template: Box<str>,
    pub(super) accepted: Vec<Box<str>>,
}

impl Issuer {
    /// Finds the issuer's metadata by RFC 8414 (path insertion), then by OpenID Connect Discovery with path insertion
    /// and with the path appended, and takes the first document that names exactly this issuer. What it lacks, a
    /// `jwks_uri` or an `introspection_endpoint`, is taken from the others, unless they contradict it.
    pub fn discover(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover(DiscoveryMethod::Any))
    }

    /// Finds the issuer's metadata by OpenID Connect Discovery 1.0, section 4 only.
    pub fn oidc(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover(DiscoveryMethod::OpenId))
    }

    /// Finds the issuer's metadata by RFC 8414, section 3 only.
    pub fn oauth(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover(DiscoveryMethod::OAuth))
    }

    /// Uses metadata that is at hand; only the key set is fetched.
    #[must_use]
    pub fn with_metadata(metadata: AuthorizationServerMetadata) -> Self {
        Self::new(Box::<str>::from(metadata.issuer().as_str()), Source::Metadata(Box::new(metadata)))
    }

    /// Uses a fixed key set; nothing is ever fetched, and a rotation needs a new configuration.
    ///
    /// `url` is compared with the `iss` of tokens. It need not be a URL: any visible ASCII text of at most 2,048 bytes without
    /// quotes will do. Only an https URL (or http on loopback) is published in `authorization_servers`.
    pub fn with_jwks(url: impl Into<Box<str>>, keys: JwkSet) -> Self {
        Self::new(url, Source::Jwks(keys))
    }

    /// Takes keys from a source of yours. `url` is compared, as with [`with_jwks`](Self::with_jwks).
    pub fn with_key_source(url: impl Into<Box<str>>, source: impl KeySource) -> Self {
        Self::new(url, Source::Keys(Arc::new(source)))
    }

    /// Has this issuer's tokens, and all that are no JWTs, verified by code of yours. At most one issuer of a resource gets
    /// the latter, unless [`route_opaque`](crate::ResourceServerBuilder::route_opaque) says whose each is. `url` is compared, as
    /// with [`with_jwks`](Self::with_jwks).
    pub fn with_verifier(url: impl Into<Box<str>>, verifier: impl TokenVerifier) -> Self {
        Self::new(url, Source::Verifier(Arc::new(verifier)))
    }

    /// Fetches the metadata from this URL, wherever the specifications would have it. It must still name this issuer.
    ///
    /// The URL may be a private one: the document may then name other URLs on its host and port, and, if the answer came from
    /// a private address, other private URLs too.
    #[must_use]
    pub fn well_known_url(mut self, url: impl Into<Box<str>>) -> Self {
        self.well_known_url = Some(url.into());
        self.independent()
    }

    /// Changes a fetched metadata document before it is read, to repair what a server gets wrong. A `jwks_uri` or
    /// `introspection_endpoint` that it writes is trusted like a configured one, and may be private. A panic in
    /// `map` counts as a failed fetch.
    #[must_use]
    pub fn map_metadata(mut self, map: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.map_metadata = Some(Arc::new(map));
        self.independent()
    }

    /// Fetches the key set from this URL, whatever the metadata says; without introspection none is needed at all.
    #[must_use]
    pub fn jwks_uri(mut self, url: impl Into<Box<str>>) -> Self {
        self.jwks_uri = Some(url.into());
        self.independent()
    }

    /// Sends requests through this client instead of the default one.
    #[must_use]
    pub fn http_client(mut self, client: impl HttpClient) -> Self {
        self.http_client = Some(Arc::new(client));
        self.independent()
    }

    /// For how long a key set is fresh whose answer has no cache header: 1 minute to 24 hours, 5 minutes by default.
    #[must_use]
    pub fn key_set_lifetime(mut self, lifetime: Duration) -> Self {
        self.key_set_lifetime = lifetime;
        self.independent()
    }

    /// For how long past its freshness a key set serves while the issuer cannot be reached: 0 to 24 hours, 1 hour by
    /// default. This bounds how long a withdrawn key can live on.
    #[must_use]
    pub fn last_known_good(mut self, time: Duration) -> Self {
        self.last_known_good = time;
        self.independent()
    }

    /// How many keys for signatures of a fetched key set are used: 1 to 1,000, 100 by default. Keys that say that they are
    /// for signatures (`use: sig`) come first. For those beyond, the log has one `warn`, and a token under the key id of one
    /// is answered with 503.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    ///
    /// let issuer = Issuer::discover("https://auth.example.com").max_keys(300).max_key_set_size(1024 * 1024);
    /// ```
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.key_set_limits.keys = keys;
        self.independent()
    }

    /// The most bytes of a fetched key set: 1 KiB to 4 MiB, 256 KiB by default. A longer one is a failed fetch.
    #[must_use]
    pub fn max_key_set_size(mut self, bytes: usize) -> Self {
        self.key_set_limits.bytes = bytes;
        self.independent()
    }

    /// Accepts only these algorithms. By default every asymmetric one that the build can check is accepted, each only
    /// with a key that is for it.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Asks the authorization server about **every** token of this issuer (RFC 7662), JWTs too: for tokens that mean
    /// something only to it, and where a revocation must be noticed within
    /// [`positive_cache`](Introspection::positive_cache). No key set is needed.
    ///
    /// A JWT that names another issuer, has expired, or is marked as something else than an access token is refused
    /// without asking.
    #[must_use]
    pub fn introspection(self, introspection: impl Into<Introspection>) -> Self {
        self.introspected(Introspected::All, introspection.into())
    }

    /// Checks JWTs here, and asks the authorization server about all other tokens (RFC 7662). At most one issuer of a
    /// resource gets the tokens that say nothing of themselves, unless
    /// [`route_opaque`](crate::ResourceServerBuilder::route_opaque) says whose each is.
    #[must_use]
    pub fn introspect_opaque(self, introspection: impl Into<Introspection>) -> Self {
        self.introspected(Introspected::Opaque, introspection.into())
    }

    /// Introspects tokens at this URL, whatever the metadata says; with [`jwks_uri`](Self::jwks_uri), or where every
    /// token is introspected, no metadata is needed at all.
    #[must_use]
    pub fn introspection_endpoint(mut self, url: impl Into<Box<str>>) -> Self {
        self.introspection_endpoint = Some(url.into());
        self.independent()
    }

    /// Checks JWTs here **and** asks the authorization server whether they were revoked, at most once in `interval` for
    /// each token: 1 s to 1 hour. Together with [`introspect_opaque`](Self::introspect_opaque), whose credentials it
    /// takes. While the authorization server cannot be asked, a token whose last answer is older than that cannot be
    /// judged (503).
    #[must_use]
    pub const fn revocation_check(mut self, interval: Duration) -> Self {
        self.revocation_check = Some(interval);
        self
    }

    /// Accepts tokens that name this issuer too, exactly, and are signed with the same keys: for authorization servers
    /// that changed their name or have several, as Entra's v1 and v2 endpoints. The metadata must still name the issuer
    /// itself, and only that is published. The name is compared and nothing is fetched from it: any visible ASCII text of at
    /// most 2,048 bytes without quotes, such as the `http://.../adfs/services/trust` of AD FS.
    ///
    /// The same person is then known under two issuers: see [`AuthInfo::identity`](crate::AuthInfo::identity).
    #[must_use]
    pub fn also_issued_as(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.also_issued_as.push(issuer.into());
        self.independent()
    }

    /// Accepts metadata whose `issuer` is the text `template` with a literal `{tenantid}` in it, and tokens whose issuer
    /// is that template with one of `tenants` in its place, and no other: for Entra's `common` and `organizations`
    /// endpoints. The URL of such an endpoint is then no token's issuer, and an introspection answer must name one.
    #[must_use]
    pub fn tenant_template<I>(mut self, template: impl Into<Box<str>>, tenants: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let accepted = tenants.into_iter().map(Into::into).collect();
        self.tenants = Some(Tenants { template: template.into(), accepted });
        self.independent()
    }

    /// Accepts plain http beyond loopback, where anybody on the way can replace the keys.
    #[must_use]
    pub fn dangerously_allow_http(mut self) -> Self {
        self.plain_http = PlainHttp::Anywhere;
        self.independent()
    }

    /// The issuer identifier as it was configured.
    #[must_use]
    pub const fn url(&self) -> &str {
        &self.url
    }

    fn new(url: impl Into<Box<str>>, source: Source) -> Self {
        Self {
            url: url.into(),
            mistake: None,
            source,
            also_issued_as: Vec::new(),
            tenants: None,
            well_known_url: None,
            jwks_uri: None,
            introspection_endpoint: None,
            map_metadata: None,
            http_client: None,
            plain_http: PlainHttp::LoopbackOnly,
            key_set_lifetime: DEFAULT_KEY_SET_LIFETIME,
            last_known_good: DEFAULT_LAST_KNOWN_GOOD,
            key_set_limits: DEFAULT_KEY_SET_LIMITS,
            algorithms: None,
            audiences: Vec::new(),
            client_audiences: Vec::new(),
            without_audience: WithoutAudience::Refused,
            missing_token_type_accepted: false,
            id_token_claims_accepted: false,
            scope_claims: Vec::new(),
            at_jwt_required: false,
            introspection: None,
            revocation_check: None,
            parts: Arc::default(),
        }
    }

    fn introspected(mut self, which: Introspected, introspection: Introspection) -> Self {
        self.introspection = Some((which, introspection));
        self.independent()
    }

    fn independent(mut self) -> Self {
        self.parts = Arc::default();
        self
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// 256 KiB: a hundred RSA keys with certificates stay below.
pub(super) const DEFAULT_KEY_SET_LIMITS: KeySetLimits = KeySetLimits { keys: DEFAULT_MAX_KEYS, bytes: 256 * 1024 };
/// Five minutes: the usual time between a new key's publication and its first signature.
pub(super) const DEFAULT_KEY_SET_LIFETIME: Duration = Duration::from_secs(300);
/// An hour: longer than most outages, shorter than most plans to abuse a stolen key.
pub(super) const DEFAULT_LAST_KNOWN_GOOD: Duration = Duration::from_secs(3600);
