//! An authorization server for tests, in memory or on a loopback socket, and a clock that waits to be told.
//!
//! [`TestIssuer`] publishes the metadata documents and the key set of a real authorization server, signs whatever
//! token a test needs, rotates its keys, fails in every way that networks know, and counts what it was asked. In
//! memory it needs neither a socket nor a thread, and it works with tokio's paused time.
//!
//! A handler of yours, tested without a network:
//!
//! ```
//! # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
//! # use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
//! # use mcp_bearer::{AuthInfo, ResourceServer, testing::TestIssuer};
//! # use tower::ServiceExt as _;
//! # async fn whoami(auth: AuthInfo) -> String { auth.subject().unwrap_or("service").to_owned() }
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = TestIssuer::new("https://auth.example.com");
//! let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(issuer.issuer()).build().await?;
//! let app = Router::new().route("/mcp", get(whoami)).route_layer(server.bearer_layer());
//! let token = issuer.token().audience("https://mcp.example.com/mcp").subject("alice").sign();
//! let request = Request::get("/mcp").header("authorization", format!("Bearer {token}")).body(Body::empty())?;
//! assert_eq!(app.oneshot(request).await?.status(), StatusCode::OK);
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(test()).unwrap();
//! # }
//! ```
//!
//! An outage, in one line each:
//!
//! ```
//! use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
//!
//! let issuer = TestIssuer::new("https://auth.example.com");
//! issuer.fault(Endpoint::KeySet, Fault::Status(503));
//! issuer.heal();
//! issuer.rotate();
//! assert_eq!(issuer.requests(Endpoint::KeySet), 0);
//! ```
//!
//! Opaque tokens and signed ones can be asked about at the introspection endpoint (RFC 7662) and revoked at the
//! revocation endpoint (RFC 7009), by anybody or by one client only; both endpoints are in the metadata, fail and count
//! like the others. What the resource server sent is in [`last_request`](TestIssuer::last_request).
//!
//! ```
//! use mcp_bearer::testing::TestIssuer;
//! use serde_json::json;
//!
//! let builder = TestIssuer::builder("https://auth.example.com");
//! let issuer = builder.introspection_client("mcp-server", "secret").build();
//! let token = issuer.token().audience("https://mcp.example.com/mcp").scope("notes:read").opaque();
//! assert_eq!(issuer.introspect(&token)["scope"], "notes:read");
//! issuer.revoke(&token);
//! assert_eq!(issuer.introspect(&token), json!({ "active": false }));
//! // Any other shape of an answer, and whatever else goes wrong:
//! issuer.introspection_answer("token", json!({ "active": "yes" }));
//! ```
//!
//! None of this belongs into a program that runs for anybody but its author: the keys live as long as the process,
//! and whoever can call the issuer gets a token. A test's own mistake, such as an issuer that is no URL, panics at
//! the line of the mistake.

mod answer;
mod builder;
mod client;
mod clock;
mod documents;
mod fault;
mod http_client;
mod introspection;
mod issuer;
mod key_ring;
mod requests;
mod signing_key;
mod socket;
mod state;
mod token;
mod tokens;

pub use builder::TestIssuerBuilder;
pub use clock::TestClock;
pub use documents::{Documents, Endpoint};
pub use fault::Fault;
pub use http_client::TestHttpClient;
pub use issuer::TestIssuer;
pub use requests::ReceivedRequest;
pub use token::TestToken;

#[doc(hidden)]
pub use crate::mcp::uri_comparisons;
