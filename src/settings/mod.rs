//! The configuration from a file or from environment variables: [`Settings`], with the feature `settings`.
//!
//! [`Settings`] has a field for every option of [`ResourceServerBuilder`](crate::ResourceServerBuilder), of
//! [`Issuer`](crate::Issuer), of [`Introspection`](crate::introspection::Introspection), of the rules for MCP and of the layers.
//! It implements [`serde::Deserialize`], so any format can hold it. The
//! [guide](crate::guide::configuration) has a complete file.
//!
//! | format | read it with |
//! |---|---|
//! | TOML | `toml::from_str::<Settings>(&text)` |
//! | JSON | `serde_json::from_str::<Settings>(&text)` |
//! | several sources with figment | `figment.extract::<Settings>()` |
//! | several sources with config | `config.try_deserialize::<Settings>()` |
//!
//! Reading does not stop at the first mistake. [`Settings::builder`] returns all mistakes together, each with its path and its
//! repair.

mod build;
mod env;
mod fields;
mod files;
mod introspection;
mod issuer;
mod layers;
mod mistake;
mod node;
mod read;
#[cfg(feature = "schema")]
mod schema;
mod secret;
mod sender;
mod sender_fields;
mod server;
mod setters;
mod variables;

pub use fields::{
    ApiKeySettings, ClientAuthentication, CloudflareSettings, CognitoSettings, DiscoveryMethods, HydraSettings,
    IntrospectedTokens, IntrospectionSettings, IssuerSettings, KeycloakSettings, OktaSettings, TenantSettings,
};
pub use mistake::{SettingsError, SettingsMistake};
pub use secret::SecretText;
pub use sender_fields::{
    ClientCertificateSetting, DpopSettings, ProxiedPathSettings, RedisSettings, SenderConstraintSetting,
};
pub use server::{McpSettings, MetadataSettings, Settings};
