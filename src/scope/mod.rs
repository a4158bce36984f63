//! Scopes, scope hierarchies, the scopes that an operation needs, and the scopes that a challenge names.

mod requirement;
mod scopes;

pub(crate) use requirement::{RequestedScopes, ScopeHierarchy, ScopeRequirement};
pub use scopes::{InvalidScope, Scopes};

/// The scope for a refresh token. Clients decide themselves whether to request it, so no challenge names it (MCP 2026-07-28).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

#[cfg(test)]
mod properties;
