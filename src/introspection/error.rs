use std::sync::Arc;
use std::time::Duration;

use super::queue::NoPermit;
use crate::http_client::FetchError;

/// Why a token could not be introspected.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum IntrospectionError {
    /// There was no response, or an invalid one.
    #[error("introspection failed")]
    Failed {
        /// When another attempt is possible, if that is known.
        retry_in: Option<Duration>,
        /// Whether an operator must change the configuration first.
        is_misconfiguration: bool,
        #[source]
        source: Arc<FetchError>,
    },
    /// The circuit breaker is open.
    #[error("introspection is suspended after consecutive failures")]
    Suspended {
        retry_in: Duration,
        #[source]
        last: Option<Arc<FetchError>>,
    },
    /// The endpoint limits the rate of requests for this token (RFC 6585, section 4).
    #[error("the authorization server limits the rate of requests for this token")]
    RateLimited { retry_in: Duration },
    /// The limit of concurrent requests is reached, and the permit for this token did not come in time.
    #[error("too many introspection requests are waiting")]
    Busy { retry_in: Duration },
    /// The introspection took too long, or was interrupted by a panic or by the end of its runtime.
    #[error("introspection was interrupted")]
    Interrupted,
}

impl IntrospectionError {
    pub(super) fn from_no_permit(no_permit: NoPermit, last: Option<Arc<FetchError>>) -> Self {
        match no_permit {
            NoPermit::Suspended { retry_in } => Self::Suspended { retry_in, last },
            NoPermit::Busy { retry_in } => Self::Busy { retry_in },
        }
    }

    /// Whether an operator must change the configuration.
    pub(crate) const fn is_misconfiguration(&self) -> bool {
        matches!(self, Self::Failed { is_misconfiguration: true, .. })
    }

    /// The `Retry-After` for the client. If many clients get the same, a random part spreads their requests.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { retry_in, .. } => *retry_in,
            Self::RateLimited { retry_in } => Some(*retry_in),
            Self::Suspended { retry_in, .. } | Self::Busy { retry_in } => Some(with_jitter(*retry_in)),
            Self::Interrupted => None,
        }
    }
}

/// Rounds up to whole seconds, and adds up to 30 % at random. The result is at most one minute.
fn with_jitter(time: Duration) -> Duration {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).clamp(1, LONGEST);
    Duration::from_secs(seconds.saturating_add(fastrand::u64(0..=seconds.saturating_mul(3) / 10)).min(LONGEST))
}

/// The longest `Retry-After`, in seconds.
const LONGEST: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_and_has_up_to_thirty_percent_of_jitter() {
        for (millis, least, most) in
            [(0, 1, 1), (1, 1, 1), (1_000, 1, 1), (4_001, 5, 6), (20_000, 20, 26), (50_000, 50, 60), (600_000, 60, 60)]
        {
            let drawn: Vec<u64> = (0..500).map(|_| with_jitter(Duration::from_millis(millis)).as_secs()).collect();
            let found = (drawn.iter().min().copied(), drawn.iter().max().copied());
            assert_eq!(found, (Some(least), Some(most)), "{millis}");
        }
    }
}
