//! Authorization servers: how one is configured, how its metadata is found, and how its key set is fetched.

mod accepted_tokens;
mod build;
mod checks;
mod config;
mod discovery;
mod introspection_endpoint;
mod key_set;
mod metadata;
mod metadata_source;
pub mod providers;

pub use config::Issuer;
pub use metadata::{AuthorizationServerMetadata, InvalidMetadata};
