//! Turns any tower or axum server into an OAuth 2.1 **resource server**, MCP servers first. A request with a valid access
//! token for this server passes. A request without a token, or with an invalid one, gets 401 and a challenge that says where
//! to get a token. [`BearerAuthLayer::allow_anonymous`] accepts requests without a token. [`guide::errors`] has all responses.
//!
//! The crate does not log users in and does not issue tokens. An authorization server of your choice does that.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
//!
//! async fn whoami(auth: AuthInfo) -> String {
//!     auth.subject().unwrap_or("a service").to_owned()
//! }
//!
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! # #[cfg(feature = "axum")]
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = ResourceServer::builder("https://mcp.example.com/mcp")
//!         .issuer(Issuer::discover("https://auth.example.com"))
//!         .scopes_supported(["mcp:tools"])
//!         .build()
//!         .await?;
//!
//!     let app = Router::new()
//!         .route("/mcp", get(whoami))
//!         .route_layer(server.bearer_layer().required_scopes(["mcp:tools"]))
//!         .merge(server.metadata_router());
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//!     axum::serve(listener, app).await?;
//!     Ok(())
//! }
//! ```
//!
//! # Map
//!
//! | to | see |
//! |---|---|
//! | learn by task | [`guide`] |
//! | configure the resource | [`ResourceServerBuilder`] |
//! | configure an authorization server | [`Issuer`] |
//! | configure a server from a file or from environment variables | [`guide::configuration`] |
//! | set up Keycloak, Auth0, Logto, Entra, Okta or Cognito | [`issuer::providers`] |
//! | know what to set in ten authorization servers, Hydra, Spring and Dex among them | [`guide::servers`] |
//! | protect routes | [`BearerAuthLayer`] |
//! | protect MCP tools, prompts, resources, streams and sessions | [`McpLayer`], [`mcp`] |
//! | protect a server of actix-web, poem, warp, hyper or tonic, or a WebSocket | [`BearerAuthLayer::authenticate`], [`guide::without_a_framework`] |
//! | read who calls, in a handler | [`AuthInfo`]; `rmcp` for handlers of rmcp |
//! | read the token from the header of a proxy | [`ResourceServerBuilder::token_from`], [`guide::other_headers`] |
//! | allow web pages to send requests | [`ResourceServer::allowed_origins`] |
//! | know what is checked, and in which order | [`verify`] |
//! | know the response to each rejected request | [`bearer`], [`Rejection`] |
//! | verify opaque tokens, and detect revocation | [`introspection`] |
//! | reject tokens before they expire | [`ResourceServer::revoke`], [`revocation`] |
//! | accept API keys | [`api_key`], [`guide::api_keys`] |
//! | make stolen tokens useless, with DPoP or client certificates | [`ResourceServerBuilder::sender_constraint`], [`guide::sender_constrained`] |
//! | revoke tokens, on all replicas | [`ResourceServer::revoke`], [`guide::replicas`] |
//! | publish metadata | [`resource`] |
//! | start while an issuer is down, and answer readiness probes | [`ResourceServerBuilder::build_lazy`], [`ResourceServer::health`] |
//! | start without waiting for an issuer's keys, as in serverless functions | [`Issuer::jwks_file`], [`guide::serverless`] |
//! | accept sessions of a database, or tokens of a vendor | [`verify::TokenVerifier`], [`guide::own_verifier`] |
//! | bring an HTTP client, a key source or a clock | [`http_client`], [`keys::KeySource`], [`Clock`] |
//! | find out why a token is rejected | [`guide::troubleshooting`], [`ResourceServer::explain`] |
//! | read the log, or write an audit log | [`guide::logging`], [`events`] |
//! | find mistakes in routes and in the order of layers | [`ResourceServer::self_check`] |
//! | develop without an authorization server | [`ResourceServerBuilder::dangerously_trust_everyone_on_loopback`], [`guide::development`] |
//! | test | `testing` |
//!
//! # Errors
//!
//! - [`BuildError`]: a mistake in the configuration, for the operator. It says what to change.
//! - [`Rejection`]: why a request was rejected. The client gets a fixed sentence, and the log has the cause and the repair.
//! - [`verify::VerifyError`]: why a token was not verified, for the author of a [`verify::TokenVerifier`].
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `axum` | yes | [`AuthInfo`] is an extractor, [`Rejection`] is a response, and `ResourceServer::metadata_router` exists |
//! | `cors` | yes | `ResourceServer::cors_layer`, a layer of [`tower_http`](https://docs.rs/tower-http) for browser clients |
//! | `reqwest` | yes | an HTTP client; without it, call [`Issuer::http_client`] |
//! | `aws-lc-rs` | yes | signatures by AWS-LC |
//! | `rust-crypto` | no | signatures in pure Rust, except ES512 and RSA keys above 4096 bits |
//! | `metrics` | no | metrics of all events: see [`guide::metrics`] |
//! | `rmcp` | no | [`AuthInfo`] in handlers of [rmcp](https://docs.rs/rmcp) |
//! | `redis` | no | `shared::RedisState`: used DPoP proofs and revocations that replicas share in Redis or Valkey |
//! | `settings` | no | `settings::Settings`: the configuration from a file or from environment variables |
//! | `schema` | no | the JSON Schema of `Settings` |
//! | `testing` | no | an authorization server, a client and a clock for tests |
//! | `cli` | no | the program `mcp-bearer`: see [`guide::doctor`] and [`guide::api_keys`] |
//!
//! Without `axum`, the layers and the metadata service work with any tower server.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod api_key;
#[cfg(feature = "axum")]
mod axum;
pub mod bearer;
pub mod claims;
mod clock;
#[cfg(feature = "cors")]
mod cors;
mod crypto;
mod discovery;
mod error;
mod escape;
pub mod events;
mod failure;
mod file;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
pub mod http_client;
mod identifier;
pub mod introspection;
pub mod issuer;
pub mod jose;
mod json;
pub mod keys;
mod log;
pub mod mcp;
mod origin;
#[cfg(test)]
mod properties;
pub mod resource;
pub mod revocation;
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod scope;
pub mod sender;
pub mod server;
#[cfg(feature = "settings")]
pub mod settings;
#[cfg(feature = "redis")]
pub mod shared;
mod similar;
#[cfg(feature = "testing")]
pub mod testing;
mod token_cache;
pub mod verify;

pub use bearer::{AuthInfo, Authenticated, BearerAuthLayer, DevelopmentIdentity, PeerAddr, Rejection, RejectionKind};
pub use claims::CredentialKind;
pub use clock::{Clock, SystemClock};
pub use error::{BuildError, BuildErrorKind};
pub use identifier::{InvalidIdentifier, IssuerUrl};
pub use issuer::Issuer;
pub use mcp::{McpLayer, McpScopes};
pub use origin::{OriginCheck, OriginLayer};
pub use revocation::Revocation;
pub use scope::{InvalidScope, Scopes};
pub use server::{ResourceServer, ResourceServerBuilder};

/// The crate `reqwest` in the version that [`http_client::ReqwestClient`] has in its public signatures.
#[cfg(feature = "reqwest")]
pub use ::reqwest;
/// The crate `tower_http` in the version that [`ResourceServer::cors_layer`] has in its public signature.
#[cfg(feature = "cors")]
pub use ::tower_http;

/// The examples of the README, compiled and run as tests.
#[cfg(all(
    doctest,
    feature = "axum",
    feature = "aws-lc-rs",
    feature = "cors",
    feature = "reqwest",
    feature = "testing"
))]
#[doc = include_str!("../README.md")]
struct Readme;
