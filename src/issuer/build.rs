//! Builds the verifier of an issuer from its settings.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Issuer;
use super::config::{Introspected, Source};
use crate::claims::{AcceptedAudiences, Policy};
use crate::discovery::{
    AuthorizationServerMetadata, Discovery, DiscoveryMethod, EndpointSource, EndpointUrl, MetadataSource,
    RequiredMembers,
};
use crate::error::{BuildError, BuildErrorKind};
use crate::http_client::HttpClient;
use crate::identifier;
use crate::introspection::{Introspection, Introspector};
use crate::jose::AllowedAlgorithms;
use crate::keys::{KeySetFetcher, Keys, RefreshPolicy, RemoteKeys, Reporting, UnusableKeys};
use crate::verify::{IssuerVerifier, JwtKeys, Method};

impl Issuer {
    /// The verifier of this issuer's tokens for a resource that accepts `audiences`.
    pub(crate) fn verifier(
        &self,
        audiences: &AcceptedAudiences,
        skew: Duration,
        max_lifetime: Option<Duration>,
        time_limit: Duration,
    ) -> Result<IssuerVerifier, BuildError> {
        self.check_identifier()?;
        self.check_combination()?;
        self.check_values()?;
        let policy = Policy {
            issuers: self.accepted_issuers()?,
            audiences: self.accepted_audiences(audiences)?,
            without_audience: self.without_audience.clone(),
            skew,
            max_lifetime,
            rfc9068_required: self.at_jwt_required,
            id_token_claims_accepted: self.id_token_claims_accepted,
            missing_token_type_accepted: self.missing_token_type_accepted,
        };
        let method = match (&self.source, &self.introspection) {
            (Source::Verifier(custom), _) => Method::Custom(Arc::clone(custom)),
            (_, None) => Method::Jwt(self.jwt_keys()?),
            (_, Some((Introspected::Opaque, settings))) => Method::JwtOrIntrospection {
                introspector: self.introspector(settings)?,
                keys: self.jwt_keys()?,
                revocation_check: self.revocation_check,
            },
            (_, Some((Introspected::All, settings))) => Method::Introspection {
                introspector: self.introspector(settings)?,
                // An issuer whose tokens are introspected needs no keys.
                keys: self.jwt_keys().ok(),
            },
        };
        let (issuer, scope_claims) = (self.url.clone(), self.scope_claims.clone());
        Ok(IssuerVerifier { issuer, policy, scope_claims, method, time_limit })
    }

    /// The accepted values of `aud`: those of the resource, and those of this issuer.
    fn accepted_audiences(&self, common: &AcceptedAudiences) -> Result<AcceptedAudiences, BuildError> {
        let accepted = self.audiences.iter().fold(common.clone(), |accepted, alias| accepted.with_alias(alias));
        if let Some(client) = self.client_audiences.iter().find(|client| accepted.accept(client)) {
            let message = format!(
                "`accept_client_id_as_audience({client:?})` has no effect, because this audience is already \
                 accepted by `accept_audience` or as the resource; remove one"
            );
            return Err(BuildError::new(BuildErrorKind::Setting, message));
        }
        Ok(self.client_audiences.iter().fold(accepted, |accepted, client| accepted.with_client(client)))
    }

    /// The members that discovered metadata must have.
    pub(super) fn required_members(&self) -> RequiredMembers {
        let which = self.introspection.as_ref().map(|(which, _)| *which);
        RequiredMembers {
            jwks_uri: self.jwks_uri.is_none() && which != Some(Introspected::All),
            introspection_endpoint: self.introspection_endpoint.is_none() && which.is_some(),
        }
    }

    fn jwt_keys(&self) -> Result<JwtKeys, BuildError> {
        Ok(JwtKeys { keys: self.parts.keys.get_or_make(|| self.keys())?, algorithms: self.allowed_algorithms()? })
    }

    fn allowed_algorithms(&self) -> Result<AllowedAlgorithms, BuildError> {
        let supported = AllowedAlgorithms::supported();
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Algorithm, message));
        if supported.is_empty() {
            return wrong("no signature can be verified; enable the feature `aws-lc-rs` or `rust-crypto`".to_owned());
        }
        let Some(algorithms) = &self.algorithms else { return Ok(supported) };
        if let Some(unsupported) = algorithms.iter().find(|algorithm| !algorithm.is_supported()) {
            return wrong(format!("{unsupported} cannot be verified by this build; enable the feature `aws-lc-rs`"));
        }
        if algorithms.is_empty() {
            return wrong("the list of accepted algorithms is empty; add at least one, or remove the call".to_owned());
        }
        Ok(algorithms.iter().copied().collect())
    }

    fn keys(&self) -> Result<Keys, BuildError> {
        Ok(match &self.source {
            Source::Jwks(keys) => {
                UnusableKeys::default().report(&self.url, keys);
                Keys::Fixed(Arc::new(keys.clone()))
            }
            Source::Keys(source) => {
                let (issuer, source) = (self.url.clone(), Arc::clone(source));
                Keys::Custom(Arc::new(Reporting { issuer, source, unusable: UnusableKeys::default() }))
            }
            _ => Keys::Remote(Arc::new(self.remote_keys()?)),
        })
    }

    fn remote_keys(&self) -> Result<RemoteKeys, BuildError> {
        let in_range = |name: &str, value: Duration, least: Duration| {
            if (least..=DAY).contains(&value) {
                return Ok(value);
            }
            let message = format!("`{name}` is {value:?}; use between {least:?} and 24 h");
            Err(BuildError::new(BuildErrorKind::Setting, message))
        };
        let policy = RefreshPolicy {
            lifetime: in_range("key_set_lifetime", self.key_set_lifetime, MINUTE)?,
            last_known_good: in_range("last_known_good", self.last_known_good, Duration::ZERO)?,
        };
        let limits = self.key_set_limits;
        for (name, value, range) in
            [("max_keys", limits.keys, MAX_KEYS), ("max_key_set_size", limits.bytes, MAX_KEY_SET_SIZE)]
        {
            if !range.contains(&value) {
                let message = format!("`{name}` is {value}; use between {} and {}", range.start(), range.end());
                return Err(BuildError::new(BuildErrorKind::Setting, message));
            }
        }
        let missing = "the metadata has no \"jwks_uri\": add it, or call `jwks_uri`";
        let endpoint = self.endpoint(self.jwks_uri.as_deref(), AuthorizationServerMetadata::key_set, missing)?;
        Ok(RemoteKeys::new(KeySetFetcher::new(&self.url, self.client()?, endpoint, limits), policy))
    }

    fn introspector(&self, settings: &Introspection) -> Result<Arc<Introspector>, BuildError> {
        self.parts.introspector.get_or_make(|| {
            let configured = self.introspection_endpoint.as_deref();
            let missing = "the metadata has no \"introspection_endpoint\": add it, or call `introspection_endpoint`";
            let endpoint = self.endpoint(configured, AuthorizationServerMetadata::introspection, missing)?;
            let introspector = Introspector::new(&self.url, self.client()?, endpoint, settings.clone());
            introspector.map(Arc::new).ok_or_else(|| {
                let message = "introspection results cannot be cached; enable the feature `aws-lc-rs` or \
                               `rust-crypto`";
                BuildError::new(BuildErrorKind::Setting, message)
            })
        })
    }

    /// The source of an endpoint's URL: the configured URL, else the configured metadata, else the discovered metadata.
    fn endpoint(
        &self,
        configured: Option<&str>,
        of_metadata: fn(&AuthorizationServerMetadata) -> Option<&EndpointUrl>,
        missing: &str,
    ) -> Result<EndpointSource, BuildError> {
        match (configured, &self.source) {
            (Some(url), _) => Ok(EndpointSource::Configured(self.parse_url(url)?)),
            (None, Source::Metadata(metadata)) => match of_metadata(metadata) {
                Some(endpoint) => Ok(EndpointSource::Configured(endpoint.url.clone())),
                None => Err(BuildError::new(BuildErrorKind::Issuer, missing)),
            },
            _ => Ok(EndpointSource::Discovered(self.metadata()?)),
        }
    }

    fn metadata(&self) -> Result<Arc<MetadataSource>, BuildError> {
        self.parts.metadata.get_or_make(|| {
            let issuer = self.parse(&self.url)?;
            let candidates = match (&self.well_known_url, &self.source) {
                (Some(url), _) => vec![self.parse_url(url)?],
                (None, Source::Discover(method)) => method.candidates(&issuer),
                (None, _) => DiscoveryMethod::Any.candidates(&issuer),
            };
            let template = self.tenants.as_ref().map(|tenants| &tenants.template);
            let discovery = Discovery {
                issuer,
                expected_issuer: template.unwrap_or(&self.url).clone(),
                candidates,
                required: self.required_members(),
                map: self.map_metadata.clone(),
                plain_http: self.plain_http,
            };
            Ok(Arc::new(MetadataSource::new(discovery, self.client()?)))
        })
    }

    fn parse_url(&self, text: &str) -> Result<Url, BuildError> {
        identifier::endpoint(text, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the URL {error}")))
    }

    fn client(&self) -> Result<Arc<dyn HttpClient>, BuildError> {
        if let Some(client) = &self.http_client {
            return Ok(Arc::clone(client));
        }
        self.parts.client.get_or_make(|| default_client(self.names_https()))
    }

    /// Whether one of the known URLs is https.
    fn names_https(&self) -> bool {
        let required = self.required_members();
        let is_found = self.well_known_url.is_none() && (required.jwks_uri || required.introspection_endpoint);
        let metadata = match &self.source {
            Source::Metadata(metadata) => [metadata.jwks_uri(), metadata.introspection_endpoint()],
            _ => [is_found.then_some(&*self.url), self.well_known_url.as_deref()],
        };
        let named = [self.jwks_uri.as_deref(), self.introspection_endpoint.as_deref()];
        let is_https = |url: &str| url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        metadata.into_iter().chain(named).flatten().any(is_https)
    }
}

#[cfg(feature = "reqwest")]
fn default_client(names_https: bool) -> Result<Arc<dyn HttpClient>, BuildError> {
    use std::error::Error as _;

    use crate::http_client::ReqwestClient;
    let client = match ReqwestClient::new() {
        Err(_) if !names_https => ReqwestClient::without_certificates(),
        client => client,
    };
    let client = client.map_err(|error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let message = format!("the HTTP client cannot be set up: {cause}; or pass your own to `Issuer::http_client`");
        BuildError::new(BuildErrorKind::HttpClient, message)
    })?;
    Ok(Arc::new(client))
}

#[cfg(not(feature = "reqwest"))]
fn default_client(_: bool) -> Result<Arc<dyn HttpClient>, BuildError> {
    Err(BuildError::new(
        BuildErrorKind::HttpClient,
        "there is no HTTP client; enable the feature `reqwest`, or pass your own to `Issuer::http_client`",
    ))
}

/// More keys would make each look-up slow, because key ids are compared one by one.
const MAX_KEYS: RangeInclusive<usize> = 1..=1_000;
/// In bytes. A key has a few hundred bytes; a thousand keys with certificates have a few megabytes.
const MAX_KEY_SET_SIZE: RangeInclusive<usize> = 1024..=4 * 1024 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
