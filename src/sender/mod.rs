//! Sender-constrained access tokens: DPoP proofs (RFC 9449) and client certificates (RFC 8705).

mod certificate;
mod constraint;
mod dpop;
mod failure;

pub(crate) use certificate::CertificateSource;
pub use certificate::{ClientCertificate, ClientCertificateHeader, InvalidCertificate};
pub use constraint::SenderConstraint;
pub use dpop::NonceKey;
pub(crate) use dpop::{DEFAULT_NONCE_LIFETIME, NONCE_LIFETIMES, Nonces, Proof};
pub(crate) use failure::ProofError;
pub use failure::ProofFailure;
