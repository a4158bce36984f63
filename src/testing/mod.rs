//! An authorization server and a clock for tests.
//!
//! [`TestIssuer`] publishes the metadata documents and the key set of an authorization server. It signs tokens, rotates keys,
//! simulates network faults, and records the requests that it receives. In memory it needs neither a socket nor a thread, and
//! it works with tokio's paused time.
//!
//! A handler can be tested without a request: see [`TestToken::auth_info`]. A test of the whole application needs no network:
//!
//! ```
//! use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
//! use mcp_bearer::{AuthInfo, ResourceServer, testing::TestIssuer};
//! use tower::ServiceExt as _;
//!
//! async fn whoami(auth: AuthInfo) -> String {
//!     format!("{:?}", auth.subject())
//! }
//!
//! # #[cfg(not(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
//! # fn main() {}
//! # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let issuer = TestIssuer::new("https://auth.example.com");
//!     let server = ResourceServer::builder("https://mcp.example.com/mcp")
//!         .issuer(issuer.issuer())
//!         .build()
//!         .await?;
//!     let app = Router::new().route("/mcp", get(whoami)).route_layer(server.bearer_layer());
//!
//!     let token = issuer.token().audience("https://mcp.example.com/mcp").subject("alice").sign();
//!     let request = Request::get("/mcp")
//!         .header("authorization", format!("Bearer {token}"))
//!         .body(Body::empty())?;
//!     assert_eq!(app.oneshot(request).await?.status(), StatusCode::OK);
//!     Ok(())
//! }
//! ```
//!
//! # Introspection and revocation
//!
//! The issuer has an introspection endpoint (RFC 7662) and a revocation endpoint (RFC 7009), for opaque and for signed tokens.
//! They accept every client, or one client only. [`last_request`](TestIssuer::last_request) returns the request that the
//! resource server sent.
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
//! // Any other response:
//! issuer.introspection_answer("token", json!({ "active": "yes" }));
//! ```
//!
//! # DPoP
//!
//! [`TestDpopKey`] is the key pair of a client. It signs proofs (RFC 9449), each part of which can be made invalid, and
//! [`TestToken::bound_to`] binds a token to it. [`TestClient`] sends requests with a bound token and a proof.
//!
//! ```
//! use std::time::Duration;
//! use mcp_bearer::testing::TestIssuer;
//!
//! const RESOURCE: &str = "https://mcp.example.com/mcp";
//!
//! let issuer = TestIssuer::new("https://auth.example.com");
//! let key = issuer.dpop_key();
//! let token = issuer.token().audience(RESOURCE).bound_to(&key).sign();
//!
//! // A valid proof, one that is too old, and one for another URL.
//! let valid = key.proof("POST", RESOURCE).access_token(&token).sign();
//! let old = key.proof("POST", RESOURCE).access_token(&token).issued_ago(Duration::from_secs(600)).sign();
//! let elsewhere = key.proof("POST", "https://other.example.com/mcp").access_token(&token).sign();
//! ```
//!
//! # Only for tests
//!
//! Do not use this module in a production server. The keys live as long as the process, and everybody who can call the issuer
//! can get a token. A mistake in a test, such as an invalid URL, panics at the line of the mistake.

mod answer;
mod builder;
mod certificate;
mod client;
mod clock;
mod documents;
mod dpop;
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
pub use certificate::TestCertificate;
pub use clock::TestClock;
pub use documents::{Documents, Endpoint};
pub use dpop::{TestClient, TestDpopKey, TestProof};
pub use fault::Fault;
pub use http_client::TestHttpClient;
pub use issuer::TestIssuer;
pub use requests::ReceivedRequest;
pub use token::TestToken;

#[doc(hidden)]
pub use crate::mcp::uri_comparisons;
