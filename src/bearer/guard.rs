//! What guards a route: computed when a layer is made, shared by every request that passes it.

use std::fmt;
use std::sync::Arc;

use crate::event_limit::EventLimit;
use crate::scope::{OFFLINE_ACCESS, RequestedScopes, ScopeHierarchy, ScopeRequirement, Scopes};

/// The part of a resource server's configuration that challenges and scope checks need.
#[derive(Clone)]
pub(crate) struct Guard {
    /// Where the protected resource metadata is, absolute (RFC 9728, section 5.1).
    pub(crate) metadata_url: Arc<str>,
    pub(crate) realm: Option<Arc<str>>,
    pub(crate) hierarchy: Arc<ScopeHierarchy>,
    /// What challenges call the scopes that tokens carry.
    pub(crate) requested: Arc<RequestedScopes>,
    /// What the metadata advertises.
    pub(crate) scopes_supported: Scopes,
    /// What every request on the route needs.
    pub(crate) required: ScopeRequirement,
    /// Bounds the log lines of rejections.
    pub(crate) events: Arc<EventLimit>,
}

impl Guard {
    /// Tells the operator of a requirement that clients may find hard to meet.
    pub(crate) fn warn_of(&self, requirement: &ScopeRequirement) {
        let supported = &self.scopes_supported;
        for scope in requirement.scopes().filter(|scope| !supported.is_empty() && !supported.contains(scope)) {
            tracing::warn!(target: "mcp_bearer", scope, "a scope is required that `scopes_supported` does not name");
        }
        if requirement.challenge(&self.hierarchy).contains(OFFLINE_ACCESS) {
            tracing::warn!(target: "mcp_bearer", "`offline_access` is required but left out of challenges (MCP 2026-07-28)");
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
