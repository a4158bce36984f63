//! Authorization servers: how one is configured, how its metadata is found, and how its key set is fetched.

mod config;
mod discovery;
mod key_set;
mod metadata;

pub use config::Issuer;
pub use metadata::{AuthorizationServerMetadata, InvalidMetadata};
