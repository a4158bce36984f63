//! What an MCP request is about, and which scopes that needs (MCP 2026-07-28, Authorization): a layer inside the bearer
//! layer.
//!
//! [`McpScopes`] says what each tool, prompt, resource and method needs;
//! [`ResourceServer::mcp_layer`](crate::ResourceServer::mcp_layer) makes a [`McpLayer`] of it. It reads the JSON-RPC
//! message out of the body, decides before the handler starts, and hands the same bytes on. It knows the requests of every
//! revision since 2025-03-26, batches included.
//!
//! | case | answer |
//! |---|---|
//! | the token lacks a scope of the operation | 403 `insufficient_scope`; the challenge names all of its scopes, those of the bearer layer first |
//! | no token, and the operation is not [public](McpScopes::public) | 401 with a challenge that names them too |
//! | no rule lists the tool, under [`deny_unlisted`](McpScopes::deny_unlisted) | 403 without a challenge |
//! | `Mcp-Method` or `Mcp-Name` contradicts the body | 400, JSON-RPC error -32020 |
//! | a body that two readers could read in two ways, or in none | handed on if the token satisfies every rule, else 400 |
//! | a content coding, more than one `Content-Type`, or a charset other than UTF-8 and US-ASCII | the same |
//! | more than 256 URIs in a body, or more than 64 KiB of them | the same |
//! | a body over the [limit](McpLayer::max_body), or one that does not arrive within 30 s | 413, 408 |
//! | a body over [its limit](McpLayer::max_anonymous_body) without a token | 401 with a challenge |
//! | a list that cannot be read, where lists are [filtered](McpLayer::filter_lists) | 500 |
//! | a session id of somebody else, or of nobody ([`bind_sessions`](McpLayer::bind_sessions)) | 404 |
//! | GET, HEAD, DELETE, OPTIONS | need a token with the bearer layer's scopes; not read |
//! | a CORS preflight | passes |
//!
//! A batch needs what its members need, in one challenge. An answer to what the server asked needs a token and no more.
//! `completion/complete` needs what the prompt or resource that it is about needs; `subscriptions/listen` what its
//! resources need. What is refused never reaches the inner service.
//!
//! The layer needs a tokio runtime with its timer. It holds the inner service while a body arrives: what limits how many
//! requests run at once belongs outside of it.
//!
//! Answers that go on, such as event streams and long downloads, end with their token, unless
//! [`streams_may_outlive_token`](McpLayer::streams_may_outlive_token) says otherwise.

mod decision;
mod exchange;
mod failure;
mod future;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod layer;
mod list;
mod rejection;
mod request;
mod scopes;
mod service;
mod session;
mod stream;

pub use failure::OperationFailure;
pub use future::McpResponseFuture;
pub use layer::McpLayer;
pub use request::McpRequestBody;
pub use scopes::McpScopes;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use scopes::uri_comparisons;
pub use service::McpAuth;
pub use stream::McpResponseBody;
