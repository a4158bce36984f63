//! Sender-constrained access tokens: DPoP proofs (RFC 9449) and client certificates (RFC 8705).
//!
//! # The checks of a proof
//!
//! A request with a bound token has the headers `Authorization: DPoP <token>` and `DPoP: <proof>`. The proof is a JWT, which the
//! client signs for this request with the key that the token is bound to. It is checked in this order, cheap checks first:
//!
//! | | check | failure | specification |
//! |---|---|---|---|
//! | 1 | there is at most one header `DPoP`, with one value | [`Several`] | RFC 9449, section 4.3, check 1 |
//! | 2 | a request with a proof has the scheme `DPoP`, and a request with this scheme has a proof | [`WithBearer`], [`Missing`] | RFC 9449, section 7 |
//! | 3 | it has at most 8 KiB, and its encoded header at most 4 KiB | [`TooLong`] | |
//! | 4 | it is a signed JWT in compact form; header and claims are JSON objects that repeat no name, and their members have the right types | [`Malformed`] | RFC 9449, section 4.3, checks 2 and 3; RFC 7515, section 7.1 |
//! | 5 | `typ` is `dpop+jwt`, in any case | [`Type`] | RFC 9449, section 4.3, check 4; RFC 7515, section 4.1.9 |
//! | 6 | `alg` is one of the accepted algorithms, all of which are asymmetric; the header has neither `crit` nor `b64`, `enc` or `zip` | [`Algorithm`], [`Malformed`] | RFC 9449, section 4.3, check 5; RFC 8725, section 3.1 |
//! | 7 | `jwk` is one public key for `alg`: P-256, P-384, P-521, Ed25519, or RSA with 2048 to 4096 bits | [`Key`] | RFC 9449, section 4.3, check 7; RFC 7517, section 4; RFC 7518, section 6 |
//! | 8 | `htm` is the method of the request, byte by byte | [`Method`] | RFC 9449, section 4.3, check 8; RFC 9110, section 9.1 |
//! | 9 | `htu` is the URL of the request, without query and fragment: scheme, host and port of the configured resource, and the path of the request | [`Target`] | RFC 9449, section 4.3, check 9; RFC 3986, section 6.2 |
//! | 10 | `iat` is less than the maximum age in the past, and not more than it in the future; `exp` is in the future, and `nbf` is not, if they are present | [`Time`] | RFC 9449, sections 4.3, check 11, and 11.1; RFC 7519, section 4.1 |
//! | 11 | `jti` has 1 to 256 bytes | [`Id`] | RFC 9449, section 4.2 |
//! | 12 | `ath` is the SHA-256 digest of the access token in base64url | [`TokenHash`] | RFC 9449, section 4.3, check 12 |
//! | 13 | if the server requires nonces, `nonce` is one of its nonces, and has not expired | [`NoNonce`], [`Nonce`] | RFC 9449, section 4.3, check 10, and section 9 |
//! | 14 | the signature is valid for `jwk` | [`Signature`] | RFC 9449, section 4.3, check 6 |
//! | 15 | the access token is valid: see [`verify`](crate::verify) | | RFC 9449, section 7 |
//! | 16 | the token is bound to the key of the proof | [`CheckFailure::ProofKey`](crate::verify::CheckFailure::ProofKey), [`CheckFailure::NotSenderConstrained`](crate::verify::CheckFailure::NotSenderConstrained) | RFC 9449, section 4.3, check 12, and section 6.1 |
//! | 17 | no proof with this key and this `jti` was used before | [`Replayed`]; [`Time`] if the proof has expired in the meantime; [`NoNonce`] if the store has lost entries; 503 if it is full or fails | RFC 9449, section 11.1 |
//!
//! Checks 1 to 14 need neither a request to another server nor the store of used proofs, so a stranger can cause neither.
//!
//! # Client certificates
//!
//! A token that is bound to a certificate is sent as `Authorization: Bearer <token>`. When the token is verified, the SHA-256
//! digest of the client's certificate must be the member `x5t#S256` of its claim `cnf` (RFC 8705, section 3.1). The certificate
//! is a [`ClientCertificate`] in the extensions of the request, or the [header of a proxy](ClientCertificateHeader). A header
//! that is not exactly one certificate counts as an invalid certificate, and a bound token is rejected with it.
//!
//! [`WithBearer`]: ProofFailure::WithBearer
//! [`Missing`]: ProofFailure::Missing
//! [`Several`]: ProofFailure::Several
//! [`TooLong`]: ProofFailure::TooLong
//! [`Malformed`]: ProofFailure::Malformed
//! [`Type`]: ProofFailure::Type
//! [`Algorithm`]: ProofFailure::Algorithm
//! [`Key`]: ProofFailure::Key
//! [`Method`]: ProofFailure::Method
//! [`Target`]: ProofFailure::Target
//! [`Time`]: ProofFailure::Time
//! [`Id`]: ProofFailure::Id
//! [`TokenHash`]: ProofFailure::TokenHash
//! [`NoNonce`]: ProofFailure::NoNonce
//! [`Nonce`]: ProofFailure::Nonce
//! [`Signature`]: ProofFailure::Signature
//! [`Replayed`]: ProofFailure::Replayed

mod certificate;
mod constraint;
mod dpop;
mod failure;
mod replay;
#[expect(clippy::module_inception, reason = "the file has the name of its type")]
mod sender;
mod settings;

use http::HeaderName;

pub(crate) use certificate::CertificateSource;
pub use certificate::{ClientCertificate, ClientCertificateHeader, InvalidCertificate};
pub use constraint::SenderConstraint;
pub use dpop::NonceKey;
#[cfg(feature = "redis")]
pub(crate) use dpop::REPLICA_CLOCK_DIFFERENCE;
pub(crate) use dpop::{Nonces, Proof, ProofRequest, ProofRules, ProofTarget, find_proof};
pub(crate) use failure::ProofError;
pub use failure::ProofFailure;
pub(crate) use replay::{DynReplayStore, MemoryReplays, Replays};
pub use replay::{ReplayOutcome, ReplayStore, ReplayStoreError, UsedProof};
pub use sender::Sender;
pub use settings::Dpop;
#[cfg(feature = "redis")]
pub(crate) use settings::MAX_PROOF_AGE;

/// The header with the proof of a request (RFC 9449, section 4.1).
pub(crate) static DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header with the nonce for the next proof (RFC 9449, section 8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
