//! Builds the server from the settings of a [`ResourceServerBuilder`], and finds the mistakes in them.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::shared::share_introspection_results;
use super::upkeep::Upkeep;
use super::{ResourceServer, ResourceServerBuilder};
use crate::api_key::{ApiKeyTable, ApiKeys};
use crate::bearer::{CredentialHeaders, Development, Guard};
use crate::claims::{AcceptedAudiences, MAX_SKEW};
use crate::error::{BuildError, BuildErrorKind, SetterMistake, check_range, first_mistake};
use crate::events::ServerEvents;
use crate::identifier::ResourceUrl;
use crate::issuer::Issuer;
use crate::jose::MAX_TOKEN;
use crate::keys::Keys;
use crate::resource::{MetadataService, WellKnown};
use crate::scope::{RequestedScopes, ScopeHierarchy};
use crate::verify::{IssuerVerifier, OpaqueRoute, VerifiedTokens, Verifier};

impl ResourceServerBuilder {
    pub(super) fn into_server(mut self) -> Result<ResourceServer, BuildError> {
        let resource = self.resource_url()?;
        first_mistake(self.value_mistakes())?;
        self.open_shared_state()?;
        let credentials = self.credential_headers()?;
        let development = self.development_identity(&resource)?;
        let scopes_supported = self.advertised_scopes()?;
        let hierarchy = ScopeHierarchy::new(&self.implications)?;
        let verifiers = self.verifiers(&resource)?;
        let opaque_route = self.opaque_route(&verifiers)?;
        let events = Arc::new(ServerEvents {
            observers: self.observers.clone(),
            claims_omitted: self.claims_omitted,
            ..ServerEvents::new(&*resource.text)
        });
        for verifier in &verifiers {
            verifier.events.subscribe(&self.observers);
        }
        let verified = self.verified_tokens(&verifiers, &events)?;
        let clock = Arc::clone(&self.clock);
        let verifier = Verifier::new(verifiers, opaque_route, self.max_token_length, verified, clock);
        let verifier = verifier.with_api_keys(self.api_key_table()?).with_revocations(self.revocation_list());
        let well_known = self.well_known(&resource)?;
        let authorization_servers: Vec<&str> = self.issuers.iter().filter_map(Issuer::published_url).collect();
        if authorization_servers.is_empty() && self.development.is_none() && self.api_keys.is_some() {
            tracing::warn!(target: "mcp_bearer",
                "no issuer is published, so the metadata names no authorization server and MCP clients cannot log in: ignore \
                 this if all clients have API keys or log in elsewhere, else add an issuer with an https URL");
        } else if authorization_servers.is_empty() && self.development.is_none() {
            tracing::warn!(target: "mcp_bearer",
                "no issuer is published, so the metadata names no authorization server and MCP clients cannot log in: use the \
                 https URL of an issuer, or call `published` for an issuer that clients can ask for tokens");
        }
        let requested = RequestedScopes::new(&self.challenge_scopes)?;
        let published = requested.translate(&scopes_supported);
        let initial_scopes = self.first_challenge_scopes()?;
        let sender = self.sender_rules(&resource, &events)?;
        let document = self.metadata.document(&resource, &authorization_servers, &published, self.sender.metadata())?;
        let metadata = MetadataService::new(document, &well_known);
        let guard = Guard {
            reach: Arc::clone(metadata.reach()),
            realm: self.realm.map(Arc::from),
            credentials: Arc::new(credentials),
            development: development.map(Arc::new),
            sender,
            hierarchy: Arc::new(hierarchy),
            requested: Arc::new(requested),
            initial_scopes,
            scopes_supported,
            events,
            ..Guard::new(&*well_known.url)
        };
        // At the end, because an issuer stays connected to the store.
        if let Some(shared) = &self.shared_results {
            share_introspection_results(shared, verifier.issuers())?;
        }
        Ok(ResourceServer {
            verifier: Arc::new(verifier),
            guard: Arc::new(guard),
            metadata,
            clock: self.clock,
            skew: self.skew,
            upkeep: Upkeep::default(),
            shared_revocations: self.shared_revocations,
        })
    }

    /// The header of the token: of `token_from`, else that of the issuers. `None` means `Authorization`.
    pub(super) fn token_header(&self) -> Result<Option<&str>, BuildError> {
        let named = self.token_header.as_deref();
        let Some(first) = self.issuers.first().filter(|_| named.is_none()) else { return Ok(named) };
        let header = |issuer: &Issuer| issuer.token_header().unwrap_or("authorization");
        match self.issuers.iter().find(|issuer| header(issuer) != header(first)) {
            None => Ok(first.token_header()),
            Some(other) => Err(BuildError::setting(format!(
                "the tokens of the issuer {:?} are in the header {:?}, and those of {:?} in {:?}; build one server for each \
                 header, or name the header of all tokens with `token_from`",
                first.url(),
                header(first),
                other.url(),
                header(other),
            ))),
        }
    }

    /// Where the credentials are.
    pub(super) fn credential_headers(&self) -> Result<CredentialHeaders, BuildError> {
        let key_header = self.api_keys.as_ref().and_then(ApiKeys::header_name);
        let headers = CredentialHeaders::new(self.token_header()?, key_header, MCP_HEADERS)?;
        if self.sender.accepts_dpop() { headers.with_dpop() } else { Ok(headers) }
    }

    /// The caller of requests without credentials.
    pub(super) fn development_identity(&self, resource: &ResourceUrl) -> Result<Option<Development>, BuildError> {
        let host = resource.url.host_str().unwrap_or_default();
        self.development.as_ref().map(|identity| Development::new(identity, host)).transpose()
    }

    pub(super) fn resource_url(&self) -> Result<ResourceUrl, BuildError> {
        ResourceUrl::parse(&self.resource, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Resource, format!("the resource {error}")))
    }

    /// The values that are wrong in themselves, each with its setter.
    pub(super) fn value_mistakes(&self) -> Vec<SetterMistake> {
        let ranges = [
            ("clock_skew", check_range("clock_skew", self.skew, Duration::ZERO..=MAX_SKEW)),
            ("max_token_length", check_range("max_token_length", self.max_token_length, MAX_TOKEN_LENGTH)),
            (
                "verification_timeout",
                check_range("verification_timeout", self.verification_timeout, VERIFICATION_TIMEOUT),
            ),
        ];
        let ranges = ranges.into_iter().filter_map(|(setter, checked)| Some((setter, checked.err()?)));
        let mut mistakes: Vec<SetterMistake> = ranges.collect();
        if self.max_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            let message = "`max_token_lifetime` is 0 s, so every token is rejected; use a longer time";
            mistakes.push(("max_token_lifetime", BuildError::setting(message)));
        }
        if self.audiences.iter().any(|audience| audience.is_empty()) {
            mistakes.push(("accept_audience", BuildError::setting("an accepted audience is empty; remove it")));
        }
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        if self.realm.as_ref().is_some_and(|realm| !printable(realm) || realm.len() > MAX_REALM) {
            let message = format!("the realm must have 1 to {MAX_REALM} printable ASCII characters");
            mistakes.push(("realm", BuildError::setting(message)));
        }
        mistakes.extend(self.sender_mistakes());
        mistakes
    }

    /// Where the metadata document is served.
    pub(super) fn well_known(&self, resource: &ResourceUrl) -> Result<WellKnown, BuildError> {
        let mut well_known = WellKnown::new(resource, self.metadata_at_root);
        if let Some(url) = &self.metadata_url {
            well_known.move_to(url, resource, self.plain_http)?;
        }
        self.metadata_paths.iter().try_for_each(|path| well_known.serve_at(path))?;
        Ok(well_known)
    }

    fn verifiers(&self, resource: &ResourceUrl) -> Result<Vec<Arc<IssuerVerifier>>, BuildError> {
        if self.issuers.is_empty() && self.api_keys.is_none() && self.development.is_none() {
            return Err(BuildError::issuer(
                "no issuer is configured; call `issuer` with the authorization server whose tokens are accepted",
            ));
        }
        let audiences = self.accepted_audiences(resource);
        let verifiers = self.issuers.iter().map(|issuer| {
            let limits = (self.verification_timeout, &*self.clock);
            let verifier = issuer.verifier(&audiences, self.skew, self.max_lifetime, limits);
            verifier.map(|mut verifier| {
                verifier.policy.confirmations = self.sender.confirmations();
                Arc::new(verifier)
            })
        });
        let verifiers = verifiers.collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        for issuer in verifiers.iter().flat_map(|verifier| verifier.names()) {
            if !seen.insert(issuer) {
                return Err(BuildError::issuer(format!("the issuer {issuer:?} is configured twice; remove one")));
            }
        }
        Ok(verifiers)
    }

    /// The accepted values of `aud` for all issuers.
    pub(super) fn accepted_audiences(&self, resource: &ResourceUrl) -> AcceptedAudiences {
        let mut audiences = AcceptedAudiences::new(resource);
        audiences.exact.extend_from_slice(&self.audiences);
        audiences
    }

    fn verified_tokens(
        &self,
        issuers: &[Arc<IssuerVerifier>],
        events: &Arc<ServerEvents>,
    ) -> Result<Option<VerifiedTokens>, BuildError> {
        let capacity = self.verified_tokens.unwrap_or(DEFAULT_VERIFIED_TOKENS);
        check_range("cache_verified_tokens", capacity, 0..=MAX_VERIFIED_TOKENS)?;
        if capacity == 0 {
            return Ok(None);
        }
        // The key sets of a `KeySource` are not numbered.
        let can_cache = issuers.iter().any(|issuer| matches!(issuer.keys(), Some(Keys::Fixed(_) | Keys::Remote(_))));
        let tokens = if can_cache { VerifiedTokens::new(capacity, events) } else { None };
        // Without a call, no cache is the default where it cannot work.
        match self.verified_tokens {
            Some(_) if !can_cache => Err(BuildError::setting(
                "`cache_verified_tokens` needs at least one issuer whose JWTs are verified locally, with keys that do \
                 not come from a `KeySource` of your own; remove the call",
            )),
            Some(_) if tokens.is_none() => Err(BuildError::setting(
                "verified tokens cannot be cached, because this machine has no source of randomness; call \
                 `cache_verified_tokens(0)`",
            )),
            _ => Ok(tokens),
        }
    }

    pub(super) fn api_key_table(&self) -> Result<Option<Arc<ApiKeyTable>>, BuildError> {
        let Some(keys) = &self.api_keys else { return Ok(None) };
        let implied = self.implications.iter().flat_map(|(scope, implied)| std::iter::once(scope).chain(implied));
        let known = self.scopes_supported.iter().chain(implied.filter(|_| !self.scopes_supported.is_empty()));
        let known = known.map(|scope| scope.as_str().into()).collect();
        ApiKeyTable::new(keys.clone(), known, &self.clock, &self.observers).map(|table| Some(Arc::new(table)))
    }

    /// The issuer of opaque tokens. It must be unambiguous.
    fn opaque_route(&self, verifiers: &[Arc<IssuerVerifier>]) -> Result<OpaqueRoute, BuildError> {
        let accepting: Vec<_> = verifiers.iter().filter(|verifier| verifier.accepts_opaque()).collect();
        match (accepting.as_slice(), &self.route_opaque) {
            ([], Some(_)) => Err(BuildError::issuer(
                "`route_opaque` needs an issuer that verifies opaque tokens; call `introspect_opaque` on one, or remove the call",
            )),
            ([], None) => Ok(OpaqueRoute::None),
            (_, Some(route)) => Ok(OpaqueRoute::Chosen(Arc::clone(route))),
            ([only], None) => Ok(OpaqueRoute::One(Arc::clone(only))),
            (_, None) => Err(BuildError::issuer(
                "several issuers verify opaque tokens; call `route_opaque` to choose the issuer of each token",
            )),
        }
    }
}

/// The start of the names of MCP's own headers.
pub(super) const MCP_HEADERS: &str = "mcp-";
/// Verified tokens in the cache. With claims of about 600 bytes they take some 10 MB.
const DEFAULT_VERIFIED_TOKENS: usize = 10_000;
/// The largest cache of verified tokens. It takes about a gigabyte, or several if claims are long.
pub(super) const MAX_VERIFIED_TOKENS: usize = 1_000_000;
/// Less than 100 ms is less than one round trip to another host. Each waiting request keeps a connection and memory.
const VERIFICATION_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// In bytes. Shorter tokens have hardly any claims.
const MAX_TOKEN_LENGTH: RangeInclusive<usize> = 1024..=MAX_TOKEN;
/// The longest realm, in bytes. It is part of every challenge.
const MAX_REALM: usize = 256;
