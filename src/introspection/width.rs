//! How many calls are sent to one introspection endpoint at the same time. It is a pure state machine.
//!
//! Some authorization servers need 0.2 s of CPU time for each introspection, others a millisecond. The width adapts like
//! the window of a TCP connection: it grows by one after a round of answers that came in time, and is halved where the
//! endpoint shows that it has too much to do. A round has as many answers as the width. Only calls that were sent
//! while the width was used up count: the others show nothing about more calls.
//!
//! Made-up tokens may get no answer at all. They narrow the width until one call alone times out: that is not load. Then the
//! width is as at first again, and timeouts do not narrow it for two minutes.

use std::time::{Duration, Instant};

use super::health::Outcome;

/// The state of the endpoint when a call ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observed {
    /// Another call got a response while this one was in flight.
    pub(super) others_responded: bool,
    /// The endpoint confirmed a token as active a short time ago.
    pub(super) is_confirmed: bool,
}

/// The number of calls that may be in flight, and the number that is.
#[derive(Debug)]
pub(super) struct Width {
    width: usize,
    most: usize,
    in_flight: usize,
    /// The width does not grow where answers take more than half of this on average: they would soon be too late.
    time_limit: Duration,
    /// When the width was used up last.
    full_at: Option<Instant>,
    /// When the width was halved last. Calls that were sent before that do not halve it again.
    halved_at: Option<Instant>,
    /// When a call timed out although it was sent alone, while the endpoint works: for a while after that, timeouts are the
    /// fault of their tokens.
    blames_tokens_since: Option<Instant>,
    /// For tokens that are active, and for all others: many endpoints answer faster about tokens that they do not know.
    rounds: [Round; 2],
    /// How long a call takes, averaged over the last few.
    usual: Option<Duration>,
}

/// The answers since the width was considered last.
#[derive(Debug, Default)]
struct Round {
    answers: u32,
    /// How many of them came while the width was used up.
    full: u32,
    total: Duration,
    best: Best,
}

/// The shortest average of a round in the last minute, or in the last half of it.
#[derive(Debug, Default)]
struct Best {
    since: Option<Instant>,
    current: Option<Duration>,
    previous: Option<Duration>,
}

impl Width {
    /// `most` calls at the most, each with this time limit.
    pub(super) fn new(most: usize, time_limit: Duration) -> Self {
        Self {
            width: FIRST.min(most),
            most,
            in_flight: 0,
            time_limit,
            full_at: None,
            halved_at: None,
            blames_tokens_since: None,
            rounds: Default::default(),
            usual: None,
        }
    }

    /// Whether another call may be sent. A quarter is kept for tokens that were active before: strangers cannot use up
    /// everything.
    pub(super) fn admits(&self, is_known: bool) -> bool {
        let limit = if is_known {
            self.width.saturating_add(self.width / KEPT).min(self.most)
        } else {
            self.width.min(self.most.saturating_sub(self.most / KEPT))
        };
        self.in_flight < limit
    }

    /// A call is sent.
    pub(super) fn begin(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.note_full(now);
    }

    /// A call has ended, or nobody waits for it any more.
    pub(super) fn leave(&mut self, now: Instant) {
        self.note_full(now);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A call that was sent at `sent` ends now.
    pub(super) fn end(&mut self, sent: Instant, outcome: Outcome, endpoint: Observed, now: Instant) {
        self.leave(now);
        let took = now.saturating_duration_since(sent);
        self.usual = Some(
            self.usual
                .map_or(took, |usual| usual.saturating_mul(7).saturating_add(took).checked_div(8).unwrap_or(took)),
        );
        if self.halved_at.is_some_and(|at| sent < at) {
            return;
        }
        let was_full = self.full_at.is_some_and(|at| at >= sent);
        match outcome {
            Outcome::Overloaded { .. } if was_full => self.halve(now),
            Outcome::TimedOut if was_full && !endpoint.others_responded => self.timed_out(endpoint, now),
            Outcome::Active => self.answered(0, took, was_full, now),
            Outcome::NotActive | Outcome::ClientRejected | Outcome::RequestRejected | Outcome::Odd => {
                self.answered(1, took, was_full, now)
            }
            _ => {}
        }
    }

    /// A call timed out, and no other was answered meanwhile: there is too much load, or the token is the reason.
    fn timed_out(&mut self, endpoint: Observed, now: Instant) {
        let blames_tokens = |since: Instant| now.saturating_duration_since(since) < TOKENS_ARE_BLAMED;
        if self.width == 1 && endpoint.is_confirmed {
            // It was sent alone, so load is not the reason, and fewer calls do not help.
            self.blames_tokens_since = Some(now);
            self.set(FIRST);
        } else if !self.blames_tokens_since.is_some_and(blames_tokens) {
            self.halve(now);
        }
    }

    /// How many calls are in flight.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The endpoint works again.
    pub(super) fn restart(&mut self, now: Instant) {
        self.set(1);
        self.halved_at = Some(now);
    }

    /// How long it takes until so many calls have been sent, as far as is known.
    pub(super) fn time_for(&self, calls: usize) -> Duration {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let width = u32::try_from(self.width).unwrap_or(u32::MAX);
        self.usual.unwrap_or_default().saturating_mul(calls).checked_div(width).unwrap_or_default()
    }

    fn note_full(&mut self, now: Instant) {
        if self.in_flight >= self.width.min(self.most.saturating_sub(self.most / KEPT)) {
            self.full_at = Some(now);
        }
    }

    fn answered(&mut self, class: usize, took: Duration, was_full: bool, now: Instant) {
        let width = u32::try_from(self.width).unwrap_or(u32::MAX);
        let Some(round) = self.rounds.get_mut(class) else { return };
        round.answers = round.answers.saturating_add(1);
        round.full = round.full.saturating_add(u32::from(was_full));
        round.total = round.total.saturating_add(took);
        if round.answers < width {
            return;
        }
        let average = round.total.checked_div(round.answers).unwrap_or_default();
        let was_full = round.full > round.answers / 2;
        let is_slow =
            round.answers >= MEANINGFUL && average >= round.best.record(average, now).saturating_mul(2).max(NOISE);
        (round.answers, round.full, round.total) = (0, 0, Duration::ZERO);
        if was_full && is_slow {
            self.halve(now);
        } else if was_full && average.saturating_mul(2) <= self.time_limit {
            self.set(self.width.saturating_add(1));
        }
    }

    fn halve(&mut self, now: Instant) {
        self.set(self.width / 2);
        self.halved_at = Some(now);
    }

    /// A new width begins a new round.
    fn set(&mut self, width: usize) {
        self.width = width.clamp(1, self.most);
        for round in &mut self.rounds {
            (round.answers, round.full, round.total) = (0, 0, Duration::ZERO);
        }
    }
}

impl Best {
    fn record(&mut self, average: Duration, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age.saturating_mul(2) >= BEST_HOLDS {
            self.previous = self.current.take().filter(|_| age < BEST_HOLDS);
            self.since = Some(now);
        }
        self.current = Some(self.current.map_or(average, |current| current.min(average)));
        self.current.into_iter().chain(self.previous).min().unwrap_or(average)
    }
}

/// The width at first: few enough for an endpoint that is slow, enough to find out soon whether it is.
pub(super) const FIRST: usize = 8;
/// How long timeouts do not narrow the width once one call alone has timed out at an endpoint that works.
const TOKENS_ARE_BLAMED: Duration = Duration::from_secs(2 * 60);
/// One in so many places is kept for tokens that were active before.
const KEPT: usize = 4;
/// The latency of fewer answers than this has no meaningful average.
const MEANINGFUL: u32 = 4;
/// Below this, a doubled latency is noise: of the network, and of this machine.
const NOISE: Duration = Duration::from_millis(50);
/// How long the best latency holds: load, and machines, change.
const BEST_HOLDS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
