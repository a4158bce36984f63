//! The revocation list of a server: access tokens that it rejects before they expire.
//!
//! [`ResourceServer::revoke`](crate::ResourceServer::revoke) adds a [`Revocation`] to the list. Each request is compared with the
//! list after its token was verified, so cached results are compared as well. Open streaming responses of the
//! [MCP layer](crate::mcp) end within 100 ms.
//!
//! | revocation | rejects | credentials |
//! |---|---|---|
//! | [`token`](Revocation::token) | this token | all: JWTs, opaque tokens, API keys, tokens of a [`TokenVerifier`](crate::verify::TokenVerifier) |
//! | [`token_id`](Revocation::token_id) | the token with this `jti` of this issuer | those with an issuer and the claim |
//! | [`subject`](Revocation::subject) | the tokens of this `sub` of this issuer | those with an issuer and the claim |
//! | [`session`](Revocation::session) | the tokens of this `sid` of this issuer | those with an issuer and the claim |
//!
//! API keys do not have an issuer, so only `token` applies to them. Development identities are not affected.
//!
//! The list is in memory, and with the feature `redis` replicas can share it (`ResourceServerBuilder::shared_state`). It contains
//! SHA-256 digests, not the tokens and claims themselves. An entry is removed after its time, and the list has at most 1,000,000
//! entries. Each entry takes about 250 bytes.

mod digest;
mod entries;
mod entry;
mod error;
mod list;
mod shared;

#[cfg(feature = "redis")]
pub(crate) use digest::RevocationKind;
#[cfg(feature = "redis")]
pub(crate) use entry::MAX_AHEAD;
pub use entry::Revocation;
pub(crate) use entry::RevocationEntry;
pub use error::{RevokeError, RevokeErrorKind};
pub(crate) use list::{RevocationDigests, RevocationList, SharedListState};
pub(crate) use shared::{SharedFuture, SharedRevocations, SharedStateError};
