//! The MCP layer: it decides by the MCP operation in the body of a request (MCP 2026-07-28, Authorization).
//!
//! [`McpScopes`] lists the scopes that tools, prompts, resources and methods need.
//! [`ResourceServer::mcp_layer`](crate::ResourceServer::mcp_layer) makes a [`McpLayer`] of it, which contains the bearer layer.
//! It reads the JSON-RPC message in the body, decides before the handler runs, and passes the same bytes on. It supports every
//! revision of MCP since 2025-03-26, with batches.
//!
//! | case | response |
//! |---|---|
//! | the token lacks a scope of the operation | 403 `insufficient_scope`; the challenge names all scopes: those of the layer, then those of the operation |
//! | no token, and the operation is not [public](McpScopes::public) | 401 with a challenge that names them too |
//! | no rule lists the tool, with [`deny_unlisted`](McpScopes::deny_unlisted) | 403 without a challenge |
//! | `Mcp-Method` or `Mcp-Name` contradicts the body | 400, JSON-RPC error -32020 |
//! | the body is ambiguous JSON, or not a JSON-RPC message | passes if the token satisfies every rule and there is no [`deny_unlisted`](McpScopes::deny_unlisted), else 400; 401 without a token |
//! | a content coding, more than one `Content-Type`, or a charset other than UTF-8 and US-ASCII | the same |
//! | more than 256 URIs in a body, or more than 64 KiB of them | the same |
//! | a body over the [limit](McpLayer::max_body), or one that does not arrive within 30 s | 413, 408 |
//! | a body over [its limit](McpLayer::max_anonymous_body) without a token | 401 with a challenge |
//! | a list that cannot be read, with [`filter_lists`](McpLayer::filter_lists) | 500 |
//! | a session id of another caller, or an unknown one, with [`bind_sessions`](McpLayer::bind_sessions) | 404 |
//! | GET, HEAD, DELETE, OPTIONS without a body | needs a token with the scopes of the layer |
//! | a CORS preflight | passes |
//!
//! A batch needs the scopes of all its messages, in one challenge. A response to a request of the server needs a token and no
//! scope of an operation. `completion/complete` needs the scopes of its prompt or resource, and `subscriptions/listen` those of
//! its resources. A rejected request never reaches the handler.
//!
//! The layer needs a tokio runtime with its timer. It holds the inner service while a body arrives, so add a layer that limits
//! concurrent requests outside of it.
//!
//! Streaming responses and long downloads end when their token expires, unless
//! [`streams_may_outlive_token`](McpLayer::streams_may_outlive_token) is called.

mod decision;
mod exchange;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod layer;
mod list;
mod request;
mod scopes;
mod service;
mod session;
mod stream;

pub use failure::OperationFailure;
#[cfg(feature = "settings")]
pub(crate) use layer::MAX_BODY;
pub use layer::McpLayer;
pub use request::McpRequestBody;
pub use scopes::McpScopes;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use scopes::uri_comparisons;
pub use service::{McpAuth, McpResponseFuture};
pub use stream::McpResponseBody;
