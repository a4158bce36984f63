//! Scopes: the words, what an operation asks for, and which scope implies which.

mod hierarchy;
mod requirement;
mod scopes;

pub(crate) use hierarchy::ScopeHierarchy;
pub(crate) use requirement::ScopeRequirement;
pub use scopes::{InvalidScope, Scopes};
