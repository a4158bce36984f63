//! Tokens and responses of real authorization servers.
//!
//! [`shapes`] compares a collection of vendor tokens and introspection responses with the expected results. Each other
//! module covers one topic that follows from these servers, and names the servers: audiences, issuers, token types,
//! clients and scopes, key sets, discovery, and introspection responses.

mod access_tokens;
mod answers;
mod audiences;
mod claim_shapes;
mod clients_and_scopes;
mod discovery;
mod hydra;
mod issuers;
mod key_sets;
mod provider;
mod shapes;
mod token_types;
mod unusable_keys;
