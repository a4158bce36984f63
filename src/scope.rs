//! Scopes: the words, what an operation asks for, which scope implies which, and what a client must ask for.

mod hierarchy;
mod requested;
mod requirement;
mod scopes;

pub(crate) use hierarchy::ScopeHierarchy;
pub(crate) use requested::RequestedScopes;
pub(crate) use requirement::ScopeRequirement;
pub use scopes::{InvalidScope, Scopes};

/// Asking for it is between the client and the authorization server (MCP 2026-07-28).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

#[cfg(test)]
mod properties;
