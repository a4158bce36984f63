//! The limit of concurrent requests to one introspection endpoint. It is a pure state machine: the time is an argument.
//!
//! Some authorization servers need 0.2 s of CPU time for each introspection, others a millisecond. So the limit adapts
//! like the window of a TCP connection (additive increase, multiplicative decrease). A round has as many responses as the
//! limit.
//!
//! - The limit is halved after a round whose average latency is at least twice the best average of about the last
//!   minute, by a 503, and by a timeout if no other request got a response meanwhile.
//! - It grows by one after any other round whose average latency is at most half of the time limit.
//! - A request counts only if the limit was reached while it was in flight. A round counts only if most of its requests
//!   count.
//!
//! Some endpoints do not respond to made-up tokens at all. Such timeouts halve the limit until it is one. Then a
//! request that times out was alone, so overload is not the cause. If the endpoint recently confirmed a token as
//! active, the token of the request is the cause. Then the limit returns to its initial value, and timeouts do not
//! lower it for two minutes.

use std::time::{Duration, Instant};

use super::breaker::{FIRST, Outcome};

/// The state of the endpoint when a request ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observed {
    /// Whether another request got a response while this one was in flight.
    pub(super) others_responded: bool,
    /// Whether the endpoint recently confirmed any token as active.
    pub(super) is_confirmed: bool,
}

/// The number of requests that may be in flight, and the number that is.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    /// The current limit. Requests with priority may exceed it by a quarter.
    limit: usize,
    /// The upper bound for all requests.
    max: usize,
    in_flight: usize,
    /// The time limit of one request. The limit does not grow if more requests would soon time out.
    time_limit: Duration,
    /// When the limit for requests without priority was last reached.
    reached_at: Option<Instant>,
    /// When the limit was last halved. Requests that were sent before that do not halve it again.
    halved_at: Option<Instant>,
    /// When a token was last found to be the cause of a timeout.
    blames_tokens_since: Option<Instant>,
    /// The responses for active tokens. They are separate, because many endpoints respond faster for unknown tokens.
    active_round: Round,
    other_round: Round,
    /// The moving average of the latency of requests. The last request has a weight of one eighth.
    average_latency: Option<Duration>,
}

/// The responses of the current round. It also ends when the limit changes.
#[derive(Debug, Default)]
struct Round {
    responses: u32,
    /// How many of these requests were in flight while the limit was reached.
    at_limit: u32,
    total_latency: Duration,
    /// It covers earlier rounds too.
    best: BestLatency,
}

/// The shortest average latency of a round in the current half minute and in the half minute before it.
#[derive(Debug, Default)]
struct BestLatency {
    /// When the current half minute began.
    since: Option<Instant>,
    current: Option<Duration>,
    previous: Option<Duration>,
}

impl ConcurrencyLimit {
    /// Allows at most `max` requests, each with this time limit.
    pub(super) fn new(max: usize, time_limit: Duration) -> Self {
        Self {
            limit: FIRST.min(max),
            max,
            in_flight: 0,
            time_limit,
            reached_at: None,
            halved_at: None,
            blames_tokens_since: None,
            active_round: Round::default(),
            other_round: Round::default(),
            average_latency: None,
        }
    }

    /// Whether another request may be sent.
    ///
    /// Tokens with priority may use a quarter more than the limit. All other tokens together may use three quarters of
    /// the upper bound at most. So made-up tokens can never use all requests.
    pub(super) fn allows_request(&self, has_priority: bool) -> bool {
        let limit = if has_priority {
            self.limit.saturating_add(self.limit / RESERVE_DIVISOR).min(self.max)
        } else {
            self.limit_without_priority()
        };
        self.in_flight < limit
    }

    fn limit_without_priority(&self) -> usize {
        self.limit.min(self.max.saturating_sub(self.max / RESERVE_DIVISOR))
    }

    /// Counts a request that is sent now.
    pub(super) fn begin(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.note_if_reached(now);
    }

    /// Counts a request as ended without an outcome, because it was cancelled or not sent.
    pub(super) fn leave(&mut self, now: Instant) {
        self.note_if_reached(now);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts a request as ended, and adapts the limit to its outcome. It was sent at `sent`.
    pub(super) fn end(&mut self, sent: Instant, outcome: Outcome, endpoint: Observed, now: Instant) {
        self.leave(now);
        let latency = now.saturating_duration_since(sent);
        self.average_latency = Some(self.average_latency.map_or(latency, |average| {
            average.saturating_mul(7).saturating_add(latency).checked_div(8).unwrap_or(latency)
        }));
        if self.halved_at.is_some_and(|at| sent < at) {
            return;
        }
        let reached_limit = self.reached_at.is_some_and(|at| at >= sent);
        match outcome {
            Outcome::Overloaded { .. } if reached_limit => self.halve(now),
            Outcome::TimedOut if reached_limit && !endpoint.others_responded => self.timed_out(endpoint, now),
            Outcome::Active => self.responded(true, latency, reached_limit, now),
            Outcome::NotActive | Outcome::ClientRejected | Outcome::RequestRejected | Outcome::Unexpected => {
                self.responded(false, latency, reached_limit, now)
            }
            _ => {}
        }
    }

    /// A request timed out, and no other got a response meanwhile.
    fn timed_out(&mut self, endpoint: Observed, now: Instant) {
        let blames_tokens = |since: Instant| now.saturating_duration_since(since) < TOKENS_ARE_BLAMED;
        if self.limit == 1 && endpoint.is_confirmed {
            // The request was alone, so overload is not the cause. The endpoint works, so the token is the cause.
            self.blames_tokens_since = Some(now);
            self.set(FIRST);
        } else if !self.blames_tokens_since.is_some_and(blames_tokens) {
            self.halve(now);
        }
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Begins with a limit of one, because the circuit breaker has closed: the endpoint has just recovered.
    pub(super) fn restart(&mut self, now: Instant) {
        self.set(1);
        self.halved_at = Some(now);
    }

    /// The estimated time until this number of waiting requests has been sent. Zero if no request has ended yet.
    pub(super) fn time_for(&self, calls: usize) -> Duration {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        self.average_latency.unwrap_or_default().saturating_mul(calls).checked_div(limit).unwrap_or_default()
    }

    fn note_if_reached(&mut self, now: Instant) {
        if self.in_flight >= self.limit_without_priority() {
            self.reached_at = Some(now);
        }
    }

    /// Adds a response to its round, and adapts the limit if that ends the round.
    fn responded(&mut self, is_active: bool, latency: Duration, reached_limit: bool, now: Instant) {
        let limit = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let round = if is_active { &mut self.active_round } else { &mut self.other_round };
        round.responses = round.responses.saturating_add(1);
        round.at_limit = round.at_limit.saturating_add(u32::from(reached_limit));
        round.total_latency = round.total_latency.saturating_add(latency);
        if round.responses < limit {
            return;
        }
        let average = round.total_latency.checked_div(round.responses).unwrap_or_default();
        let most_reached_limit = round.at_limit > round.responses / 2;
        let is_slow =
            round.responses >= MIN_RESPONSES && average >= round.best.record(average, now).saturating_mul(2).max(NOISE);
        round.begin();
        if most_reached_limit && is_slow {
            self.halve(now);
        } else if most_reached_limit && average.saturating_mul(2) <= self.time_limit {
            self.set(self.limit.saturating_add(1));
        }
    }

    fn halve(&mut self, now: Instant) {
        self.set(self.limit / 2);
        self.halved_at = Some(now);
    }

    /// Changes the limit. Both rounds begin again, because their responses belong to the old limit.
    fn set(&mut self, limit: usize) {
        self.limit = limit.clamp(1, self.max);
        self.active_round.begin();
        self.other_round.begin();
    }
}

impl Round {
    const fn begin(&mut self) {
        (self.responses, self.at_limit, self.total_latency) = (0, 0, Duration::ZERO);
    }
}

impl BestLatency {
    /// Records the average latency of a round, and returns the best one.
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

/// How long timeouts do not lower the limit, after a token was found to be the cause of a timeout.
const TOKENS_ARE_BLAMED: Duration = Duration::from_secs(2 * 60);
/// The reserve for tokens with priority is the limit divided by this: one quarter.
const RESERVE_DIVISOR: usize = 4;
/// The least number of responses for an average latency. With fewer, a slow one could halve the limit.
const MIN_RESPONSES: u32 = 4;
/// A shorter average latency never halves the limit. It may have doubled only by chance.
const NOISE: Duration = Duration::from_millis(50);
/// The best latency is forgotten after about this time, because the load and the machines of the endpoint change.
const BEST_HOLDS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
