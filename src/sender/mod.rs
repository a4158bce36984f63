//! Sender-constrained access tokens: DPoP proofs (RFC 9449) and client certificates (RFC 8705).

mod certificate;
mod constraint;
mod dpop;
mod failure;
mod replay;

pub(crate) use certificate::CertificateSource;
pub use certificate::{ClientCertificate, ClientCertificateHeader, InvalidCertificate};
pub use constraint::SenderConstraint;
pub use dpop::NonceKey;
pub(crate) use dpop::{DEFAULT_NONCE_LIFETIME, NONCE_LIFETIMES, Nonces, Proof};
pub(crate) use failure::ProofError;
pub use failure::ProofFailure;
pub(crate) use replay::{DEFAULT_MAX_PROOFS, DEFAULT_MAX_PROOFS_PER_KEY, DynReplayStore, MemoryReplays, Replays};
pub use replay::{ReplayOutcome, ReplayStore, ReplayStoreError, UsedProof};
