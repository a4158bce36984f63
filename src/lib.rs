//! Turns any tower or axum server, MCP servers first, into an OAuth 2.1 **resource server**: it lets a request pass that
//! carries a good access token for this server, and tells everybody else where to get one.
//!
//! It logs nobody in and issues no token. The token's issuer is an authorization server of your choice.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "aws-lc-rs", feature = "testing"))] {
//! use axum::{Router, routing::get};
//! use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
//!
//! async fn whoami(auth: AuthInfo) -> String {
//!     auth.subject().unwrap_or("service").to_owned()
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # use axum::{body::Body, http::{Request, StatusCode}};
//! # use tower::ServiceExt as _;
//! # let test_issuer = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
//! let issuer = Issuer::discover("https://auth.example.com");
//! # let issuer = issuer.http_client(test_issuer.http_client());
//! let server = ResourceServer::builder("https://mcp.example.com/mcp")
//!     .issuer(issuer)
//!     .scopes_supported(["mcp:tools"])
//!     .build()
//!     .await?;
//!
//! let app = Router::new()
//!     .route("/mcp", get(whoami))
//!     .route_layer(server.bearer_layer().required_scopes(["mcp:tools"]))
//!     .merge(server.metadata_router());
//! # let token = test_issuer.token().audience("https://mcp.example.com/mcp").scope("mcp:tools").sign();
//! # let call = |token: &str| {
//! #     let request = Request::get("/mcp").header("authorization", format!("Bearer {token}"));
//! #     app.clone().oneshot(request.body(Body::empty()).unwrap())
//! # };
//! # assert_eq!(call(&token).await.unwrap().status(), StatusCode::OK);
//! # assert_eq!(call("x").await.unwrap().status(), StatusCode::UNAUTHORIZED);
//! # Ok::<(), mcp_bearer::BuildError>(()) }).unwrap(); }
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | the configuration of a resource | [`ResourceServerBuilder`] |
//! | the configuration of an authorization server, and how its keys are had | [`Issuer`] |
//! | Keycloak, Auth0, Logto, Entra, Okta, Cognito, step by step | [`issuer::providers`] |
//! | what is checked, and in which order | [`verify`] |
//! | how each refusal is answered | [`bearer`] |
//! | what each MCP tool, prompt and resource needs; streams and sessions | [`mcp`] |
//! | which pages may send requests from a browser | [`ResourceServer::allowed_origins`] |
//! | who calls, in a handler | [`AuthInfo`]; `rmcp` for rmcp's handlers |
//! | tokens that are no JWTs, and revocation | [`introspection`] |
//! | the metadata document | [`resource`] |
//! | starting without the authorization server, and readiness | [`ResourceServer`], [`server::Health`] |
//! | an HTTP client, a key source or a verifier of your own | [`http_client`], [`keys`], [`verify::TokenVerifier`] |
//! | an issuer and a clock for tests | `testing` |
//!
//! # Three kinds of errors
//!
//! [`BuildError`] is for the operator and says what to change. [`verify::VerifyError`] is for the author of a verifier.
//! [`bearer::Rejection`] is what a request is refused with; the client is told little, the log says why.
//!
//! # Features
//!
//! On by default: `axum` (extractors, metadata router), `cors` ([`tower_http`](https://docs.rs/tower-http) layer for browser
//! clients), `reqwest` (HTTP client), `aws-lc-rs` (signatures). On request: `rust-crypto` (signatures in pure Rust, all but
//! ES512 and RSA above 4096 bits), `rmcp` ([rmcp](https://docs.rs/rmcp) handlers get `AuthInfo`), `testing`. Without `axum` the bearer layer and the metadata service are plain tower ones.
#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod event_limit;
mod failure;
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
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod scope;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod token_cache;
pub mod verify;

pub use bearer::{AuthInfo, BearerAuthLayer, Rejection, RejectionKind};
pub use clock::{Clock, SystemClock};
pub use error::{BuildError, BuildErrorKind};
pub use identifier::{InvalidIdentifier, IssuerUrl};
pub use issuer::Issuer;
pub use mcp::{McpLayer, McpScopes};
pub use origin::{OriginCheck, OriginLayer};
pub use scope::{InvalidScope, Scopes};
pub use server::{ResourceServer, ResourceServerBuilder};

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
