//! An issuer with periodic outages.

use std::time::Duration;

use mcp_bearer::testing::TestIssuer;
use tokio::time::{Instant, sleep_until};

/// The length of a period, and the start and end of the outage within it.
pub struct Outages {
    pub every: Duration,
    pub from: Duration,
    pub to: Duration,
}

impl Outages {
    /// Stops the issuer and starts it again, until `end`.
    pub async fn drive(&self, issuer: &TestIssuer, started: Instant, end: Instant) {
        for number in 0.. {
            let until = |at: Duration| sleep_until((started + self.every * number + at).min(end));
            until(self.from).await;
            if Instant::now() >= end {
                break;
            }
            issuer.stop();
            until(self.to).await;
            issuer.restart().unwrap();
        }
    }

    /// Returns the time since the start of the current period.
    pub fn in_period(&self, since: Duration) -> Duration {
        Duration::from_nanos(u64::try_from(since.as_nanos() % self.every.as_nanos()).unwrap())
    }
}
