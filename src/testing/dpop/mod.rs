//! Clients with DPoP (RFC 9449): their keys, their proofs and their requests.

mod client;
mod key;
mod proof;

pub use client::TestClient;
pub use key::TestDpopKey;
pub use proof::TestProof;

#[cfg(test)]
mod tests;
