//! Builds the server from the settings of a [`ResourceServerBuilder`], and finds the mistakes in them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::resource_server::Inner;
use super::{ResourceServer, ResourceServerBuilder};
use crate::bearer::Guard;
use crate::claims::{AcceptedAudiences, MAX_SKEW};
use crate::error::{BuildError, BuildErrorKind};
use crate::identifier::ResourceUrl;
use crate::issuer::Issuer;
use crate::jose::compact::MAX_TOKEN;
use crate::resource::{MetadataService, WellKnown};
use crate::scope::{OFFLINE_ACCESS, RequestedScopes, ScopeHierarchy, Scopes};
use crate::verify::{IssuerVerifier, OpaqueRoute, VerifiedTokens, Verifier};

impl ResourceServerBuilder {
    pub(super) fn into_server(self) -> Result<ResourceServer, BuildError> {
        let resource = ResourceUrl::parse(&self.resource, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Resource, format!("the resource {error}")))?;
        self.check_settings()?;
        let scopes_supported = self.advertised_scopes()?;
        let implications = self.implications.iter().map(|(broad, narrow)| (broad.as_str(), narrow.as_slice()));
        let hierarchy = ScopeHierarchy::new(implications)?;
        let verifiers = self.verifiers(&resource)?;
        let opaque_route = self.opaque_route(&verifiers)?;
        let verified = self.verified_tokens(&verifiers)?;
        let mut well_known = WellKnown::new(&resource, self.metadata_at_root);
        if let Some(url) = &self.metadata_url {
            well_known.move_to(url, &resource, self.plain_http)?;
        }
        for path in &self.metadata_paths {
            well_known.serve_at(path)?;
        }
        let authorization_servers: Vec<&str> = self.issuers.iter().filter_map(Issuer::published).collect();
        if authorization_servers.is_empty() {
            tracing::warn!(target: "mcp_bearer",
                "no issuer is an https URL, so the metadata names no authorization server and MCP clients cannot log in");
        }
        let requested = RequestedScopes::new(&self.challenge_scopes)?;
        let published = requested.translate(&scopes_supported);
        let document = self.metadata.document(&resource, &authorization_servers, &published)?;
        let guard = Guard {
            realm: self.realm.map(Arc::from),
            hierarchy: Arc::new(hierarchy),
            requested: Arc::new(requested),
            scopes_supported,
            ..Guard::new(well_known.url)
        };
        Ok(ResourceServer::new(Inner {
            verifier: Arc::new(Verifier::new(
                verifiers,
                opaque_route,
                self.max_token_length,
                verified,
                Arc::clone(&self.clock),
            )),
            guard: Arc::new(guard),
            metadata: MetadataService::new(document, well_known.paths),
            clock: self.clock,
            skew: self.skew,
        }))
    }

    fn check_settings(&self) -> Result<(), BuildError> {
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Setting, message));
        if self.skew > MAX_SKEW {
            return wrong(format!("the clock skew is {:?}; use at most {MAX_SKEW:?}", self.skew));
        }
        if !(LEAST_MAX_TOKEN..=MAX_TOKEN).contains(&self.max_token_length) {
            let length = self.max_token_length;
            return wrong(format!("`max_token_length` is {length}; use {LEAST_MAX_TOKEN} to {MAX_TOKEN} bytes"));
        }
        if self.max_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return wrong("`max_token_lifetime` is 0 s, so every token is rejected; use a longer time".to_owned());
        }
        if !(MIN_VERIFICATION_TIMEOUT..=MAX_VERIFICATION_TIMEOUT).contains(&self.verification_timeout) {
            return wrong(format!(
                "`verification_timeout` is {:?}; use {MIN_VERIFICATION_TIMEOUT:?} to {MAX_VERIFICATION_TIMEOUT:?}",
                self.verification_timeout
            ));
        }
        if self.audiences.iter().any(|audience| audience.is_empty()) {
            return wrong("an accepted audience is empty; remove it".to_owned());
        }
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        if self.realm.as_ref().is_some_and(|realm| !printable(realm) || realm.len() > MAX_REALM) {
            return wrong(format!("the realm must have 1 to {MAX_REALM} printable ASCII characters"));
        }
        Ok(())
    }

    fn advertised_scopes(&self) -> Result<Scopes, BuildError> {
        let scopes = Scopes::new(&self.scopes_supported)
            .map_err(|error| BuildError::new(BuildErrorKind::Scope, error.to_string()))?;
        if scopes.contains(OFFLINE_ACCESS) {
            tracing::warn!(target: "mcp_bearer", "`offline_access` is not a scope of a resource, so the metadata does not contain it (MCP 2026-07-28)");
        }
        Ok(scopes.without(OFFLINE_ACCESS))
    }

    fn verifiers(&self, resource: &ResourceUrl) -> Result<Vec<Arc<IssuerVerifier>>, BuildError> {
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Issuer, message));
        if self.issuers.is_empty() {
            return wrong(
                "no issuer is configured; call `issuer` with the authorization server whose tokens are accepted".into(),
            );
        }
        let mut audiences = AcceptedAudiences::new(resource);
        audiences.exact.extend_from_slice(&self.audiences);
        let verifiers = self
            .issuers
            .iter()
            .map(|issuer| issuer.verifier(&audiences, self.skew, self.max_lifetime, self.verification_timeout));
        let verifiers: Vec<_> = verifiers.map(|verifier| verifier.map(Arc::new)).collect::<Result<_, _>>()?;
        let mut seen = HashSet::new();
        for issuer in verifiers.iter().flat_map(|verifier| verifier.names()) {
            if !seen.insert(issuer) {
                return wrong(format!("the issuer {issuer:?} is configured twice; remove one"));
            }
        }
        Ok(verifiers)
    }

    fn verified_tokens(&self, issuers: &[Arc<IssuerVerifier>]) -> Result<Option<VerifiedTokens>, BuildError> {
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Setting, message));
        let capacity = self.verified_tokens.unwrap_or(DEFAULT_VERIFIED_TOKENS);
        if capacity > MAX_VERIFIED_TOKENS {
            return wrong(format!("`cache_verified_tokens` is {capacity}; use at most {MAX_VERIFIED_TOKENS}"));
        }
        let can_cache = |issuer: &Arc<IssuerVerifier>| issuer.keys().is_some_and(|keys| keys.have_generations());
        if capacity == 0 || !issuers.iter().any(can_cache) {
            return match self.verified_tokens {
                None | Some(0) => Ok(None),
                Some(_) => wrong(
                    "`cache_verified_tokens` needs at least one issuer whose JWTs are verified locally, with keys that do \
                     not come from a `KeySource` of your own; remove the call"
                        .to_owned(),
                ),
            };
        }
        let tokens = VerifiedTokens::new(capacity);
        if tokens.is_none() && self.verified_tokens.is_some() {
            return wrong(
                "verified tokens cannot be cached, because this machine has no source of randomness; call \
                 `cache_verified_tokens(0)`"
                    .to_owned(),
            );
        }
        Ok(tokens)
    }

    /// The issuer of opaque tokens. It must be unambiguous.
    fn opaque_route(&self, verifiers: &[Arc<IssuerVerifier>]) -> Result<OpaqueRoute, BuildError> {
        let accepting: Vec<_> = verifiers.iter().filter(|verifier| verifier.accepts_opaque()).collect();
        let wrong = |message: &str| Err(BuildError::new(BuildErrorKind::Issuer, message));
        match (accepting.as_slice(), &self.route_opaque) {
            ([], Some(_)) => wrong(
                "`route_opaque` needs an issuer that verifies opaque tokens; call `introspect_opaque` on one, or remove the call",
            ),
            ([], None) => Ok(OpaqueRoute::None),
            (_, Some(route)) => Ok(OpaqueRoute::Chosen(Arc::clone(route))),
            ([only], None) => Ok(OpaqueRoute::One(Arc::clone(only))),
            (_, None) => {
                wrong("several issuers verify opaque tokens; call `route_opaque` to choose the issuer of each token")
            }
        }
    }
}

/// Verified tokens in the cache. With claims of about 600 bytes they take some 10 MB.
const DEFAULT_VERIFIED_TOKENS: usize = 10_000;
/// The largest cache of verified tokens. It takes about a gigabyte, or several if claims are long.
const MAX_VERIFIED_TOKENS: usize = 1_000_000;
/// A shorter time is less than one round trip to another host.
const MIN_VERIFICATION_TIMEOUT: Duration = Duration::from_millis(100);
/// Each waiting request keeps a connection and memory.
const MAX_VERIFICATION_TIMEOUT: Duration = Duration::from_secs(60);
/// The minimum of `max_token_length`, in bytes. Shorter tokens have hardly any claims.
const LEAST_MAX_TOKEN: usize = 1024;
/// The longest realm, in bytes. It is part of every challenge.
const MAX_REALM: usize = 256;
