//! Scopes, scope hierarchies, the scopes that an operation needs, and the scopes that a challenge names.

mod hierarchy;
mod requirement;
mod scopes;

pub(crate) use hierarchy::ScopeHierarchy;
pub(crate) use requirement::{RequestedScopes, ScopeRequirement};
pub use scopes::{InvalidScope, Scopes};

/// The scope for a refresh token. A client requests it by its own decision, so that no challenge names it
/// (MCP 2026-07-28).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

#[cfg(test)]
mod properties;
