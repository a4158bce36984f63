//! An issuer that dies now and then.

use std::time::Duration;

use mcp_bearer::testing::TestIssuer;
use tokio::time::{Instant, sleep_until};

/// How long a period is, and from when to when in it the issuer is gone.
pub struct Outages {
    pub every: Duration,
    pub from: Duration,
    pub to: Duration,
}

impl Outages {
    /// Stops the issuer and starts it again, until `end`.
    pub async fn drive(&self, issuer: &TestIssuer, begun: Instant, end: Instant) {
        for number in 0.. {
            let until = |at: Duration| sleep_until((begun + self.every * number + at).min(end));
            until(self.from).await;
            if Instant::now() >= end {
                break;
            }
            issuer.stop();
            until(self.to).await;
            issuer.restart().unwrap();
        }
    }

    /// Where in its period a moment lies.
    pub fn in_period(&self, since: Duration) -> Duration {
        Duration::from_nanos(u64::try_from(since.as_nanos() % self.every.as_nanos()).unwrap())
    }
}
