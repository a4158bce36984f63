use std::sync::Arc;
use std::time::Duration;

use crate::http_client::{FetchError, FetchErrorKind};

/// Why the authorization server's word on a token could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum IntrospectionError {
    /// It gave no answer, or none that can be used.
    #[error("introspection failed")]
    Failed(#[source] Arc<FetchError>),
    /// It has failed too often to be asked now.
    #[error("introspection is suspended after failures in a row")]
    Suspended {
        retry_in: Duration,
        #[source]
        last: Option<Arc<FetchError>>,
    },
    /// As many requests as are allowed are under way, and as many as may wait for their turn.
    #[error("too many introspection requests are waiting")]
    Busy,
    /// The answer took too long, or the attempt was cut off.
    #[error("introspection was interrupted")]
    Interrupted,
    /// This build cannot tell tokens apart: it has no signature backend, or the machine no randomness.
    #[error("the machine gives no random numbers")]
    NoRandomness,
}

impl IntrospectionError {
    /// Whether an operator has to change something.
    pub(crate) fn is_misconfiguration(&self) -> bool {
        use FetchErrorKind::{CredentialsRefused, Unsendable};
        matches!(self, Self::Failed(error) if matches!(error.kind(), CredentialsRefused(_) | Unsendable))
    }

    /// When another try makes sense.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed(error) => error.retry_after(),
            Self::Suspended { retry_in, .. } => Some(*retry_in),
            Self::Busy => Some(BUSY),
            Self::Interrupted | Self::NoRandomness => None,
        }
    }
}

/// A queue that is full now is empty, or cut off, within this.
const BUSY: Duration = Duration::from_secs(1);
