//! Who shows a token, and what came of it.

use std::time::Duration;

use fastrand::Rng;
use mcp_bearer::Clock as _;
use mcp_bearer::testing::TestClock;
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::App;

/// One request that was answered.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The key or token that it was about.
    pub about: String,
    /// What the token's own time says at the wall clock of both moments.
    pub times: Times,
    pub sent: Instant,
    pub answered: Instant,
    pub verdict: String,
}

/// Whether a token's own times are good: when it was shown, and when it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub sent: bool,
    pub answered: bool,
}

/// A token, and when it is good by its own word.
#[derive(Debug, Clone)]
pub struct Shown {
    pub about: String,
    pub token: String,
    /// The seconds of the wall clock between which it is good.
    pub from: Option<u64>,
    pub until: Option<u64>,
}

impl Shown {
    fn is_timely(&self, clock: &TestClock) -> bool {
        let now = clock.since_epoch().as_secs();
        self.from.is_none_or(|from| now >= from) && self.until.is_none_or(|until| now < until)
    }
}

/// Shows a token at `at`. Goes away after `patience`, and then has heard nothing.
pub async fn call(app: &App, clock: &TestClock, shown: Shown, at: Instant, patience: Duration) -> Option<Heard> {
    sleep_until(at).await;
    let (sent, was_timely) = (Instant::now(), shown.is_timely(clock));
    let answer = timeout(patience, app.with_token(&shown.token)).await.ok()?;
    let times = Times { sent: was_timely, answered: shown.is_timely(clock) };
    Some(Heard { about: shown.about, times, sent, answered: Instant::now(), verdict: answer.verdict() })
}

/// For how many seconds a token lives that a jump of the clock makes bad.
pub const BRIEF: u64 = 2 * 3600;
pub const DAY: u64 = 86_400;

/// Four jumps of the wall clock: a day forward and back again, a day back and forward again. To what, and when.
pub fn jumps(rng: &mut Rng, from: Instant, length: Duration) -> Vec<(Instant, i64)> {
    let mut moments: Vec<u64> = (0..4).map(|_| rng.u64(0..length.as_millis().try_into().unwrap())).collect();
    moments.sort_unstable();
    let day = i64::try_from(DAY).unwrap();
    moments.into_iter().map(|at| from + Duration::from_millis(at)).zip([day, 0, -day, 0]).collect()
}

/// Lets the wall clock jump, while tokio's goes on.
pub async fn jump(clock: TestClock, jumps: Vec<(Instant, i64)>) {
    let mut offset = 0_i64;
    for (at, next) in jumps {
        sleep_until(at).await;
        let true_time = i64::try_from(clock.since_epoch().as_secs()).unwrap() - offset;
        clock.set((true_time + next).try_into().unwrap());
        offset = next;
    }
}
