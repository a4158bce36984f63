use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::AuthorizationServerMetadata;
use crate::claims::WithoutAudience;
use crate::discovery::{DiscoveryMethod, MapMetadata};
use crate::events::IssuerEvents;
use crate::http_client::HttpClient;
use crate::identifier::PlainHttp;
use crate::introspection::{Introspection, LookupLimits};
use crate::jose::{Algorithm, AllowedAlgorithms, DEFAULT_MAX_KEYS, JwkSet};
use crate::keys::{CustomKeys, KeySetLimits, KeySource, Keys, RefreshPolicy, UnusableKeys};
use crate::verify::{DynVerifier, Method};

/// An authorization server whose access tokens are accepted.
///
/// Clones share the discovered metadata, the key set and the cached introspection results. Pass a clone to each
/// [`ResourceServer`](crate::ResourceServer) of a process. A setter that changes how these are fetched makes a clone
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
    /// The message about a wrong argument of a function of `providers`.
    pub(super) mistake: Option<Box<str>>,
    /// The header in which a proxy passes the tokens of this issuer on. `None` means `Authorization`.
    pub(super) token_header: Option<&'static str>,
    pub(super) source: Source,
    pub(super) also_issued_as: Vec<Box<str>>,
    pub(super) tenants: Option<Tenants>,
    pub(super) well_known_url: Option<Box<str>>,
    pub(super) jwks_uri: Option<Box<str>>,
    pub(super) introspection_endpoint: Option<Box<str>>,
    pub(super) map_metadata: Option<MapMetadata>,
    pub(super) http_client: Option<Arc<dyn HttpClient>>,
    pub(super) plain_http: PlainHttp,
    /// The policy for the URL of [`introspection_endpoint`](Self::introspection_endpoint) alone.
    pub(super) introspection_plain_http: PlainHttp,
    pub(super) refresh_policy: RefreshPolicy,
    pub(super) key_set_limits: KeySetLimits,
    pub(super) seed: Option<SavedKeys>,
    pub(super) max_seed_age: Option<Duration>,
    pub(super) algorithms: Option<AllowedAlgorithms>,
    pub(super) audiences: Vec<Box<str>>,
    pub(super) client_audiences: Vec<Box<str>>,
    pub(super) without_audience: WithoutAudience,
    pub(super) missing_token_type_accepted: bool,
    pub(super) id_token_claims_accepted: bool,
    pub(super) scope_claims: Vec<String>,
    pub(super) at_jwt_required: bool,
    pub(super) introspection: Option<(Introspected, Introspection)>,
    pub(super) revocation_check: Option<Duration>,
    pub(super) verifier_limits: Option<LookupLimits>,
    pub(super) publication: Publication,
    /// Where the events about the issuer go. Clones share it.
    pub(super) events: Arc<IssuerEvents>,
    /// The keys and cached results. Clones share them.
    pub(super) method: Arc<OnceLock<Method>>,
}

#[derive(Clone)]
pub(super) enum Source {
    Discover(DiscoveryMethod),
    Metadata(Box<AuthorizationServerMetadata>),
    Keys(Keys),
    Verifier(Arc<dyn DynVerifier>),
}

/// A key set of the issuer, and when it was fetched.
#[derive(Clone)]
pub(super) enum SavedKeys {
    /// The modification time of the file counts as the time of the fetch.
    File(Arc<Path>),
    Set(Arc<JwkSet>, SystemTime),
}

/// Which tokens are introspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Introspected {
    All,
    /// Tokens that are not JWTs.
    Opaque,
}

/// Whether the metadata of the resource has the issuer in `authorization_servers` (RFC 9728, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publication {
    /// If its identifier is an https URL, and its tokens are not verified by the application.
    Default,
    Published,
    Unpublished,
}

/// Issuers that differ in the tenant only.
#[derive(Clone)]
pub(super) struct Tenants {
    pub(super) template: Box<str>,
    pub(super) accepted: Vec<Box<str>>,
}

impl Issuer {
    /// Discovers the metadata by RFC 8414 and by OpenID Connect Discovery 1.0.
    ///
    /// Three URLs are tried: `/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration` before the path
    /// of the issuer, and the latter after the path. The first document that has exactly this issuer is used. If it has no
    /// `jwks_uri` or `introspection_endpoint`, that member is taken from the next document, unless the two documents
    /// contradict each other.
    pub fn discover(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover(DiscoveryMethod::Any))
    }

    /// Discovers the metadata by OpenID Connect Discovery 1.0 (section 4) only.
    pub fn oidc(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover(DiscoveryMethod::OpenId))
    }

    /// Discovers the metadata by RFC 8414 (section 3) only.
    pub fn oauth(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover(DiscoveryMethod::OAuth))
    }

    /// Uses this metadata. Only the key set is fetched.
    #[must_use]
    pub fn with_metadata(metadata: AuthorizationServerMetadata) -> Self {
        Self::new(Box::<str>::from(metadata.issuer().as_str()), Source::Metadata(Box::new(metadata)))
    }

    /// Uses a fixed key set. Nothing is fetched, so a key rotation needs a new configuration.
    ///
    /// `url` is compared with the `iss` of tokens. It need not be a URL: any visible ASCII text without quotes, of at most
    /// 2,048 bytes, is accepted. Only an https URL (or http on loopback) is published in `authorization_servers`.
    pub fn with_jwks(url: impl Into<Box<str>>, keys: JwkSet) -> Self {
        Self::new(url, Source::Keys(Keys::Fixed(Arc::new(keys))))
    }

    /// Uses your own [`KeySource`]. `url` is compared with the `iss` of tokens, as with [`with_jwks`](Self::with_jwks).
    pub fn with_key_source(url: impl Into<Box<str>>, source: impl KeySource) -> Self {
        let (url, source) = (url.into(), Arc::new(source));
        let events = IssuerEvents::new(&url);
        let custom = CustomKeys { events: Arc::clone(&events), source, unusable: UnusableKeys::default() };
        Self { events, ..Self::new(url, Source::Keys(Keys::Custom(Arc::new(custom)))) }
    }

    /// Fetches the metadata from this URL instead of the well-known ones. It must still have this issuer.
    ///
    /// The URL may be private. The document may then name other URLs on the same host and port. If the response comes from a
    /// private address, the document may name other private URLs too.
    #[must_use]
    pub fn well_known_url(mut self, url: impl Into<Box<str>>) -> Self {
        self.well_known_url = Some(url.into());
        self.independent()
    }

    /// Changes the fetched metadata document before it is read, to repair what an authorization server gets wrong.
    ///
    /// A `jwks_uri` or `introspection_endpoint` that `map` writes is trusted like a configured one, and may be private. A
    /// panic in `map` counts as a failed fetch.
    #[must_use]
    pub fn map_metadata(mut self, map: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.map_metadata = Some(Arc::new(map));
        self.independent()
    }

    /// Fetches the key set from this URL instead of the `jwks_uri` of the metadata. Without introspection, no metadata is
    /// fetched then.
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

    /// How long a key set is fresh if its response does not have a cache header, or has `no-cache`, `no-store` or `private`: 1
    /// minute to 24 hours, 5 minutes by default.
    ///
    /// A key that the issuer withdraws is accepted for up to 80 % of this time with steady requests, and for this time and 30
    /// seconds otherwise. `max-age=0` without `no-cache` and `no-store` makes a key set fresh for one minute. See the
    /// [guide](crate::guide::outages#a-withdrawn-key).
    #[must_use]
    pub fn key_set_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_policy.lifetime = lifetime;
        self.independent()
    }

    /// How long an expired key set is still used while the issuer cannot be reached: 0 to 24 hours, 1 hour by default. A
    /// withdrawn key is accepted for at most this time longer.
    #[must_use]
    pub fn last_known_good(mut self, time: Duration) -> Self {
        self.refresh_policy.last_known_good = time;
        self.independent()
    }

    /// The most keys of a fetched key set that are used: 1 to 1,000, 100 by default.
    ///
    /// Keys with `use: sig` come first. If there are more keys, the log has one `warn`, and a token with the key id of a key
    /// that is not used is answered with 503.
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

    /// The most bytes of a fetched key set: 1 KiB to 4 MiB, 256 KiB by default. A longer key set is a failed fetch.
    #[must_use]
    pub fn max_key_set_size(mut self, bytes: usize) -> Self {
        self.key_set_limits.bytes = bytes;
        self.independent()
    }

    /// Accepts only these signature algorithms. By default, every asymmetric algorithm of the build is accepted, each only
    /// with a key for it.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Accepts tokens with this `iss` too, if they are signed with the same keys. Use it for an authorization server that has
    /// changed its issuer identifier or has several, such as the v1 and v2 endpoints of Entra.
    ///
    /// The metadata must still have the issuer itself, and only that is published. The text is only compared: any visible
    /// ASCII text without quotes, of at most 2,048 bytes, is accepted, such as `http://.../adfs/services/trust` of AD FS.
    ///
    /// The same user has different identities under the two issuers: see [`AuthInfo::identity`](crate::AuthInfo::identity).
    #[must_use]
    pub fn also_issued_as(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.also_issued_as.push(issuer.into());
        self.independent()
    }

    /// Accepts tokens of these tenants of a multi-tenant endpoint, such as Entra's `common` and `organizations`.
    ///
    /// `template` is the `issuer` of the metadata, with a literal `{tenantid}` in it. A token's issuer must be the template
    /// with one of `tenants` in place of `{tenantid}`. The URL of the endpoint itself is not accepted as the issuer of a
    /// token, and an introspection response must have an `iss`.
    #[must_use]
    pub fn tenant_template(
        mut self,
        template: impl Into<Box<str>>,
        tenants: impl IntoIterator<Item = impl Into<Box<str>>>,
    ) -> Self {
        let accepted = tenants.into_iter().map(Into::into).collect();
        self.tenants = Some(Tenants { template: template.into(), accepted });
        self.independent()
    }

    /// Accepts plain http URLs beyond loopback. Anybody on the network path can then replace the keys.
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

    pub(super) fn new(url: impl Into<Box<str>>, source: Source) -> Self {
        let url = url.into();
        Self {
            events: IssuerEvents::new(&url),
            url,
            mistake: None,
            token_header: None,
            source,
            also_issued_as: Vec::new(),
            tenants: None,
            well_known_url: None,
            jwks_uri: None,
            introspection_endpoint: None,
            map_metadata: None,
            http_client: None,
            plain_http: PlainHttp::LoopbackOnly,
            introspection_plain_http: PlainHttp::LoopbackOnly,
            refresh_policy: DEFAULT_REFRESH_POLICY,
            key_set_limits: DEFAULT_KEY_SET_LIMITS,
            seed: None,
            max_seed_age: None,
            algorithms: None,
            audiences: Vec::new(),
            client_audiences: Vec::new(),
            without_audience: WithoutAudience::Rejected,
            missing_token_type_accepted: false,
            id_token_claims_accepted: false,
            scope_claims: Vec::new(),
            at_jwt_required: false,
            introspection: None,
            revocation_check: None,
            verifier_limits: None,
            publication: Publication::Default,
            method: Arc::default(),
        }
    }

    pub(super) fn independent(mut self) -> Self {
        self.method = Arc::default();
        self
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// 256 KiB: a hundred RSA keys with certificates are smaller.
pub(super) const DEFAULT_KEY_SET_LIMITS: KeySetLimits = KeySetLimits { keys: DEFAULT_MAX_KEYS, bytes: 256 * 1024 };
pub(super) const DEFAULT_REFRESH_POLICY: RefreshPolicy = RefreshPolicy {
    // The usual time between the publication of a new key and its first signature.
    lifetime: Duration::from_secs(300),
    // Longer than most outages, and short enough that a withdrawn key expires soon.
    last_known_good: Duration::from_secs(3600),
};
