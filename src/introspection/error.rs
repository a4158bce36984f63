use std::sync::Arc;
use std::time::Duration;

use super::queue::NoTurn;
use crate::http_client::FetchError;

/// Why the authorization server said nothing about a token.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum IntrospectionError {
    /// It gave no answer, or none that can be used.
    #[error("introspection failed")]
    Failed {
        /// When another attempt is possible, if that is known.
        retry_in: Option<Duration>,
        /// Whether an operator has to change something first.
        is_misconfiguration: bool,
        #[source]
        source: Arc<FetchError>,
    },
    /// The circuit breaker is open: no token is introspected for a while.
    #[error("introspection is suspended after failures in a row")]
    Suspended {
        retry_in: Duration,
        #[source]
        last: Option<Arc<FetchError>>,
    },
    /// The endpoint said when this token may be introspected again (RFC 6585, section 4).
    #[error("the authorization server limits the rate of requests about this token")]
    RateLimited { retry_in: Duration },
    /// As many calls as the endpoint bears are in flight, and the turn of this token did not come in time.
    #[error("too many introspection requests are waiting")]
    Busy { retry_in: Duration },
    /// The answer took too long, or the attempt was cut off.
    #[error("introspection was interrupted")]
    Interrupted,
}

impl IntrospectionError {
    pub(super) fn from_no_turn(no_turn: NoTurn, last: Option<Arc<FetchError>>) -> Self {
        match no_turn {
            NoTurn::Suspended { retry_in } => Self::Suspended { retry_in, last },
            NoTurn::Busy { retry_in } => Self::Busy { retry_in },
        }
    }

    /// Whether an operator has to change something.
    pub(crate) const fn is_misconfiguration(&self) -> bool {
        matches!(self, Self::Failed { is_misconfiguration: true, .. })
    }

    /// When the caller should come back. Where many callers are told the same, a random part spreads them.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { retry_in, .. } => *retry_in,
            Self::RateLimited { retry_in } => Some(*retry_in),
            Self::Suspended { retry_in, .. } | Self::Busy { retry_in } => Some(with_jitter(*retry_in)),
            Self::Interrupted => None,
        }
    }
}

/// Whole seconds, rounded up, and up to 30 % more at random; one minute at most.
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
