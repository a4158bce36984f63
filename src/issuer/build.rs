//! Builds the verifier of an issuer from its settings.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Issuer;
use super::config::{Introspected, Source};
use crate::claims::{AcceptedAudiences, AcceptedConfirmations, Policy};
use crate::clock::Clock;
use crate::discovery::{
    AuthorizationServerMetadata, Discovery, DiscoveryMethod, EndpointSource, EndpointUrl, MetadataSource,
};
use crate::error::{BuildError, BuildErrorKind, first_mistake};
use crate::http_client::{AddressPolicy, HttpClient};
use crate::identifier;
use crate::introspection::{Introspector, LookupCode};
use crate::keys::{KeySetFetcher, Keys, RemoteKeys, UnusableKeys};
use crate::verify::{DynVerifier, IssuerVerifier, Method, VerifierLookup};

impl Issuer {
    /// The URLs at which the metadata of this issuer is looked up, in the order in which they are tried (RFC 8414,
    /// section 3; OpenID Connect Discovery 1.0, section 4.1). An issuer without discovery has none.
    ///
    /// ```
    /// let urls = mcp_bearer::Issuer::discover("https://auth.example.com/realms/demo").metadata_urls()?;
    /// assert_eq!(urls, [
    ///     "https://auth.example.com/.well-known/oauth-authorization-server/realms/demo",
    ///     "https://auth.example.com/.well-known/openid-configuration/realms/demo",
    ///     "https://auth.example.com/realms/demo/.well-known/openid-configuration",
    /// ]);
    /// # Ok::<(), mcp_bearer::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildErrorKind::Issuer`] if the issuer or the URL of [`well_known_url`](Self::well_known_url) is not valid.
    pub fn metadata_urls(&self) -> Result<Vec<String>, BuildError> {
        let Source::Discover(method) = &self.source else { return Ok(Vec::new()) };
        Ok(self.discovery(*method)?.candidates.into_iter().map(String::from).collect())
    }

    /// The verifier of this issuer's tokens for a resource that accepts `audiences`.
    pub(crate) fn verifier(
        &self,
        audiences: &AcceptedAudiences,
        skew: Duration,
        max_lifetime: Option<Duration>,
        (time_limit, clock): (Duration, &dyn Clock),
    ) -> Result<IssuerVerifier, BuildError> {
        self.check_identifier()?;
        first_mistake(self.combination_mistakes())?;
        first_mistake(self.value_mistakes())?;
        let policy = Policy {
            issuers: self.accepted_issuers()?,
            audiences: self.accepted_audiences(audiences)?,
            without_audience: self.without_audience.clone(),
            skew,
            max_lifetime,
            rfc9068_required: self.at_jwt_required,
            id_token_claims_accepted: self.id_token_claims_accepted,
            missing_token_type_accepted: self.missing_token_type_accepted,
            confirmations: AcceptedConfirmations::default(),
        };
        Ok(IssuerVerifier {
            issuer: self.url.clone(),
            events: Arc::clone(&self.events),
            policy,
            scope_claims: self.scope_claims.clone(),
            algorithms: self.accepted_algorithms()?,
            method: self.shared_method(clock)?,
            revocation_check: self.revocation_check,
            time_limit,
        })
    }

    /// The accepted values of `aud`: those of the resource, and those of this issuer.
    pub(crate) fn accepted_audiences(&self, common: &AcceptedAudiences) -> Result<AcceptedAudiences, BuildError> {
        let mut accepted = common.clone();
        accepted.exact.extend_from_slice(&self.audiences);
        if let Some(client) = self.client_audiences.iter().find(|client| accepted.accept(client)) {
            return Err(BuildError::setting(format!(
                "`accept_client_id_as_audience({client:?})` has no effect, because this audience is already \
                 accepted by `accept_audience` or as the resource; remove one"
            )));
        }
        accepted.clients.clone_from(&self.client_audiences);
        Ok(accepted)
    }

    /// The method of this issuer and of its clones. The first one that is built makes it.
    fn shared_method(&self, clock: &dyn Clock) -> Result<Method, BuildError> {
        if let Some(method) = self.method.get() {
            return Ok(method.clone());
        }
        let method = match (&self.source, &self.introspection) {
            (Source::Verifier(custom), _) => self.own_method(custom)?,
            (Source::Keys(keys), None) => Method::Jwt(keys.clone()),
            _ => self.remote_method(clock)?,
        };
        if let Source::Keys(Keys::Fixed(set)) = &self.source {
            UnusableKeys::default().report(&self.events, set);
        }
        Ok(self.method.get_or_init(|| method).clone())
    }

    /// The verifier of the application, with or without limits.
    fn own_method(&self, verifier: &Arc<dyn DynVerifier>) -> Result<Method, BuildError> {
        let verifier = Arc::clone(verifier);
        let Some(limits) = self.verifier_limits else { return Ok(Method::Custom(verifier)) };
        let lookup = Arc::new(VerifierLookup { issuer: self.url.clone(), verifier });
        let introspector =
            Introspector::for_application(Arc::clone(&self.events), LookupCode::TokenVerifier, lookup, limits);
        Ok(Method::Introspection { introspector: Arc::new(introspector.ok_or_else(no_cache)?), keys: None })
    }

    /// A method that sends requests.
    fn remote_method(&self, clock: &dyn Clock) -> Result<Method, BuildError> {
        let client = self.client()?;
        let seed = self.key_seed(clock)?;
        let discovered = match &self.source {
            Source::Discover(method) => Some(Arc::new(MetadataSource::new(
                self.discovery(*method)?,
                Arc::clone(&client),
                Arc::clone(&self.events),
            ))),
            _ => None,
        };
        let endpoint = |name: &str, configured: Option<Url>, of_metadata: EndpointOf| {
            if let Some(url) = configured {
                return Ok(EndpointSource::Configured(EndpointUrl { url, addresses: AddressPolicy::Any }));
            }
            if let Some(metadata) = &discovered {
                return Ok(EndpointSource::Discovered(Arc::clone(metadata)));
            }
            let found = match &self.source {
                Source::Metadata(metadata) => of_metadata(metadata),
                _ => None,
            };
            let missing = format!("{name:?} is missing; add it to the metadata, or call `{name}` with the URL");
            let endpoint = found.ok_or_else(|| BuildError::issuer(missing))?;
            Ok(EndpointSource::Configured(endpoint.clone()))
        };
        let keys = match &self.source {
            Source::Keys(keys) => Ok(keys.clone()),
            _ => {
                let configured = self.jwks_uri.as_deref().map(|url| self.parse_url(url)).transpose()?;
                endpoint("jwks_uri", configured, |metadata| metadata.jwks_uri.as_ref()).map(|endpoint| {
                    let fetcher = KeySetFetcher::new(
                        Arc::clone(&self.events),
                        Arc::clone(&client),
                        endpoint,
                        self.key_set_limits,
                    );
                    Keys::Remote(Arc::new(RemoteKeys::new(fetcher, self.refresh_policy, seed)))
                })
            }
        };
        let Some((which, settings)) = &self.introspection else { return Ok(Method::Jwt(keys?)) };
        let configured = self.introspection_endpoint.as_deref().map(|url| self.parse_introspection_endpoint(url));
        let endpoint = endpoint("introspection_endpoint", configured.transpose()?, |metadata| {
            metadata.introspection_endpoint.as_ref()
        })?;
        let introspector =
            Introspector::new(Arc::clone(&self.events), client, endpoint, settings.clone()).ok_or_else(no_cache)?;
        let introspector = Arc::new(introspector);
        Ok(match which {
            Introspected::Opaque => Method::JwtOrIntrospection { keys: keys?, introspector },
            // An issuer whose tokens are introspected needs no keys.
            Introspected::All => Method::Introspection { keys: keys.ok(), introspector },
        })
    }

    fn discovery(&self, method: DiscoveryMethod) -> Result<Discovery, BuildError> {
        let issuer = self.parse(&self.url)?;
        let candidates = match &self.well_known_url {
            Some(url) => vec![self.parse_url(url)?],
            None => method.candidates(&issuer),
        };
        let template = self.tenants.as_ref().map(|tenants| &tenants.template);
        Ok(Discovery {
            issuer,
            expected_issuer: template.unwrap_or(&self.url).clone(),
            candidates,
            required: self.required_members(),
            map: self.map_metadata.clone(),
            plain_http: self.plain_http,
        })
    }

    pub(super) fn parse_url(&self, text: &str) -> Result<Url, BuildError> {
        identifier::endpoint(text, self.plain_http).map_err(|error| BuildError::issuer(format!("the URL {error}")))
    }

    fn client(&self) -> Result<Arc<dyn HttpClient>, BuildError> {
        self.http_client.clone().map_or_else(|| default_client(self.names_https()), Ok)
    }

    /// Whether one of the URLs from which something is fetched is https, as far as they are known.
    fn names_https(&self) -> bool {
        let metadata = match &self.source {
            Source::Metadata(metadata) => [metadata.jwks_uri(), metadata.introspection_endpoint()],
            _ if self.fetches_metadata() => [Some(self.well_known_url.as_deref().unwrap_or(&self.url)), None],
            _ => [None, None],
        };
        let configured = [self.jwks_uri.as_deref(), self.introspection_endpoint.as_deref()];
        let is_https = |url: &str| url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        metadata.into_iter().chain(configured).flatten().any(is_https)
    }
}

fn no_cache() -> BuildError {
    BuildError::setting("introspection results cannot be cached; enable the feature `aws-lc-rs` or `rust-crypto`")
}

/// The member of a metadata document that has the URL of an endpoint.
type EndpointOf = fn(&AuthorizationServerMetadata) -> Option<&EndpointUrl>;

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
    let message = "there is no HTTP client; enable the feature `reqwest`, or pass your own to `Issuer::http_client`";
    Err(BuildError::new(BuildErrorKind::HttpClient, message))
}
