//! DPoP proofs (RFC 9449): a JWT for one request, signed by the key that the access token is bound to.

mod key;
mod nonce;
mod nonce_key;
mod proof;
mod target;

pub(crate) use nonce::{DEFAULT_NONCE_LIFETIME, NONCE_LIFETIMES, Nonces, REPLICA_CLOCK_DIFFERENCE};
pub use nonce_key::NonceKey;
pub(crate) use proof::{Proof, ProofRequest, ProofRules, find_proof};
pub(crate) use target::{ProofTarget, ProxiedPath};
