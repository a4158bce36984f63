//! An authorization server for development, in the same process as the MCP server and on loopback only.
//!
//! It speaks what MCP clients speak: authorization server metadata (RFC 8414, OpenID Connect Discovery), dynamic client
//! registration (RFC 7591), the authorization code grant with PKCE (RFC 7636) and `resource` (RFC 8707), refresh
//! tokens, client credentials, revocation (RFC 7009); and to the MCP server, introspection (RFC 7662). Its access tokens
//! are JWTs, or opaque if it is told so. There is one user, alice, and no password: whoever can open the consent page may press
//! "Approve". That is why it listens on loopback and nowhere else, and why it is an example and not part of the crate.

mod authorize;
mod client;
mod error;
mod page;
mod parameters;
mod register;
mod revoke;
mod secret;
mod server;
mod token;
mod vault;

pub(crate) use server::{AuthorizationServer, Configuration};
