//! The rules of [`McpScopes`]: which scopes an operation needs.
//!
//! `rules` looks up an operation. For a resource it asks `resources`, which reads its URI in canonical form (`uri`) and
//! compares it with the templates of the rules (`uri_template`). `known_names` finds rules for names that do not exist.

mod known_names;
mod mcp_scopes;
mod resources;
mod rules;
mod uri;
mod uri_template;

pub(super) use known_names::complete_tool_list;
pub use mcp_scopes::McpScopes;
pub(super) use rules::{RequiredRules, Rules};
#[cfg(feature = "testing")]
pub use uri_template::comparisons::so_far as uri_comparisons;
