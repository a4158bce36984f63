use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::http_client::FetchError;
use crate::jose::{Algorithm, Selection, VerificationKey};

/// The keys for a token: one, or several if the issuer gave them the same key id.
#[derive(Debug)]
pub(crate) struct FoundKeys {
    keys: SmallVec<[Arc<VerificationKey>; 2]>,
    /// If none of these keys verifies the signature, a key that cannot be used may have made it.
    undecided: bool,
    /// The number of their set. `None` if the source does not number its sets.
    pub(crate) generation: Option<u64>,
    /// Whether their set is seeded. If none of these keys verifies the signature, a fetched set may.
    pub(crate) is_seeded: bool,
}

/// Whether a seeded key set is good enough for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeededKeys {
    Accepted,
    /// It does not verify the token, so the keys must come from the issuer.
    Refused,
}

/// The result of checking a signature with the keys for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Valid,
    Invalid,
    /// A key that cannot be used may have made it.
    Undecided,
}

impl FoundKeys {
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Signature {
        if self.keys.iter().any(|key| key.verifies(algorithm, message, signature)) {
            Signature::Valid
        } else if self.undecided {
            Signature::Undecided
        } else {
            Signature::Invalid
        }
    }

    pub(super) fn new(selection: &Selection<'_>, generation: Option<u64>) -> Result<Self, KeyError> {
        match selection {
            Selection::Keys { keys, undecided } => {
                let keys = keys.iter().map(|key| Arc::clone(key)).collect();
                Ok(Self { keys, undecided: *undecided, generation, is_seeded: false })
            }
            Selection::Unusable => Err(KeyError::Unusable),
            Selection::Unknown | Selection::Unfit => Err(KeyError::Unknown),
        }
    }
}

/// Why the key for a token was not found.
///
/// ```
/// use std::time::Duration;
///
/// use mcp_bearer::keys::KeyError;
///
/// // For a KeySource whose database is down for a while: the client may retry after five seconds.
/// let error = KeyError::unavailable(Some(Duration::from_secs(5)));
/// assert_eq!(error.to_string(), "the key set is not available");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The issuer's current key set does not contain such a key. The token is rejected.
    #[error("the key set does not contain such a key")]
    Unknown,
    /// The issuer's key for this token cannot be used, so the token cannot be verified. The log has the reason.
    #[error("the key set has a key for this token that cannot be used")]
    Unusable,
    /// The key set is not available, so the token cannot be verified.
    #[error("the key set is not available")]
    #[non_exhaustive]
    Unavailable {
        /// The time until the next fetch of the key set, or what [`unavailable`](Self::unavailable) was given. `None` if it is not
        /// known.
        retry_after: Option<Duration>,
        /// The error of the last fetch, if there is one.
        #[source]
        source: Option<Arc<FetchError>>,
    },
}

impl KeyError {
    /// The error of a [`KeySource`](super::KeySource) that cannot fetch its key set. `retry_after` is sent to the client.
    #[must_use]
    pub const fn unavailable(retry_after: Option<Duration>) -> Self {
        Self::Unavailable { retry_after, source: None }
    }

    /// Adds the cause of [`unavailable`](Self::unavailable) for the log. Other errors do not have a cause.
    #[must_use]
    pub fn with_source(self, error: FetchError) -> Self {
        match self {
            Self::Unavailable { retry_after, .. } => Self::Unavailable { retry_after, source: Some(Arc::new(error)) },
            other => other,
        }
    }
}
