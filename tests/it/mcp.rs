//! MCP authorization: scopes for operations, sessions, streams and lists.

pub mod server;
pub mod stream;
mod verdict;

mod bad_input;
mod batches;
mod bodies;
mod configuration;
mod contract;
mod headers;
mod hierarchy;
mod list_answers;
mod lists;
mod mixed;
mod operations;
mod revalidation;
mod revoked_streams;
mod senders;
mod sessions;
mod streams;
mod tool_names;
mod tool_result;
mod uris;
