use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use super::sender_check::SenderRules;
use super::{CredentialHeaders, Development};
use crate::events::ServerEvents;
use crate::resource::MetadataReach;
use crate::scope::{OFFLINE_ACCESS, RequestedScopes, ScopeHierarchy, ScopeRequirement, Scopes};

/// The configuration that challenges and scope checks of a route need. A layer computes it once, and all requests share it.
#[derive(Clone)]
pub(crate) struct Guard {
    /// The absolute URL of the protected resource metadata (RFC 9728, section 5.1).
    pub(crate) metadata_url: Arc<str>,
    pub(crate) realm: Option<Arc<str>>,
    pub(crate) hierarchy: Arc<ScopeHierarchy>,
    /// The names that challenges use for the scopes in tokens.
    pub(crate) requested: Arc<RequestedScopes>,
    /// The scopes that a challenge names besides the required ones, if the request does not have a token.
    pub(crate) initial_scopes: Scopes,
    /// The scopes that the metadata advertises.
    pub(crate) scopes_supported: Scopes,
    /// The scopes that every request on the route needs.
    pub(crate) required: ScopeRequirement,
    /// The headers that credentials are read from.
    pub(crate) credentials: Arc<CredentialHeaders>,
    /// The caller of requests without credentials, on a developer's machine.
    pub(crate) development: Option<Arc<Development>>,
    /// Which senders of access tokens are accepted.
    pub(crate) sender: SenderRules,
    /// Where the events of the server go.
    pub(crate) events: Arc<ServerEvents>,
    /// Whether clients reach the metadata document.
    pub(crate) reach: Arc<MetadataReach>,
}

impl Guard {
    /// Requires and advertises no scope.
    pub(crate) fn new(metadata_url: impl Into<Arc<str>>) -> Self {
        let metadata_url = metadata_url.into();
        Self {
            events: Arc::new(ServerEvents::new(Arc::clone(&metadata_url))),
            metadata_url,
            realm: None,
            credentials: Arc::default(),
            development: None,
            sender: SenderRules::bearer_only(),
            hierarchy: Arc::default(),
            requested: Arc::default(),
            initial_scopes: Scopes::EMPTY,
            scopes_supported: Scopes::EMPTY,
            required: ScopeRequirement::default(),
            reach: Arc::default(),
        }
    }

    /// Whether a token with these scopes may use the route.
    pub(crate) fn is_satisfied_by(&self, scopes: &Scopes) -> bool {
        self.required.is_met(scopes, &self.hierarchy)
    }

    /// Warns the operator of a requirement that clients may be unable to meet.
    pub(crate) fn warn_of(&self, requirement: &ScopeRequirement) {
        let supported = &self.scopes_supported;
        for scope in requirement.scopes().filter(|scope| !supported.is_empty() && !supported.contains(scope)) {
            tracing::warn!(target: "mcp_bearer", scope, "a scope is required that `scopes_supported` does not name");
        }
        if requirement.challenge(&self.hierarchy).contains(OFFLINE_ACCESS) {
            tracing::warn!(target: "mcp_bearer", "`offline_access` is required but left out of challenges");
        }
    }

    /// A `Bearer` challenge (RFC 6750, section 3; RFC 9728, section 5.1). It names the required scopes and `more`: older
    /// clients request exactly the scopes of one challenge (MCP 2026-07-28). Each parameter is quoted and appears once.
    ///
    /// If DPoP proofs are accepted, a `DPoP` challenge follows (RFC 9449, section 7.1): older clients read only the first.
    pub(super) fn challenge(&self, error: Option<ChallengeError<'_>>, more: &Scopes) -> HeaderValue {
        let required = self.required.challenge(&self.hierarchy);
        let all = if more.is_empty() { required } else { required.union(more) };
        let scopes = if all.contains(OFFLINE_ACCESS) { all.without(OFFLINE_ACCESS) } else { all };
        let (code, description) = match error {
            Some(ChallengeError { code, description, is_of_proof: false }) => (code, description),
            _ => Default::default(),
        };
        let scope = self.requested.translate(&scopes);
        let parameters = [
            ("realm", self.realm.as_deref().unwrap_or_default()),
            ("error", code),
            ("error_description", description),
            ("resource_metadata", &self.metadata_url),
            ("scope", scope.as_str()),
        ];
        let mut text = String::from("Bearer");
        write_parameters(&mut text, parameters);
        if let Some(algorithms) = self.sender.proof_algorithms() {
            let (code, description) = error.map(|error| (error.code, error.description)).unwrap_or_default();
            text.push_str(", DPoP");
            write_parameters(&mut text, [("error", code), ("error_description", description), ("algs", algorithms)]);
        }
        // The builder rejects a configuration with characters that a header cannot have.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// The error of a challenge.
#[derive(Clone, Copy)]
pub(super) struct ChallengeError<'e> {
    pub(super) code: &'e str,
    pub(super) description: &'e str,
    /// Whether the DPoP proof is rejected, and not the access token.
    pub(super) is_of_proof: bool,
}

/// Writes those parameters that have a value, each as a quoted-string (RFC 9110, section 5.6.4).
fn write_parameters<'p>(text: &mut String, parameters: impl IntoIterator<Item = (&'p str, &'p str)>) {
    let mut separator = " ";
    for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.extend([separator, name, "=\""]);
        for character in value.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
        separator = ", ";
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("metadata_url", &self.metadata_url)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_parser_reads_the_challenge() {
        for realm in ["plain", "with \"quotes\" and \\ back\\\\slashes", "a, Bearer error=\"x\""] {
            let url = "https://h/.well-known/oauth-protected-resource/mcp?x=%22";
            let guard = Guard { realm: Some(realm.into()), ..Guard::new(url) };
            let scopes = Scopes::new(["a:b", "c/d"]).unwrap();
            let error =
                ChallengeError { code: "invalid_token", description: "The access token expired", is_of_proof: false };
            let header = guard.challenge(Some(error), &scopes);
            let parsed = http_auth::parse_challenges(header.to_str().unwrap()).unwrap();
            assert_eq!(parsed.len(), 1);
            assert_eq!(parsed[0].scheme, "Bearer");
            let parameters: Vec<_> =
                parsed[0].params.iter().map(|(name, value)| (*name, value.to_unescaped())).collect();
            assert_eq!(
                parameters,
                [
                    ("realm", realm.to_owned()),
                    ("error", "invalid_token".to_owned()),
                    ("error_description", "The access token expired".to_owned()),
                    ("resource_metadata", url.to_owned()),
                    ("scope", "a:b c/d".to_owned()),
                ]
            );
        }
    }
}
