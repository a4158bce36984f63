//! All mistakes of a configuration together, for a configuration that comes from a file.

use super::ResourceServerBuilder;
use super::build::{MAX_VERIFIED_TOKENS, MCP_HEADERS};
use crate::bearer::CredentialHeaders;
use crate::error::{BuildError, BuildErrorKind, SetterMistake, check_range};
use crate::issuer::Issuer;
use crate::scope::{InvalidScope, RequestedScopes, ScopeHierarchy, Scopes};

/// A mistake in the configuration of a server, and its place.
#[derive(Debug)]
pub(crate) struct ConfigurationMistake {
    /// The position of the issuer that the mistake is about. `None` if it is about the server.
    pub(crate) issuer: Option<usize>,
    /// The setter whose value is wrong. For the argument of the constructor of an issuer, it is `url`.
    pub(crate) setter: &'static str,
    pub(crate) error: BuildError,
}

impl ResourceServerBuilder {
    /// All mistakes that [`build_lazy`](Self::build_lazy) reports one by one. It logs nothing and sends no request.
    ///
    /// Mistakes that depend on what code adds later are not found: the number of issuers, and the route of opaque tokens.
    pub(crate) fn mistakes(&self) -> Vec<ConfigurationMistake> {
        let of_server = self.server_mistakes().into_iter();
        let of_server = of_server.map(|(setter, error)| ConfigurationMistake { issuer: None, setter, error });
        let of_issuers = self.issuers.iter().enumerate().flat_map(|(at, issuer)| {
            let mut mistakes = issuer.mistakes();
            // An audience of the issuer that the server accepts already.
            let common = self.resource_url().ok().map(|resource| self.accepted_audiences(&resource));
            let repeated = common.and_then(|common| issuer.accepted_audiences(&common).err());
            mistakes.extend(repeated.map(|error| ("accept_client_id_as_audience", error)));
            let is_known = |other: &Issuer| other.url() == issuer.url();
            if self.issuers.iter().take(at).any(is_known) {
                let message = format!("the issuer {:?} is configured twice; remove one", issuer.url());
                mistakes.push(("url", BuildError::issuer(message)));
            }
            mistakes.into_iter().map(move |(setter, error)| ConfigurationMistake { issuer: Some(at), setter, error })
        });
        of_server.chain(of_issuers).collect()
    }

    fn server_mistakes(&self) -> Vec<SetterMistake> {
        let mut mistakes = self.value_mistakes();
        let mut add = |setter, error: Option<BuildError>| mistakes.extend(error.map(|error| (setter, error)));
        let scope = |error: InvalidScope| BuildError::new(BuildErrorKind::Scope, error.to_string());
        let supported = Scopes::new(&self.scopes_supported).map_err(scope);
        let requested = RequestedScopes::new(&self.challenge_scopes);
        if let Ok(resource) = &self.resource_url().map_err(|error| add("builder", Some(error))) {
            add("metadata_url", self.well_known(resource).err());
            add("dangerously_trust_everyone_on_loopback", self.development_identity(resource).err());
            let document = self.metadata.clone().document(resource, &[], &Scopes::default(), self.sender.metadata());
            add("metadata", document.err());
        }
        let headers = self.credential_headers().err();
        let without_keys = self.token_header().and_then(|token| CredentialHeaders::new(token, None, MCP_HEADERS)).err();
        add(if without_keys.is_some() { "token_from" } else { "header" }, headers);
        match self.api_keys.as_ref().and_then(|keys| keys.check_prefix().err()) {
            Some(prefix) => add("prefix", Some(prefix)),
            None => add("from_file", self.api_key_table().err()),
        }
        #[cfg(feature = "redis")]
        add("shared_state", self.shared_state.as_ref().and_then(|state| state.store(&self.clock).err()));
        add("scopes_supported", supported.err());
        add("challenge_scope", requested.err());
        add("initial_scopes", self.first_challenge_scopes().err());
        add("scope_implies", ScopeHierarchy::new(&self.implications).err());
        let capacity = self.verified_tokens.unwrap_or_default();
        add("cache_verified_tokens", check_range("cache_verified_tokens", capacity, 0..=MAX_VERIFIED_TOKENS).err());
        mistakes
    }
}
