//! Clients that send a token, and the outcome of their requests.

use std::time::Duration;

use fastrand::Rng;
use mcp_bearer::testing::TestClock;
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::App;

/// One request that got a response.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The key id or the token of the request.
    pub about: String,
    /// Whether the token was within its lifetime, by the wall clock.
    pub times: Times,
    pub sent: Instant,
    pub answered: Instant,
    pub verdict: String,
}

/// Whether a token was within its lifetime when the request was sent, and when it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub sent: bool,
    pub answered: bool,
}

/// A token and its lifetime.
#[derive(Debug, Clone)]
pub struct TestToken {
    pub about: String,
    pub token: String,
    /// The lifetime of the token, in seconds of the wall clock.
    pub from: Option<u64>,
    pub until: Option<u64>,
}

impl TestToken {
    fn is_within_lifetime(&self, clock: &TestClock) -> bool {
        let now = clock.since_epoch().as_secs();
        self.from.is_none_or(|from| now >= from) && self.until.is_none_or(|until| now < until)
    }
}

/// Sends a token at `at`. Cancels the request after `patience`, and then returns `None`.
pub async fn call(app: &App, clock: &TestClock, token: TestToken, at: Instant, patience: Duration) -> Option<Outcome> {
    sleep_until(at).await;
    let (sent, was_within_lifetime) = (Instant::now(), token.is_within_lifetime(clock));
    let answer = timeout(patience, app.with_token(&token.token)).await.ok()?;
    let times = Times { sent: was_within_lifetime, answered: token.is_within_lifetime(clock) };
    Some(Outcome { about: token.about, times, sent, answered: Instant::now(), verdict: answer.verdict() })
}

/// The lifetime of a brief token in seconds: every jump of the clock exceeds it.
pub const BRIEF: u64 = 2 * 3600;
pub const DAY: u64 = 86_400;

/// Four jumps of the wall clock with their times: a day ahead, back, a day behind, and back.
pub fn jumps(rng: &mut Rng, from: Instant, length: Duration) -> Vec<(Instant, i64)> {
    let mut moments: Vec<u64> = (0..4).map(|_| rng.u64(0..length.as_millis().try_into().unwrap())).collect();
    moments.sort_unstable();
    let day = i64::try_from(DAY).unwrap();
    moments.into_iter().map(|at| from + Duration::from_millis(at)).zip([day, 0, -day, 0]).collect()
}

/// Moves the wall clock, while Tokio's time advances as usual.
pub async fn jump(clock: TestClock, jumps: Vec<(Instant, i64)>) {
    let mut offset = 0_i64;
    for (at, next) in jumps {
        sleep_until(at).await;
        let true_time = i64::try_from(clock.since_epoch().as_secs()).unwrap() - offset;
        clock.set((true_time + next).try_into().unwrap());
        offset = next;
    }
}
