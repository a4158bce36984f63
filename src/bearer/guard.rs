use std::fmt;
use std::sync::Arc;

use crate::event_limit::EventLimit;
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
    /// The scopes that the metadata advertises.
    pub(crate) scopes_supported: Scopes,
    /// The scopes that every request on the route needs.
    pub(crate) required: ScopeRequirement,
    /// Limits the log lines of rejections.
    pub(crate) events: Arc<EventLimit>,
}

impl Guard {
    /// Requires and advertises no scope.
    pub(crate) fn new(metadata_url: impl Into<Arc<str>>) -> Self {
        Self {
            metadata_url: metadata_url.into(),
            realm: None,
            hierarchy: Arc::default(),
            requested: Arc::default(),
            scopes_supported: Scopes::EMPTY,
            required: ScopeRequirement::default(),
            events: Arc::default(),
        }
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
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("metadata_url", &self.metadata_url)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
