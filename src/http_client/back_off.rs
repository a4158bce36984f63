use std::time::{Duration, Instant};

/// Exponential back-off with full jitter for the documents of one authorization server. It is pure: time and chance are
/// arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct BackOff {
    failures: u32,
    /// When the next attempt may start in the background.
    not_before: Option<Instant>,
    /// When a waiting request may start the next attempt.
    request_not_before: Option<Instant>,
}

impl BackOff {
    /// Counts a failure. `retry_after` is the `Retry-After` of the response; `jitter` is between 0 and 1.
    pub(crate) fn fail(&mut self, retry_after: Option<Duration>, jitter: f64, now: Instant) {
        let retry_after = retry_after.unwrap_or_default().min(MAX_PAUSE);
        let longest = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(MAX_PAUSE);
        let pause = longest.mul_f64(jitter.clamp(0.0, 1.0)).max(MIN_PAUSE).max(retry_after);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.checked_add(pause);
        self.request_not_before = now.checked_add(retry_after.max(REQUEST_PAUSE).min(pause));
    }

    /// How long no attempt may start in the background.
    pub(crate) fn time_left(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// How long a request must wait before it may start an attempt itself. `None` if that is more than a request waits.
    ///
    /// A request goes ahead of the back-off. Otherwise the first valid tokens after an outage would be rejected for up to
    /// a minute.
    pub(crate) fn time_left_for_request(&self, now: Instant) -> Option<Duration> {
        Some(self.request_pause(now)).filter(|left| *left <= REQUEST_PAUSE)
    }

    /// The time until a request may start an attempt itself.
    pub(crate) fn request_pause(&self, now: Instant) -> Duration {
        self.request_not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// The upper bound of the pause after the first failure. It doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The shortest pause, whatever the jitter is.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, so that the end of an outage is noticed within a minute.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause before a waiting request may start an attempt, whatever the back-off is. About one attempt per second
/// is little load for an authorization server, and a second is a short wait for a request.
const REQUEST_PAUSE: Duration = Duration::from_secs(1);
