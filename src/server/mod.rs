//! The protected resource: its configuration, its layers and its health.

mod build;
mod builder;
mod credentials;
mod health;
#[cfg(feature = "settings")]
mod mistakes;
mod nonce_key_file;
mod resource_server;
mod revoke;
mod scopes;
mod self_check;
mod sender;
mod sender_settings;
mod shared;
mod unreachable;
mod upkeep;
mod warm_up;

pub use builder::ResourceServerBuilder;
pub use health::{Health, IssuerHealth, RevocationHealth, UnusableKeyHealth};
#[cfg(feature = "settings")]
pub(crate) use mistakes::ConfigurationMistake;
pub use resource_server::ResourceServer;
pub use self_check::{SelfCheckBody, SelfCheckError, SelfCheckErrorKind};
