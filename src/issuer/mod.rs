//! Issuers: the authorization servers whose tokens a resource server accepts, and how each is configured.

mod accepted_tokens;
mod build;
mod checks;
mod config;
mod introspected;
mod own_verifier;
pub mod providers;
mod seed;

pub use config::Issuer;

pub use crate::discovery::{AuthorizationServerMetadata, InvalidMetadata};
