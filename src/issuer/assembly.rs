//! From an issuer as it is configured to what verifies its tokens.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Issuer;
use super::config::{DEFAULT_KEY_SET_LIFETIME, DEFAULT_KEY_SET_LIMITS, DEFAULT_LAST_KNOWN_GOOD, Introspected, Source};
use super::discovery::{Discovery, Needs, OAUTH, OIDC, appended, inserted};
use super::introspection_endpoint::IntrospectionEndpoint;
use super::key_set::{KeySetFetch, Location};
use super::metadata_source::MetadataSource;
use super::names::check_name;
use crate::claims::{AcceptedAudiences, Policy, WithoutAudience};
use crate::error::{BuildError, BuildErrorKind};
use crate::http_client::HttpClient;
use crate::identifier;
use crate::introspection::{Introspection, Introspector};
use crate::jose::AllowedAlgorithms;
use crate::keys::{Keys, RefreshPolicy, RemoteKeys, Reporting, UnusableKeys};
use crate::verify::{Asked, JwtVerifier, RevocationCheck, Verifier};

impl Issuer {
    /// What verifies this issuer's tokens for a resource that accepts `audiences`.
    pub(crate) fn verifier(
        &self,
        audiences: &AcceptedAudiences,
        skew: Duration,
        max_lifetime: Option<Duration>,
        wait_limit: Duration,
    ) -> Result<Verifier, BuildError> {
        self.check_identifier()?;
        self.check_agreement()?;
        self.check_texts()?;
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
        let (jwt, asked) = match (&self.source, &self.introspection) {
            (Source::Verifier(custom), _) => (None, Some(Asked::Custom(Arc::clone(custom)))),
            (_, None) => (Some(self.jwt_verifier(None)?), None),
            (_, Some((which, settings))) => {
                let introspector = self.introspector(settings)?;
                let jwt = match which {
                    Introspected::All => None,
                    Introspected::Opaque => Some(self.jwt_verifier(Some(&introspector))?),
                };
                (jwt, Some(Asked::Introspection(introspector)))
            }
        };
        let introspects_all = matches!(self.introspection, Some((Introspected::All, _)));
        // Without a key set such a JWT cannot be judged, and that is no reason to fail here.
        let not_introspected = introspects_all.then(|| self.jwt_verifier(None).ok()).flatten();
        let (issuer, scope_claims) = (self.url.clone(), self.scope_claims.clone());
        Ok(Verifier { issuer, policy, scope_claims, jwt, not_introspected, asked, wait_limit })
    }

    /// The texts that `aud` may be: `common` to all issuers of the resource, and those of this issuer.
    fn accepted_audiences(&self, common: &AcceptedAudiences) -> Result<AcceptedAudiences, BuildError> {
        let accepted = self.audiences.iter().fold(common.clone(), |accepted, alias| accepted.with_alias(alias));
        if let Some(client) = self.client_audiences.iter().find(|client| accepted.accept(client)) {
            let message = format!(
                "`accept_client_id_as_audience({client:?})` has no effect: this audience is accepted anyway, by \
                 `accept_audience` or as the resource; remove one"
            );
            return Err(BuildError::new(BuildErrorKind::Setting, message));
        }
        Ok(self.client_audiences.iter().fold(accepted, |accepted, client| accepted.with_client(client)))
    }

    /// The texts that `iss` may be.
    fn accepted_issuers(&self) -> Result<Vec<Box<str>>, BuildError> {
        // What stands for several tenants issues no token in its own name.
        let own = self.tenants.is_none().then(|| self.url.clone());
        let mut accepted: Vec<_> = own.into_iter().chain(self.also_issued_as.iter().cloned()).collect();
        if let Some(tenants) = &self.tenants {
            let wrong = |message: &str| Err(BuildError::new(BuildErrorKind::Issuer, message));
            if !tenants.template.contains(TENANT) {
                return wrong(
                    "the tenant template has no \"{tenantid}\" in it: give the metadata's `issuer` as it stands there",
                );
            }
            let is_tenant = |tenant: &str| {
                !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            };
            if tenants.accepted.is_empty() || !tenants.accepted.iter().all(|tenant| is_tenant(tenant)) {
                return wrong("the tenants must be listed, each by its identifier: letters, digits, '-', '.', '_'");
            }
            for tenant in &tenants.accepted {
                let issuer: Box<str> = tenants.template.replace(TENANT, tenant).into();
                self.parse(&issuer)?;
                accepted.push(issuer);
            }
        }
        for name in &self.also_issued_as {
            check_name(name)?;
        }
        for (index, issuer) in accepted.iter().enumerate() {
            if accepted.iter().take(index).any(|other| other == issuer) {
                let message = format!("the issuer {issuer:?} stands twice: remove one");
                return Err(BuildError::new(BuildErrorKind::Issuer, message));
            }
        }
        Ok(accepted)
    }

    fn check_texts(&self) -> Result<(), BuildError> {
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Setting, message));
        if let Some(message) = self.scope_claims.iter().find_map(|pointer| pointer_mistake(pointer)) {
            return wrong(message);
        }
        if self.audiences.iter().chain(&self.client_audiences).any(|alias| alias.is_empty()) {
            return wrong("an accepted audience is empty: remove it".to_owned());
        }
        if !self.without_audience.is_meaningful() {
            return wrong(
                "`dangerously_accept_clients_without_audience` names no client, or an empty one: name each".to_owned(),
            );
        }
        if self.revocation_check.is_some_and(|interval| !REVOCATION_CHECK.contains(&interval)) {
            return wrong("`revocation_check` must be between 1 s and 1 h".to_owned());
        }
        self.introspection.as_ref().map_or(Ok(()), |(_, settings)| settings.check())
    }

    /// A setter that another one makes meaningless is a mistake, whichever was meant.
    fn check_agreement(&self) -> Result<(), BuildError> {
        let which = self.introspection.as_ref().map(|(which, _)| *which);
        let is_custom = matches!(self.source, Source::Verifier(_));
        let can_discover = matches!(self.source, Source::Discover | Source::Oidc | Source::Oauth);
        let verifies_jwts = !is_custom && which != Some(Introspected::All);
        let fetches_keys = verifies_jwts && !matches!(self.source, Source::Jwks(_) | Source::Keys(_));
        let needs = self.needs();
        let fetches_metadata = can_discover && (needs.jwks_uri || needs.introspection_endpoint);
        let introspects = which.is_some() && !is_custom;
        let has_keys = matches!(self.source, Source::Jwks(_) | Source::Keys(_));
        let idle = [
            ("well_known_url", self.well_known_url.is_some() && !fetches_metadata),
            ("map_metadata", self.map_metadata.is_some() && !fetches_metadata),
            ("tenant_template", self.tenants.is_some() && !fetches_metadata),
            ("jwks_uri", self.jwks_uri.is_some() && !fetches_keys),
            ("algorithms", self.algorithms.is_some() && !verifies_jwts),
            ("require_at_jwt", self.at_jwt_required && !verifies_jwts),
            ("http_client", self.http_client.is_some() && !fetches_keys && !introspects),
            ("key_set_lifetime", self.key_set_lifetime != DEFAULT_KEY_SET_LIFETIME && !fetches_keys),
            ("last_known_good", self.last_known_good != DEFAULT_LAST_KNOWN_GOOD && !fetches_keys),
            (
                "dangerously_accept_missing_token_type",
                self.missing_token_type_accepted
                    && (!introspects || matches!(self.without_audience, WithoutAudience::Refused)),
            ),
            ("max_keys", self.key_set_limits.keys != DEFAULT_KEY_SET_LIMITS.keys && !fetches_keys),
            ("max_key_set_size", self.key_set_limits.bytes != DEFAULT_KEY_SET_LIMITS.bytes && !fetches_keys),
            ("introspection", which.is_some() && is_custom),
            ("introspection", which == Some(Introspected::All) && has_keys),
            ("introspection_endpoint", self.introspection_endpoint.is_some() && !introspects),
        ];
        if let Some((setter, _)) = idle.iter().find(|(_, idle)| *idle) {
            let message = format!("`{setter}` has no effect beside another setting of {:?}: remove one", self.url);
            return Err(BuildError::new(BuildErrorKind::Setting, message));
        }
        if self.revocation_check.is_some() && which != Some(Introspected::Opaque) {
            let message = "`revocation_check` needs the credentials of `introspect_opaque`: call both, or let \
                           `introspection` ask about every token";
            return Err(BuildError::new(BuildErrorKind::Setting, message));
        }
        if introspects && self.introspection_endpoint.is_none() && has_keys {
            let message = "nothing says where tokens are introspected: call `introspection_endpoint`";
            return Err(BuildError::new(BuildErrorKind::Issuer, message));
        }
        Ok(())
    }

    /// What the metadata must tell.
    fn needs(&self) -> Needs {
        let which = self.introspection.as_ref().map(|(which, _)| *which);
        Needs {
            jwks_uri: self.jwks_uri.is_none() && which != Some(Introspected::All),
            introspection_endpoint: self.introspection_endpoint.is_none() && which.is_some(),
        }
    }

    fn jwt_verifier(&self, introspector: Option<&Arc<Introspector>>) -> Result<JwtVerifier, BuildError> {
        let revocation = introspector
            .zip(self.revocation_check)
            .map(|(introspector, interval)| RevocationCheck { introspector: Arc::clone(introspector), interval });
        Ok(JwtVerifier {
            keys: self.parts.keys.get_or_make(|| self.keys())?,
            algorithms: self.allowed_algorithms()?,
            at_jwt_required: self.at_jwt_required,
            revocation,
        })
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
            let message = format!("`{name}` is {value:?}: give between {least:?} and 24 h");
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
                let message = format!("`{name}` is {value}: give between {} and {}", range.start(), range.end());
                return Err(BuildError::new(BuildErrorKind::Setting, message));
            }
        }
        let location = match (&self.jwks_uri, &self.source) {
            (Some(uri), _) => Location::Fixed(self.endpoint(uri)?),
            (None, Source::Metadata(metadata)) => {
                let message = "the metadata has no \"jwks_uri\": add it, or call `jwks_uri`";
                Location::Fixed(metadata.jwks_url().ok_or_else(|| missing(message))?.url.clone())
            }
            _ => Location::Discovered(self.metadata()?),
        };
        Ok(RemoteKeys::new(KeySetFetch::new(&self.url, self.client()?, location, limits), policy))
    }

    fn introspector(&self, settings: &Introspection) -> Result<Arc<Introspector>, BuildError> {
        self.parts.introspector.get_or_make(|| {
            let endpoint = match (&self.introspection_endpoint, &self.source) {
                (Some(url), _) => IntrospectionEndpoint::Fixed(self.endpoint(url)?),
                (None, Source::Metadata(metadata)) => {
                    let message =
                        "the metadata has no \"introspection_endpoint\": add it, or call `introspection_endpoint`";
                    let named = metadata.introspection_url().ok_or_else(|| missing(message))?;
                    IntrospectionEndpoint::Fixed(named.url.clone())
                }
                _ => IntrospectionEndpoint::Discovered(self.metadata()?),
            };
            let introspector = Introspector::new(&self.url, self.client()?, endpoint, settings.clone());
            introspector.map(Arc::new).ok_or_else(|| {
                let message = "what was introspected cannot be remembered: switch on the feature `aws-lc-rs` or \
                               `rust-crypto`";
                BuildError::new(BuildErrorKind::Setting, message)
            })
        })
    }

    fn metadata(&self) -> Result<Arc<MetadataSource>, BuildError> {
        self.parts.metadata.get_or_make(|| {
            let issuer = &self.parse(&self.url)?;
            let mut candidates = match &self.source {
                _ if self.well_known_url.is_some() => {
                    self.well_known_url.iter().map(|url| self.endpoint(url)).collect::<Result<_, _>>()?
                }
                Source::Oidc => vec![appended(issuer, OIDC)],
                Source::Oauth => vec![inserted(issuer, OAUTH)],
                _ => vec![inserted(issuer, OAUTH), inserted(issuer, OIDC), appended(issuer, OIDC)],
            };
            // Without a path the two forms are one.
            candidates.dedup();
            let discovery = Discovery {
                issuer: issuer.clone(),
                expected: self.tenants.as_ref().map_or_else(|| self.url.clone(), |tenants| tenants.template.clone()),
                candidates,
                needs: self.needs(),
                map: self.map_metadata.clone(),
                plain_http: self.plain_http,
            };
            Ok(Arc::new(MetadataSource::new(discovery, self.client()?)))
        })
    }

    fn endpoint(&self, text: &str) -> Result<Url, BuildError> {
        identifier::endpoint(text, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the URL {error}")))
    }

    fn client(&self) -> Result<Arc<dyn HttpClient>, BuildError> {
        if let Some(client) = &self.http_client {
            return Ok(Arc::clone(client));
        }
        self.parts.client.get_or_make(|| default_client(self.names_https()))
    }

    /// Whether a URL that is going to be fetched is https, as far as is known before anything is.
    fn names_https(&self) -> bool {
        let needs = self.needs();
        let is_found = self.well_known_url.is_none() && (needs.jwks_uri || needs.introspection_endpoint);
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
        let message = format!("the HTTP client cannot be set up: {cause}; or give one with `Issuer::http_client`");
        BuildError::new(BuildErrorKind::HttpClient, message)
    })?;
    Ok(Arc::new(client))
}

#[cfg(not(feature = "reqwest"))]
fn default_client(_: bool) -> Result<Arc<dyn HttpClient>, BuildError> {
    Err(BuildError::new(
        BuildErrorKind::HttpClient,
        "there is no HTTP client: switch on the feature `reqwest`, or give one with `Issuer::http_client`",
    ))
}

/// What is wrong with a JSON pointer (RFC 6901, section 3), if anything is.
fn pointer_mistake(pointer: &str) -> Option<String> {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    if pointer.contains("://") {
        let name = escaped(pointer.strip_prefix('/').unwrap_or(pointer));
        return Some(format!("{pointer:?} looks for the claim \"https:\" or the like: write \"/{name}\" (RFC 6901)"));
    }
    if !pointer.starts_with('/') {
        return Some(format!("{pointer:?} is not a JSON pointer: write \"/{}\" (RFC 6901)", escaped(pointer)));
    }
    pointer
        .split('~')
        .skip(1)
        .any(|after| !after.starts_with(['0', '1']))
        .then(|| format!("{pointer:?} is not a JSON pointer: write \"~0\" for \"~\" and \"~1\" for \"/\" (RFC 6901)"))
}

fn missing(message: &str) -> BuildError {
    BuildError::new(BuildErrorKind::Issuer, message)
}

/// What stands for a tenant in Entra's metadata.
const TENANT: &str = "{tenantid}";
/// More often is `introspection`; more rarely, most tokens have expired by themselves.
const REVOCATION_CHECK: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// More keys would make each look-up slow: it compares key ids one by one.
const MAX_KEYS: RangeInclusive<usize> = 1..=1_000;
/// In bytes. One key takes some hundred; a thousand with certificates some megabytes.
const MAX_KEY_SET_SIZE: RangeInclusive<usize> = 1024..=4 * 1024 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
