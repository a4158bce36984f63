use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::clock::Clock;

/// A wall clock for tests.
///
/// It advances with tokio's clock, so it stops while tokio's time is paused. [`advance`](Self::advance) and
/// [`set`](Self::set) change this clock alone. Clones show the same time.
///
/// ```
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
/// use mcp_bearer::testing::TestClock;
///
/// let clock = TestClock::at(1_800_000_000);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.since_epoch().as_secs(), 1_800_000_060);
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    anchor: Arc<Mutex<Anchor>>,
}

/// The time of the clock at one instant of tokio's clock.
#[derive(Debug)]
struct Anchor {
    shown: Duration,
    at: Instant,
}

impl TestClock {
    /// A clock that shows 2027-01-15T08:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(START)
    }

    /// A clock that shows this many seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        let anchor = Anchor { shown: Duration::from_secs(seconds), at: Instant::now() };
        Self { anchor: Arc::new(Mutex::new(anchor)) }
    }

    /// Moves this clock forward, and not tokio's.
    pub fn advance(&self, by: Duration) {
        let mut anchor = self.lock();
        anchor.shown = anchor.shown.saturating_add(by);
    }

    /// Sets this clock, forward or back, to so many seconds since 1970-01-01T00:00:00Z.
    pub fn set(&self, seconds: u64) {
        *self.lock() = Anchor { shown: Duration::from_secs(seconds), at: Instant::now() };
    }

    /// The time that the clock shows, since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn since_epoch(&self) -> Duration {
        let anchor = self.lock();
        anchor.shown.saturating_add(anchor.at.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Anchor> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(self.since_epoch()).unwrap_or(UNIX_EPOCH)
    }
}

/// A round number after every date in the test vectors of the specifications.
const START: u64 = 1_800_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_advances_with_tokio_and_by_its_own_methods() {
        let clock = TestClock::new();
        let copy = clock.clone();
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.advance(Duration::from_secs(7));
        assert_eq!(copy.since_epoch(), Duration::from_secs(START + 12));
        clock.set(100);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(copy.since_epoch(), Duration::from_secs(101));
    }

    #[test]
    fn it_needs_no_runtime() {
        assert_eq!(TestClock::at(7).since_epoch().as_secs(), 7);
    }
}
