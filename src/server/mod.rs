//! One protected resource, assembled.

mod assembly;
mod builder;
mod health;
mod resource_server;

pub use builder::ResourceServerBuilder;
pub use health::{Health, IssuerHealth};
pub use resource_server::ResourceServer;
