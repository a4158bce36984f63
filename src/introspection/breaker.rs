//! The circuit breaker of an introspection endpoint. It is a pure state machine: the time is an argument.
//!
//! Anybody can send a token that causes an unusual status, or no response. So a failure counts only if it shows that the
//! endpoint is the cause:
//!
//! | outcome of a request | counts |
//! |---|---|
//! | no connection could be made | always |
//! | `invalid_client`, before any token was confirmed as active | always, and opens the breaker at once |
//! | 429 with `Retry-After` for a token that was active before | always, and opens the breaker at once |
//! | no response, while another request got one | never |
//! | no response, or a broken connection, for a token that was active before | always |
//! | any other failure, up to two minutes after another token was confirmed as active | never |
//! | any other failure for a token that was active before | always |
//! | 400, 413, 414, 422 or 431 for any other token | never |
//! | any other failure | once for each token, and only towards opening the breaker: it never makes a pause longer |
//!
//! So the responses for one token that was never confirmed cannot open the breaker. Five failures that count, without a
//! result between them, open it: no request is sent for 5 s. Then it is half-open: requests are sent one at a time, or a
//! few after a failure that may be caused by its token. A result closes it. A failure that counts opens it again, for twice
//! as long, up to 60 s.

use std::time::{Duration, Instant};

use crate::crypto::Fingerprint;

/// The circuit breaker of one endpoint.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    state: BreakerState,
    /// The last token that the endpoint confirmed as active, and when. The credentials worked then.
    confirmed: Option<(Fingerprint, Instant)>,
    /// When the last response came, whatever it was.
    responded_at: Option<Instant>,
    /// The tokens whose failures are counted although they may be the cause.
    suspects: Vec<Fingerprint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// The number of failures since the last result.
    Closed { failures: u32 },
    /// No request is sent before `until`. After that, the breaker is half-open, and `probes` requests may be in flight.
    /// `pause` is how long it is open.
    Open { until: Instant, pause: Duration, probes: usize },
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) token: Fingerprint,
    /// Whether the token was active before.
    pub(super) was_active: bool,
    pub(super) at: Instant,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The endpoint confirmed the token as active.
    Active,
    /// The token is not active, or the endpoint does not introspect such tokens.
    NotActive,
    /// Status 503.
    Overloaded { retry_after: Option<Duration> },
    /// Status 429.
    RateLimited { retry_after: Option<Duration> },
    /// The error code is `invalid_client` or `unauthorized_client`.
    ClientRejected,
    /// A status that blames the request, and so the token: 400, 413, 414, 422, 431.
    RequestRejected,
    /// Any other response without a result.
    Unexpected,
    /// The connection broke.
    Broken,
    /// No response within the time limit.
    TimedOut,
    /// No connection could be made.
    Unreachable,
    /// Nothing was sent: the endpoint could not be discovered, or the request could not be written.
    NotSent,
}

/// The effect of an outcome on the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    /// The request worked, or its token alone may be the cause of the failure.
    None,
    /// The failure counts, but the token may be the cause.
    Suspected,
    Counted,
    /// No request is sent for this time.
    Opened(Duration),
    Closed,
}

/// How far a failure shows that the endpoint is the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    None,
    /// The token may be the cause.
    Unclear,
    Endpoint,
    /// One such failure is enough.
    Conclusive,
}

impl Outcome {
    /// Whether the endpoint responded in any way.
    pub(super) const fn is_response(self) -> bool {
        !matches!(self, Self::Broken | Self::TimedOut | Self::Unreachable | Self::NotSent)
    }
}

impl CircuitBreaker {
    pub(super) const fn new() -> Self {
        Self { state: BreakerState::Closed { failures: 0 }, confirmed: None, responded_at: None, suspects: Vec::new() }
    }

    /// How long no request may be sent. Zero if one may be sent now.
    pub(super) fn retry_in(&self, now: Instant) -> Duration {
        match self.state {
            BreakerState::Closed { .. } => Duration::ZERO,
            BreakerState::Open { until, .. } => until.saturating_duration_since(now),
        }
    }

    /// How many requests may be in flight while it is half-open.
    pub(super) const fn probes(&self) -> usize {
        match self.state {
            BreakerState::Closed { .. } => 0,
            BreakerState::Open { probes, .. } => probes,
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.state, BreakerState::Closed { .. })
    }

    /// Whether another token was confirmed as active recently. Then the endpoint and the credentials work.
    pub(super) fn has_confirmed_another(&self, token: &Fingerprint, now: Instant) -> bool {
        self.has_confirmed_any(now) && self.confirmed.as_ref().is_some_and(|(confirmed, _)| confirmed != token)
    }

    /// Whether any token was confirmed as active recently.
    pub(super) fn has_confirmed_any(&self, now: Instant) -> bool {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < CONFIRMATION_HOLDS;
        self.confirmed.as_ref().is_some_and(|(_, at)| is_recent(*at))
    }

    /// Whether no token was ever confirmed as active. Then the credentials may be wrong.
    pub(super) const fn has_never_confirmed(&self) -> bool {
        self.confirmed.is_none()
    }

    /// Whether any response came since `then`.
    pub(super) fn has_responded_since(&self, then: Instant) -> bool {
        self.responded_at.is_some_and(|at| at >= then)
    }

    /// A response of any kind arrived.
    pub(super) const fn responded(&mut self, now: Instant) {
        self.responded_at = Some(now);
    }

    /// An introspection has ended.
    pub(super) fn report(&mut self, call: &Sent, outcome: Outcome, now: Instant) -> Transition {
        match outcome {
            Outcome::Active => self.confirmed = Some((call.token, now)),
            Outcome::NotActive => {}
            _ => return self.fail(call, outcome, now),
        }
        let was_closed = self.is_closed();
        self.state = BreakerState::Closed { failures: 0 };
        self.suspects.clear();
        if was_closed { Transition::None } else { Transition::Closed }
    }

    /// The cause of the failures may be repaired, so an open breaker becomes half-open.
    pub(super) fn retry_now(&mut self, now: Instant) {
        if let BreakerState::Open { until, .. } = &mut self.state {
            *until = now.min(*until);
        }
    }

    fn fail(&mut self, call: &Sent, outcome: Outcome, now: Instant) -> Transition {
        let evidence = self.evidence(call, outcome, now);
        let is_unclear = evidence == Evidence::Unclear;
        let retry_after = match outcome {
            // A token that may be the cause does not make a pause longer.
            Outcome::Overloaded { retry_after } | Outcome::RateLimited { retry_after } if !is_unclear => retry_after,
            _ => None,
        };
        match self.state {
            _ if evidence == Evidence::None => Transition::None,
            BreakerState::Closed { .. } if is_unclear && self.suspects.contains(&call.token) => Transition::None,
            BreakerState::Closed { failures }
                if evidence != Evidence::Conclusive && failures.saturating_add(1) < FAILURES_IN_A_ROW =>
            {
                self.state = BreakerState::Closed { failures: failures.saturating_add(1) };
                if is_unclear {
                    self.suspects.push(call.token);
                    return Transition::Suspected;
                }
                Transition::Counted
            }
            BreakerState::Closed { .. } => self.open(FIRST_PAUSE, retry_after, now),
            // Requests that were sent before the breaker opened do not count.
            BreakerState::Open { until, .. } if call.at < until => Transition::None,
            // The endpoint may work, so the next requests do not wait for each other.
            BreakerState::Open { until, pause, .. } if is_unclear => {
                self.state = BreakerState::Open { until, pause, probes: FIRST };
                Transition::None
            }
            BreakerState::Open { pause, .. } => self.open(pause.saturating_mul(2), retry_after, now),
        }
    }

    /// The table above.
    fn evidence(&self, call: &Sent, outcome: Outcome, now: Instant) -> Evidence {
        match outcome {
            Outcome::Active | Outcome::NotActive | Outcome::NotSent => Evidence::None,
            Outcome::Unreachable => Evidence::Endpoint,
            Outcome::ClientRejected if self.confirmed.is_none() => Evidence::Conclusive,
            Outcome::RateLimited { retry_after: Some(_) } if call.was_active => Evidence::Conclusive,
            Outcome::TimedOut if self.has_responded_since(call.at) => Evidence::None,
            Outcome::TimedOut | Outcome::Broken if call.was_active => Evidence::Endpoint,
            _ if self.has_confirmed_another(&call.token, now) => Evidence::None,
            _ if call.was_active => Evidence::Endpoint,
            Outcome::RequestRejected => Evidence::None,
            _ => Evidence::Unclear,
        }
    }

    fn open(&mut self, pause: Duration, retry_after: Option<Duration>, now: Instant) -> Transition {
        let pause = pause.max(retry_after.unwrap_or_default()).min(LONGEST_PAUSE);
        self.suspects.clear();
        self.state = BreakerState::Open { until: now.checked_add(pause).unwrap_or(now), pause, probes: 1 };
        Transition::Opened(pause)
    }
}

/// Fewer failures may be coincidence.
const FAILURES_IN_A_ROW: u32 = 5;
/// The initial limit: low enough for a slow endpoint, and high enough to find out soon whether it is slow.
pub(super) const FIRST: usize = 8;
/// The first pause: long enough for a restart of the endpoint.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause, so that the end of an outage is noticed within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a confirmation shows that endpoint and credentials work. It is shorter than the time in which an operator notices
/// an outage, and longer than the time between two confirmations on a server in use.
const CONFIRMATION_HOLDS: Duration = Duration::from_secs(2 * 60);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
