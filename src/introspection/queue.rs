use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::breaker::{CircuitBreaker, Outcome, Sent, Transition};
use super::call::IntrospectionError;
use super::concurrency::{ConcurrencyLimit, Observed};
use super::settings::Limits;
use crate::http_client::{FetchError, FetchErrorKind};

/// Decides when a request is sent.
///
/// While the circuit breaker is open, no request is sent. While it is half-open, one or a few may be in flight. Otherwise
/// the concurrency limit decides. Other callers wait in order. Tokens that cannot be made up have priority: those that
/// were active before, and JWTs with a valid signature.
pub(super) struct Queue {
    /// Locked for a few instructions, never across an await.
    state: Mutex<QueueState>,
}

struct QueueState {
    breaker: CircuitBreaker,
    limit: ConcurrencyLimit,
    /// Tokens that cannot be made up have their own waiting line, which made-up tokens cannot fill.
    priority: WaitingLine,
    others: WaitingLine,
    last_error: Option<Arc<FetchError>>,
    /// The endpoint has introspected a token that is not active. So it does not take made-up tokens for wrong credentials.
    has_found_inactive: bool,
    /// The error of a made-up token of this server that the endpoint rejected because of the credentials.
    rejection: Option<Arc<FetchError>>,
    /// Whether the log has a line that the credentials may be wrong.
    has_reported_credentials: bool,
}

/// The callers that wait for a permit, in order. A caller that has gone away stays until its turn, or until the line is full.
struct WaitingLine {
    waiting: VecDeque<oneshot::Sender<Permit>>,
    max: usize,
    /// How many callers have left the line.
    called: usize,
}

/// The right to send one request. Dropping it passes it to the next caller. `None` after the request has ended.
pub(super) struct Permit(Option<Arc<Queue>>);

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let line = |max| WaitingLine { waiting: VecDeque::new(), max, called: 0 };
        Self {
            state: Mutex::new(QueueState {
                breaker: CircuitBreaker::new(),
                limit: ConcurrencyLimit::new(limits.max_in_flight, limits.time_limit),
                priority: line(MAX_WAITING_PRIORITY),
                others: line(MAX_WAITING_OTHER),
                last_error: None,
                has_found_inactive: false,
                rejection: None,
                has_reported_credentials: false,
            }),
        }
    }

    /// Waits for the right to send a request, until `deadline` at the latest.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        has_priority: bool,
        deadline: Instant,
    ) -> Result<Permit, IntrospectionError> {
        self.check()?;
        let (place, call) = self.lock().join(has_priority)?;
        self.call_next();
        if let Ok(Ok(permit)) = timeout_at(deadline, call).await {
            return Ok(permit);
        }
        self.check()?;
        let mut state = self.lock();
        // Callers that have gone away are expected to come back, so they count.
        let before = place.saturating_sub(state.line(has_priority).called);
        Err(IntrospectionError::Busy { retry_in: state.limit.time_for(before) })
    }

    /// The error while the circuit breaker is open.
    pub(super) fn check(&self) -> Result<(), IntrospectionError> {
        match self.retry_in() {
            Duration::ZERO => Ok(()),
            retry_in => Err(IntrospectionError::Suspended { retry_in, last: self.last_error() }),
        }
    }

    pub(super) fn retry_in(&self) -> Duration {
        self.lock().breaker.retry_in(Instant::now().into_std())
    }

    /// Ends the pause of the circuit breaker.
    pub(super) fn retry_now(&self) {
        self.lock().breaker.retry_now(Instant::now().into_std());
    }

    pub(super) fn is_half_open(&self) -> bool {
        !self.lock().breaker.is_closed()
    }

    pub(super) fn last_error(&self) -> Option<Arc<FetchError>> {
        let state = self.lock();
        state.rejection.clone().or_else(|| state.last_error.clone())
    }

    /// Whether the endpoint has introspected any token, so that the credentials worked.
    pub(super) fn has_introspected(&self) -> bool {
        let state = self.lock();
        state.has_found_inactive || !state.breaker.has_never_confirmed()
    }

    /// Whether the endpoint rejects the credentials of this server.
    ///
    /// Some servers respond to made-up tokens as if the credentials were wrong. So if a token was confirmed as active, only the
    /// errors of a server count that has found another token inactive.
    pub(super) fn rejects_credentials(&self) -> bool {
        let state = self.lock();
        let is_rejection = |error: &Arc<FetchError>| matches!(error.kind(), FetchErrorKind::CredentialsRejected(_));
        let is_open = !state.breaker.is_closed() && state.last_error.as_ref().is_some_and(is_rejection);
        state.rejection.is_some() || is_open && (state.has_found_inactive || state.breaker.has_never_confirmed())
    }

    /// The endpoint rejected the credentials in a request for a made-up token. This counts unless a token was confirmed as
    /// active. Returns whether it is new.
    pub(super) fn reject_credentials(&self, error: &Arc<FetchError>) -> bool {
        let mut state = self.lock();
        state.breaker.has_never_confirmed() && state.rejection.replace(Arc::clone(error)).is_none()
    }

    /// Whether another token was confirmed as active a short time ago.
    pub(super) fn has_confirmed_another(&self, call: &Sent) -> bool {
        self.lock().breaker.has_confirmed_another(&call.token, Instant::now().into_std())
    }

    /// An introspection has ended, with one request or two.
    pub(super) fn report(
        self: &Arc<Self>,
        call: &Sent,
        outcome: Outcome,
        error: Option<&Arc<FetchError>>,
    ) -> Transition {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        let transition = state.breaker.report(call, outcome, now);
        match transition {
            // No caller waits any longer.
            Transition::Opened(_) => {
                state.priority.waiting.clear();
                state.others.waiting.clear();
            }
            Transition::Closed => state.limit.restart(now),
            Transition::Counted | Transition::Suspected | Transition::None => {}
        }
        if error.is_none() {
            state.rejection = None;
            state.has_found_inactive |= outcome == Outcome::NotActive;
        }
        // If the failure has no effect, its token alone may be the reason.
        if error.is_none() || !matches!(transition, Transition::None | Transition::Closed) {
            state.last_error = error.cloned();
        }
        drop(state);
        self.call_next();
        transition
    }

    /// Whether to log that the credentials may be wrong. It is logged once, because made-up tokens may cause the same
    /// response.
    pub(super) fn should_report_credentials(&self) -> bool {
        let mut state = self.lock();
        state.breaker.has_never_confirmed() && !std::mem::replace(&mut state.has_reported_credentials, true)
    }

    /// Gives a permit to each waiting caller that may have one.
    fn call_next(self: &Arc<Self>) {
        loop {
            let Some(caller) = self.lock().next_caller() else { return };
            // If the caller has just gone away, its permit is dropped here. So the lock must not be held.
            _ = caller.send(Permit(Some(Arc::clone(self))));
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Adds a caller to its line, and returns the value of [`WaitingLine::called`] when it is called.
    fn join(&mut self, has_priority: bool) -> Result<(usize, oneshot::Receiver<Permit>), IntrospectionError> {
        let line = self.line(has_priority);
        if line.waiting.len() >= line.max {
            line.waiting.retain(|caller| !caller.is_closed());
        }
        let length = line.waiting.len();
        if length >= line.max {
            return Err(IntrospectionError::Busy { retry_in: self.limit.time_for(length) });
        }
        let (sender, receiver) = oneshot::channel();
        line.waiting.push_back(sender);
        Ok((line.called.saturating_add(line.waiting.len()), receiver))
    }

    /// Removes the next caller that may send a request from its line, and counts its request.
    fn next_caller(&mut self) -> Option<oneshot::Sender<Permit>> {
        let is_half_open = !self.breaker.is_closed();
        let may_probe = self.limit.in_flight() < self.breaker.probes();
        for (has_priority, line) in [(true, &mut self.priority), (false, &mut self.others)] {
            let may_send = if is_half_open { may_probe } else { self.limit.allows_request(has_priority) };
            while may_send && let Some(caller) = line.waiting.pop_front() {
                line.called = line.called.saturating_add(1);
                if !caller.is_closed() {
                    self.limit.begin(Instant::now().into_std());
                    return Some(caller);
                }
            }
        }
        None
    }

    const fn line(&mut self, has_priority: bool) -> &mut WaitingLine {
        if has_priority { &mut self.priority } else { &mut self.others }
    }
}

impl Permit {
    /// The request that was sent at `sent` has ended.
    pub(super) fn end(mut self, sent: Instant, outcome: Outcome) {
        let Some(queue) = self.0.take() else { return };
        let (now, sent) = (Instant::now().into_std(), sent.into_std());
        let mut state = queue.lock();
        let observed = Observed {
            others_responded: state.breaker.has_responded_since(sent),
            is_confirmed: state.breaker.has_confirmed_any(now),
        };
        state.limit.end(sent, outcome, observed, now);
        if outcome.is_response() {
            state.breaker.responded(now);
        }
        drop(state);
        queue.call_next();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.lock().limit.leave(Instant::now().into_std());
            queue.call_next();
        }
    }
}

/// The most waiting tokens without priority. Each has at most 16 KiB, and its HTTP request has it too.
const MAX_WAITING_OTHER: usize = 768;
/// The most waiting tokens with priority.
const MAX_WAITING_PRIORITY: usize = 256;
