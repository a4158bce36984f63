//! Wall-clock time, which comes in through the door.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time that `exp`, `nbf` and `iat` are compared with.
///
/// Only tokens are judged by it. Key sets are refreshed by the monotonic clock of tokio, so that a wall clock that
/// jumps neither floods an issuer nor starves a server of keys.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time since 1970-01-01T00:00:00Z, leap seconds left out (the `NumericDate` of RFC 7519, section 2).
    fn since_epoch(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system")]
    fn since_epoch(&self) -> Duration {
        // A clock before 1970 reads as 1970: every `nbf` and `iat` is then in the future, which refuses.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
