//! What real authorization servers send, and what becomes of it.
//!
//! [`shapes`] holds a collection of claims and answers as vendors write them against the verdicts that are expected of us.
//! The other modules are the points that follow from such servers, one after the other, each with the servers that it
//! comes from: audiences, issuers, types of tokens, clients and scopes, key sets, discovery, and answers to introspection.

mod access_tokens;
mod answers;
mod audiences;
mod claim_shapes;
mod clients_and_scopes;
mod discovery;
mod issuers;
mod key_sets;
mod provider;
mod shapes;
mod token_types;
mod unusable_keys;
