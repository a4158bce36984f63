use std::time::Duration;

use crate::jose::Thumbprint;

/// A proof that passed all checks but the search for an earlier use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The thumbprint of its key, which the access token must be bound to.
    pub(crate) key: Thumbprint,
    /// The SHA-256 digest of `jti`.
    pub(crate) id: [u8; 32],
    /// The time since 1970 from which on the proof is rejected: `iat` plus the greatest age. Its use is remembered until then.
    pub(crate) expires_at: Duration,
}
