//! An authorization server for development, in the same process as the MCP server and on loopback only.
//!
//! For MCP clients, it supports authorization server metadata (RFC 8414, OpenID Connect Discovery) and dynamic client
//! registration (RFC 7591). It supports the authorization code grant with PKCE (RFC 7636) and `resource` (RFC 8707),
//! refresh tokens, client credentials, and revocation (RFC 7009). For the MCP server, it supports introspection (RFC
//! 7662). Its access tokens are JWTs or, if configured, opaque. If configured, it binds them to the key of a DPoP proof
//! (RFC 9449).
//!
//! It has one user, alice, and no password: everybody who can open the consent page can press "Approve". So it listens
//! on loopback only, and is an example and not a part of the crate.

mod authorize;
mod client;
mod error;
mod page;
mod parameters;
mod proof;
mod register;
mod revoke;
mod secret;
mod server;
mod token;
mod vault;

pub(crate) use server::{AuthorizationServer, Configuration};
