//! What operations need.

mod mcp_scopes;
mod resources;
mod rules;
mod targets;
mod uri;
mod uri_template;

pub use mcp_scopes::McpScopes;
pub(super) use rules::{Needs, Rules};
#[cfg(feature = "testing")]
pub use uri_template::comparisons::so_far as uri_comparisons;
