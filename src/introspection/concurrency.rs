//! The limit of concurrent requests to one introspection endpoint. It is a pure state machine: the time is an argument.
//!
//! Some authorization servers need 0.2 s of CPU time for each introspection, others a millisecond. So the limit adapts like
//! the window of a TCP connection (additive increase, multiplicative decrease). It grows by one after a round of answers that
//! came in time, and is halved if the endpoint shows overload. A round has as many answers as the limit. Only requests that
//! were sent while the limit was reached count, because the others show nothing about more requests.
//!
//! Made-up tokens may get no response at all. They lower the limit until one request times out although it was sent alone.
//! That is not overload. Then the limit returns to its initial value, and timeouts do not lower it for two minutes.

use std::time::{Duration, Instant};

use super::breaker::{FIRST, Outcome};

/// The state of the endpoint when a request ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observed {
    /// Another request got a response while this one was in flight.
    pub(super) others_responded: bool,
    /// The endpoint confirmed a token as active recently.
    pub(super) is_confirmed: bool,
}

/// How many requests may be in flight, and how many are.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    limit: usize,
    most: usize,
    in_flight: usize,
    /// The limit does not grow if answers take more than half of this on average, because they would soon be too late.
    time_limit: Duration,
    /// When the limit was last reached.
    full_at: Option<Instant>,
    /// When the limit was last halved. Requests that were sent before that do not halve it again.
    halved_at: Option<Instant>,
    /// When a request timed out although it was sent alone and the endpoint works. For a while after that, tokens are
    /// considered the reason for timeouts.
    blames_tokens_since: Option<Instant>,
    /// For active tokens, and for all others. Many endpoints answer faster for tokens that they do not know.
    rounds: [Round; 2],
    /// How long a request takes, averaged over the last few.
    usual: Option<Duration>,
}

/// The answers since the limit was last considered.
#[derive(Debug, Default)]
struct Round {
    answers: u32,
    /// How many of them came while the limit was reached.
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

impl ConcurrencyLimit {
    /// At most `most` requests, each with this time limit.
    pub(super) fn new(most: usize, time_limit: Duration) -> Self {
        Self {
            limit: FIRST.min(most),
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

    /// Whether another request may be sent. A quarter is reserved for tokens that were active before, so that made-up tokens
    /// cannot use all of it.
    pub(super) fn admits(&self, is_known: bool) -> bool {
        let limit = if is_known {
            self.limit.saturating_add(self.limit / KEPT).min(self.most)
        } else {
            self.limit.min(self.most.saturating_sub(self.most / KEPT))
        };
        self.in_flight < limit
    }

    /// A request is sent.
    pub(super) fn begin(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.note_full(now);
    }

    /// A request has ended, or no caller waits for it any more.
    pub(super) fn leave(&mut self, now: Instant) {
        self.note_full(now);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request that was sent at `sent` ends now.
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
            Outcome::NotActive | Outcome::ClientRejected | Outcome::RequestRejected | Outcome::Unexpected => {
                self.answered(1, took, was_full, now)
            }
            _ => {}
        }
    }

    /// A request timed out, and no other was answered meanwhile. The endpoint is overloaded, or the token is the reason.
    fn timed_out(&mut self, endpoint: Observed, now: Instant) {
        let blames_tokens = |since: Instant| now.saturating_duration_since(since) < TOKENS_ARE_BLAMED;
        if self.limit == 1 && endpoint.is_confirmed {
            // It was sent alone, so overload is not the reason, and a lower limit does not help.
            self.blames_tokens_since = Some(now);
            self.set(FIRST);
        } else if !self.blames_tokens_since.is_some_and(blames_tokens) {
            self.halve(now);
        }
    }

    /// How many requests are in flight.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The endpoint works again.
    pub(super) fn restart(&mut self, now: Instant) {
        self.set(1);
        self.halved_at = Some(now);
    }

    /// How long it takes to send this number of requests, as far as is known.
    pub(super) fn time_for(&self, calls: usize) -> Duration {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        self.usual.unwrap_or_default().saturating_mul(calls).checked_div(limit).unwrap_or_default()
    }

    fn note_full(&mut self, now: Instant) {
        if self.in_flight >= self.limit.min(self.most.saturating_sub(self.most / KEPT)) {
            self.full_at = Some(now);
        }
    }

    fn answered(&mut self, class: usize, took: Duration, was_full: bool, now: Instant) {
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let Some(round) = self.rounds.get_mut(class) else { return };
        round.answers = round.answers.saturating_add(1);
        round.full = round.full.saturating_add(u32::from(was_full));
        round.total = round.total.saturating_add(took);
        if round.answers < limit {
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
            self.set(self.limit.saturating_add(1));
        }
    }

    fn halve(&mut self, now: Instant) {
        self.set(self.limit / 2);
        self.halved_at = Some(now);
    }

    /// A new limit begins a new round.
    fn set(&mut self, limit: usize) {
        self.limit = limit.clamp(1, self.most);
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

/// How long timeouts do not lower the limit after one request timed out alone at an endpoint that works.
const TOKENS_ARE_BLAMED: Duration = Duration::from_secs(2 * 60);
/// One request in four is reserved for tokens that were active before.
const KEPT: usize = 4;
/// The average latency of fewer answers is not meaningful.
const MEANINGFUL: u32 = 4;
/// Below this, a doubled latency is noise of the network and of this machine.
const NOISE: Duration = Duration::from_millis(50);
/// How long the best latency is remembered, because load and machines change.
const BEST_HOLDS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
