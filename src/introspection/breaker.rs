//! When an endpoint that fails is left in peace: a pure state machine, told what happened and what time it is.

use std::time::{Duration, Instant};

/// Stops asking after failures in a row, and then tries one request at a time.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// The pause after the next failure of a probe.
    pause: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32, check: Check },
    Open { until: Instant },
    Probing { since: Instant },
}

/// Whether it is being found out whose fault the failures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    None,
    Since(Instant),
}

/// Leave to send one request; what became of it is reported with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    is_probe: bool,
}

/// What a request failed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The endpoint is not well: it gave no answer, or said so.
    Endpoint { retry_after: Option<Duration> },
    /// The endpoint is not well, or the token is such that it gets no other answer.
    EndpointOrToken,
    /// Nothing is known about the endpoint.
    Token,
}

/// What a report leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    None,
    /// Ask about a token that nobody can have shown, and report what comes of it: strangers must not be able to suspend
    /// introspection for all by tokens that an endpoint cannot bear.
    Check(Pass),
    /// Nothing is asked for so long.
    Opened(Duration),
    Closed,
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self { state: State::Closed { failures: 0, check: Check::None }, pause: FIRST_PAUSE }
    }

    /// Whether a request would be let through now; if not, how long until then.
    pub(super) fn check(&self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } if now >= until => Ok(()),
            State::Open { until } => Err(until.saturating_duration_since(now)),
            State::Probing { since } if is_lost(since, now) => Ok(()),
            State::Probing { .. } => Err(PROBE_WAIT),
        }
    }

    /// Lets a request through, or says how long it takes until one can be.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Pass, Duration> {
        self.check(now)?;
        let is_probe = !matches!(self.state, State::Closed { .. });
        if is_probe {
            self.state = State::Probing { since: now };
        }
        Ok(Pass { is_probe })
    }

    /// The endpoint gave an answer.
    pub(super) fn succeeded(&mut self) -> Transition {
        let was_open = !matches!(self.state, State::Closed { .. });
        *self = Self::new();
        if was_open { Transition::Closed } else { Transition::None }
    }

    /// It gave none, or none that can be used.
    pub(super) fn failed(&mut self, pass: Pass, failure: Failure, now: Instant) -> Transition {
        match (self.state, failure) {
            // A probe that learned nothing is followed by another.
            (State::Probing { .. }, Failure::Token) if pass.is_probe => {
                self.state = State::Open { until: now };
                Transition::None
            }
            (_, Failure::Token) => Transition::None,
            (State::Closed { failures, check }, _) if failures.saturating_add(1) < FAILURES_IN_A_ROW => {
                self.state = State::Closed { failures: failures.saturating_add(1), check };
                Transition::None
            }
            (State::Closed { .. }, Failure::Endpoint { retry_after }) => self.open(retry_after, now),
            (State::Closed { check: Check::Since(since), .. }, Failure::EndpointOrToken) if !is_lost(since, now) => {
                Transition::None
            }
            (State::Closed { failures, .. }, Failure::EndpointOrToken) => {
                self.state = State::Closed { failures, check: Check::Since(now) };
                Transition::Check(pass)
            }
            (State::Probing { .. }, Failure::Endpoint { retry_after }) if pass.is_probe => self.open(retry_after, now),
            (State::Probing { .. }, Failure::EndpointOrToken) if pass.is_probe => Transition::Check(pass),
            // A request from before that took its time.
            (State::Open { .. } | State::Probing { .. }, _) => Transition::None,
        }
    }

    /// The check failed too: it was not the token.
    pub(super) fn check_failed(&mut self, pass: Pass, retry_after: Option<Duration>, now: Instant) -> Transition {
        match self.state {
            State::Closed { check: Check::Since(_), .. } => self.open(retry_after, now),
            // The endpoint has given an answer since.
            State::Closed { check: Check::None, .. } => Transition::None,
            State::Probing { .. } if pass.is_probe => self.open(retry_after, now),
            State::Open { .. } | State::Probing { .. } => Transition::None,
        }
    }

    fn open(&mut self, retry_after: Option<Duration>, now: Instant) -> Transition {
        let pause = self.pause.max(retry_after.unwrap_or_default().min(LONGEST_PAUSE));
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        self.state = State::Open { until: now.checked_add(pause).unwrap_or(now) };
        Transition::Opened(pause)
    }
}

fn is_lost(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= LOST_PROBE
}

/// One failure may be chance, and so may two; more than this is an outage.
const FAILURES_IN_A_ROW: u32 = 5;
/// The first pause, long enough for a restart; it doubles with each probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest: an endpoint that is back is noticed within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What others are told while a probe is under way.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// When a probe, or a check, is given up that never came back: longer than any request may take.
const LOST_PROBE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
