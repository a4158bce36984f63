use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use super::AuthorizationServerMetadata;
use super::discovery::{Discovery, MapMetadata, OAUTH, OIDC, appended, inserted};
use super::key_set::{KeySetFetch, Location};
use crate::claims::{AcceptedAudiences, Policy};
use crate::error::{BuildError, BuildErrorKind};
use crate::http_client::HttpClient;
use crate::identifier::{self, IssuerUrl, PlainHttp};
use crate::jose::{Algorithm, AllowedAlgorithms, JwkSet};
use crate::keys::{KeySource, Keys, RefreshPolicy, RemoteKeys};
use crate::verify::{JwtVerifier, TokenVerifier, Verifier, VerifierKind};

/// An authorization server whose tokens are accepted.
///
/// Clones share one discovery and one key set: hand a clone to each [`ResourceServer`](crate::ResourceServer) of a
/// process. A setter that changes how keys are had makes a clone independent.
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
    url: Box<str>,
    source: Source,
    well_known_url: Option<Box<str>>,
    jwks_uri: Option<Box<str>>,
    map_metadata: Option<MapMetadata>,
    http_client: Option<Arc<dyn HttpClient>>,
    plain_http: PlainHttp,
    key_set_lifetime: Duration,
    last_known_good: Duration,
    algorithms: Option<Vec<Algorithm>>,
    audiences: Vec<Box<str>>,
    scope_claims: Vec<String>,
    at_jwt_required: bool,
    keys: Arc<OnceLock<Keys>>,
}

#[derive(Clone)]
enum Source {
    Discover,
    Oidc,
    Oauth,
    Metadata(AuthorizationServerMetadata),
    Jwks(JwkSet),
    Keys(Arc<dyn KeySource>),
    Verifier(Arc<dyn TokenVerifier>),
}

impl Issuer {
    /// Finds the issuer's metadata by RFC 8414 (path insertion), then by OpenID Connect Discovery with path insertion
    /// and with the path appended, and takes the first document that names exactly this issuer and a `jwks_uri`.
    pub fn discover(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Discover)
    }

    /// Finds the issuer's metadata by OpenID Connect Discovery 1.0, section 4 only.
    pub fn oidc(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Oidc)
    }

    /// Finds the issuer's metadata by RFC 8414, section 3 only.
    pub fn oauth(url: impl Into<Box<str>>) -> Self {
        Self::new(url, Source::Oauth)
    }

    /// Uses metadata that is at hand; only the key set is fetched.
    #[must_use]
    pub fn with_metadata(metadata: AuthorizationServerMetadata) -> Self {
        Self::new(Box::<str>::from(metadata.issuer().as_str()), Source::Metadata(metadata))
    }

    /// Uses a fixed key set; nothing is ever fetched, and a rotation needs a new configuration.
    pub fn with_jwks(url: impl Into<Box<str>>, keys: JwkSet) -> Self {
        Self::new(url, Source::Jwks(keys))
    }

    /// Takes keys from a source of yours.
    pub fn with_key_source(url: impl Into<Box<str>>, source: impl KeySource) -> Self {
        Self::new(url, Source::Keys(Arc::new(source)))
    }

    /// Has this issuer's tokens, and all that are no JWTs, verified by code of yours. At most one issuer of a resource
    /// can be of this kind.
    pub fn with_verifier(url: impl Into<Box<str>>, verifier: impl TokenVerifier) -> Self {
        Self::new(url, Source::Verifier(Arc::new(verifier)))
    }

    /// Fetches the metadata from this URL, wherever the specifications would have it. It must still name this issuer.
    #[must_use]
    pub fn well_known_url(mut self, url: impl Into<Box<str>>) -> Self {
        self.well_known_url = Some(url.into());
        self.independent()
    }

    /// Changes a fetched metadata document before it is read, to repair what a server gets wrong.
    #[must_use]
    pub fn map_metadata(mut self, map: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.map_metadata = Some(Arc::new(map));
        self.independent()
    }

    /// Fetches the key set from this URL and needs no metadata at all.
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

    /// Accepts only these algorithms. By default every asymmetric one that the build can check is accepted, each only
    /// with a key that is for it.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Accepts, of this issuer, tokens for this audience too: `api://...`, a GUID, a client id. It is compared as it is.
    #[must_use]
    pub fn accept_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Adds the scopes that stand at this JSON pointer (RFC 6901) of the claims, such as `/permissions` or
    /// `/realm_access/roles`: a text or an array of texts.
    #[must_use]
    pub fn scope_claim(mut self, pointer: impl Into<String>) -> Self {
        self.scope_claims.push(pointer.into());
        self
    }

    /// Accepts only tokens that follow RFC 9068: `typ: at+jwt`, and a subject.
    #[must_use]
    pub const fn require_at_jwt(mut self) -> Self {
        self.at_jwt_required = true;
        self
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
            source,
            well_known_url: None,
            jwks_uri: None,
            map_metadata: None,
            http_client: None,
            plain_http: PlainHttp::LoopbackOnly,
            key_set_lifetime: DEFAULT_KEY_SET_LIFETIME,
            last_known_good: DEFAULT_LAST_KNOWN_GOOD,
            algorithms: None,
            audiences: Vec::new(),
            scope_claims: Vec::new(),
            at_jwt_required: false,
            keys: Arc::default(),
        }
    }

    fn independent(mut self) -> Self {
        self.keys = Arc::default();
        self
    }

    /// What verifies this issuer's tokens for a resource that accepts `audiences`.
    pub(crate) fn verifier(
        &self,
        audiences: &AcceptedAudiences,
        skew: Duration,
        max_lifetime: Option<Duration>,
    ) -> Result<Verifier, BuildError> {
        let issuer = self.parse_url()?;
        self.check_agreement()?;
        let audiences = self.audiences.iter().fold(audiences.clone(), |accepted, alias| accepted.with_alias(alias));
        if let Some(bad) = self.scope_claims.iter().find(|pointer| !pointer.starts_with('/')) {
            let message = format!("{bad:?} is no JSON pointer: write it as \"/permissions\" (RFC 6901)");
            return Err(BuildError::new(BuildErrorKind::Setting, message));
        }
        if self.audiences.iter().any(|alias| alias.is_empty()) {
            return Err(BuildError::new(BuildErrorKind::Setting, "an accepted audience is empty: remove it"));
        }
        let kind = match &self.source {
            Source::Verifier(custom) => VerifierKind::Custom(Arc::clone(custom)),
            _ => VerifierKind::Jwt(JwtVerifier {
                keys: self.keys(&issuer)?,
                algorithms: self.allowed_algorithms()?,
                at_jwt_required: self.at_jwt_required,
            }),
        };
        let policy =
            Policy { skew, max_lifetime, subject_required: self.at_jwt_required, ..Policy::new(&self.url, audiences) };
        Ok(Verifier { policy, scope_claims: self.scope_claims.clone(), kind })
    }

    fn parse_url(&self) -> Result<IssuerUrl, BuildError> {
        IssuerUrl::parse(&self.url, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the issuer {error}")))
    }

    /// A setter that another one makes meaningless is a mistake, whichever was meant.
    fn check_agreement(&self) -> Result<(), BuildError> {
        let fetches_metadata =
            matches!(self.source, Source::Discover | Source::Oidc | Source::Oauth) && self.jwks_uri.is_none();
        let fetches_keys = !matches!(self.source, Source::Jwks(_) | Source::Keys(_) | Source::Verifier(_));
        let verifies_jwts = !matches!(self.source, Source::Verifier(_));
        let idle = [
            ("well_known_url", self.well_known_url.is_some() && !fetches_metadata),
            ("map_metadata", self.map_metadata.is_some() && !fetches_metadata),
            ("jwks_uri", self.jwks_uri.is_some() && !fetches_keys),
            ("algorithms", self.algorithms.is_some() && !verifies_jwts),
            ("require_at_jwt", self.at_jwt_required && !verifies_jwts),
            ("http_client", self.http_client.is_some() && !fetches_keys),
            ("key_set_lifetime", self.key_set_lifetime != DEFAULT_KEY_SET_LIFETIME && !fetches_keys),
            ("last_known_good", self.last_known_good != DEFAULT_LAST_KNOWN_GOOD && !fetches_keys),
        ];
        match idle.iter().find(|(_, idle)| *idle) {
            None => Ok(()),
            Some((setter, _)) => {
                let message = format!("`{setter}` has no effect beside another setting of {:?}: remove one", self.url);
                Err(BuildError::new(BuildErrorKind::Setting, message))
            }
        }
    }

    fn allowed_algorithms(&self) -> Result<AllowedAlgorithms, BuildError> {
        let supported = AllowedAlgorithms::supported();
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Algorithm, message));
        if supported.is_empty() {
            return wrong("no signature can be checked: switch on the feature `aws-lc-rs` or `rust-crypto`".to_owned());
        }
        let Some(algorithms) = &self.algorithms else { return Ok(supported) };
        if let Some(unsupported) = algorithms.iter().find(|algorithm| !algorithm.is_supported()) {
            return wrong(format!("{unsupported} cannot be checked by this build: switch on the feature `aws-lc-rs`"));
        }
        if algorithms.is_empty() {
            return wrong(
                "the list of accepted algorithms is empty: name at least one, or leave the call out".to_owned(),
            );
        }
        Ok(algorithms.iter().copied().collect())
    }

    /// The source of this issuer's keys, made once for all clones.
    fn keys(&self, issuer: &IssuerUrl) -> Result<Keys, BuildError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys.clone());
        }
        let keys = match &self.source {
            Source::Jwks(keys) => Keys::Fixed(Arc::new(keys.clone())),
            Source::Keys(source) => Keys::Custom(Arc::clone(source)),
            _ => Keys::Remote(Arc::new(self.remote_keys(issuer)?)),
        };
        Ok(self.keys.get_or_init(|| keys).clone())
    }

    fn remote_keys(&self, issuer: &IssuerUrl) -> Result<RemoteKeys, BuildError> {
        let in_range = |name: &str, value: Duration, least: Duration| {
            if (least..=DAY).contains(&value) {
                return Ok(value);
            }
            let message = format!("`{name}` is {value:?}: give between {least:?} and 24 h");
            Err(BuildError::new(BuildErrorKind::Setting, message))
        };
        let policy = RefreshPolicy {
            lifetime: in_range("key_set_lifetime", self.key_set_lifetime, MINUTE)?,
            last_known_good: in_range("last_known_good", self.last_known_good, Duration::ZERO)?,
        };
        let location = self.location(issuer)?;
        Ok(RemoteKeys::new(KeySetFetch::new(&self.url, self.client()?, location), policy))
    }

    fn location(&self, issuer: &IssuerUrl) -> Result<Location, BuildError> {
        let endpoint = |text: &str| {
            identifier::endpoint(text, self.plain_http)
                .map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the URL {error}")))
        };
        if let Some(uri) = &self.jwks_uri {
            return Ok(Location::Fixed(endpoint(uri)?));
        }
        let candidates = match &self.source {
            Source::Metadata(metadata) => {
                return metadata.jwks_url().cloned().map(Location::Fixed).ok_or_else(|| {
                    let message = "the metadata has no \"jwks_uri\": add it, or call `jwks_uri`";
                    BuildError::new(BuildErrorKind::Issuer, message)
                });
            }
            _ if self.well_known_url.is_some() => {
                self.well_known_url.iter().map(|url| endpoint(url)).collect::<Result<_, _>>()?
            }
            Source::Oidc => vec![appended(issuer, OIDC)],
            Source::Oauth => vec![inserted(issuer, OAUTH)],
            _ => vec![inserted(issuer, OAUTH), inserted(issuer, OIDC), appended(issuer, OIDC)],
        };
        let mut distinct = Vec::new();
        for candidate in candidates {
            if !distinct.contains(&candidate) {
                distinct.push(candidate);
            }
        }
        let discovery = Discovery {
            issuer: issuer.clone(),
            candidates: distinct,
            map: self.map_metadata.clone(),
            plain_http: self.plain_http,
        };
        Ok(Location::discovered(discovery))
    }

    fn client(&self) -> Result<Arc<dyn HttpClient>, BuildError> {
        if let Some(client) = &self.http_client {
            return Ok(Arc::clone(client));
        }
        #[cfg(feature = "reqwest")]
        {
            let client = crate::http_client::ReqwestClient::new().map_err(|error| {
                let message = "no HTTP client could be made: give one with `Issuer::http_client`";
                BuildError::new(BuildErrorKind::HttpClient, message).with_source(error)
            })?;
            Ok(Arc::new(client))
        }
        #[cfg(not(feature = "reqwest"))]
        Err(BuildError::new(
            BuildErrorKind::HttpClient,
            "there is no HTTP client: switch on the feature `reqwest`, or give one with `Issuer::http_client`",
        ))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Five minutes: the usual time between a new key's publication and its first signature.
const DEFAULT_KEY_SET_LIFETIME: Duration = Duration::from_secs(300);
/// An hour: longer than most outages, shorter than most plans to abuse a stolen key.
const DEFAULT_LAST_KNOWN_GOOD: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
