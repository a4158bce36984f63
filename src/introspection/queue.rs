use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::breaker::{CircuitBreaker, Outcome, Sent, Transition};
use super::concurrency::{ConcurrencyLimit, Observed};
use super::settings::Limits;
use crate::http_client::FetchError;

/// Decides when a request is sent.
///
/// While the circuit breaker is open, no request is sent. While it is half-open, one or a few may be in flight. Otherwise
/// the concurrency limit decides. Other callers wait in order. Tokens that cannot be made up have priority: those that
/// were active before, and JWTs with a valid signature.
pub(super) struct Queue {
    /// Locked for a few instructions, never across an await.
    state: Mutex<QueueState>,
    max_wait: Duration,
}

struct QueueState {
    breaker: CircuitBreaker,
    limit: ConcurrencyLimit,
    /// Tokens that cannot be made up have their own waiting line, which made-up tokens cannot fill.
    priority: WaitingLine,
    others: WaitingLine,
    last_error: Option<Arc<FetchError>>,
    /// Whether the log has a line that the credentials may be wrong.
    has_reported_credentials: bool,
}

/// The callers that wait, by the number of their ticket.
struct WaitingLine {
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    max: usize,
    /// The last ticket that was issued, and the last one that got its permit.
    tickets: u64,
    called: u64,
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// The circuit breaker is open.
    Suspended { retry_in: Duration },
    /// The waiting line is full, or the permit did not come in time.
    Busy { retry_in: Duration },
}

/// A place in the queue, and later the right to send one request. Dropping it passes it to the next caller.
pub(super) struct Permit {
    queue: Arc<Queue>,
    has_priority: bool,
    ticket: u64,
    call: oneshot::Receiver<()>,
    state: PermitState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PermitState {
    Waiting,
    Called,
    Ended,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let state = QueueState {
            breaker: CircuitBreaker::new(),
            limit: ConcurrencyLimit::new(limits.max_in_flight, limits.time_limit),
            priority: WaitingLine::new(MAX_WAITING_PRIORITY),
            others: WaitingLine::new(MAX_WAITING_OTHER),
            last_error: None,
            has_reported_credentials: false,
        };
        Self { state: Mutex::new(state), max_wait: limits.max_wait }
    }

    /// Waits for the right to send a request, until `deadline` at the latest.
    pub(super) async fn acquire(self: &Arc<Self>, has_priority: bool, deadline: Instant) -> Result<Permit, NoPermit> {
        let (ticket, call) = self.join(has_priority)?;
        let mut permit = Permit { queue: Arc::clone(self), has_priority, ticket, call, state: PermitState::Waiting };
        if let Ok(Ok(())) = timeout_at(deadline, &mut permit.call).await {
            permit.state = PermitState::Called;
            return Ok(permit);
        }
        self.check()?;
        let retry_in = self.lock().time_until(has_priority, ticket);
        Err(NoPermit::Busy { retry_in })
    }

    /// When a caller that arrives now stops waiting for its permit.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.max_wait).unwrap_or(now)
    }

    /// Whether the circuit breaker lets requests through.
    pub(super) fn check(&self) -> Result<(), NoPermit> {
        let retry_in = self.retry_in();
        if retry_in.is_zero() { Ok(()) } else { Err(NoPermit::Suspended { retry_in }) }
    }

    pub(super) fn retry_in(&self) -> Duration {
        self.lock().breaker.retry_in(Instant::now().into_std())
    }

    pub(super) fn is_half_open(&self) -> bool {
        !self.lock().breaker.is_closed()
    }

    pub(super) fn last_error(&self) -> Option<Arc<FetchError>> {
        self.lock().last_error.clone()
    }

    /// Whether another token was confirmed as active a short time ago.
    pub(super) fn has_confirmed_another(&self, call: &Sent) -> bool {
        self.lock().breaker.has_confirmed_another(&call.token, Instant::now().into_std())
    }

    /// An introspection has ended, with one request or two.
    pub(super) fn report(&self, call: &Sent, outcome: Outcome, error: Option<&Arc<FetchError>>) -> Transition {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        let transition = state.breaker.report(call, outcome, now);
        match transition {
            Transition::Opened(_) => state.dismiss(),
            Transition::Closed => state.limit.restart(now),
            Transition::Counted | Transition::Suspected | Transition::None => {}
        }
        match (transition, error) {
            (_, None) => state.last_error = None,
            // The token alone may be the reason of this failure.
            (Transition::None | Transition::Closed, Some(_)) => {}
            (_, Some(error)) => state.last_error = Some(Arc::clone(error)),
        }
        state.call_next();
        transition
    }

    /// Whether to log that the credentials may be wrong. It is logged once, because made-up tokens may cause the same
    /// response.
    pub(super) fn should_report_credentials(&self) -> bool {
        let mut state = self.lock();
        state.breaker.has_never_confirmed() && !std::mem::replace(&mut state.has_reported_credentials, true)
    }

    fn join(&self, has_priority: bool) -> Result<(u64, oneshot::Receiver<()>), NoPermit> {
        self.check()?;
        let mut state = self.lock();
        let line = state.line(has_priority);
        let length = line.waiting.len();
        if length >= line.max {
            return Err(NoPermit::Busy { retry_in: state.limit.time_for(length) });
        }
        line.tickets = line.tickets.saturating_add(1);
        let ((sender, receiver), ticket) = (oneshot::channel(), line.tickets);
        line.waiting.insert(ticket, sender);
        state.call_next();
        Ok((ticket, receiver))
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Gives a permit to each waiting caller that may have one.
    fn call_next(&mut self) {
        let now = Instant::now().into_std();
        while let Some(has_priority) = self.next() {
            let line = self.line(has_priority);
            let Some((ticket, sender)) = line.waiting.pop_first() else { return };
            line.called = ticket;
            self.limit.begin(now);
            // A caller that has gone away returns its permit when it is dropped.
            _ = sender.send(());
        }
    }

    /// The line that gets the next permit: that of the tokens with priority (`true`), or the other one.
    fn next(&self) -> Option<bool> {
        let lines = [(true, &self.priority), (false, &self.others)];
        let may_begin = |has_priority| {
            if self.breaker.is_closed() {
                self.limit.allows_request(has_priority)
            } else {
                self.limit.in_flight() < self.breaker.probes()
            }
        };
        let next = lines.into_iter().find(|(has_priority, line)| !line.waiting.is_empty() && may_begin(*has_priority));
        next.map(|(has_priority, _)| has_priority)
    }

    /// The circuit breaker has opened, so no caller waits any longer.
    fn dismiss(&mut self) {
        self.priority.waiting.clear();
        self.others.waiting.clear();
    }

    /// How long the permit for a ticket would have taken. Callers before it that have gone away are expected to come back.
    fn time_until(&self, has_priority: bool, ticket: u64) -> Duration {
        let line = if has_priority { &self.priority } else { &self.others };
        self.limit.time_for(usize::try_from(ticket.saturating_sub(line.called)).unwrap_or(usize::MAX))
    }

    const fn line(&mut self, has_priority: bool) -> &mut WaitingLine {
        if has_priority { &mut self.priority } else { &mut self.others }
    }
}

impl WaitingLine {
    const fn new(max: usize) -> Self {
        Self { waiting: BTreeMap::new(), max, tickets: 0, called: 0 }
    }
}

impl Permit {
    /// The request that was sent at `sent` has ended.
    pub(super) fn end(mut self, sent: Instant, outcome: Outcome) {
        let (now, sent) = (Instant::now().into_std(), sent.into_std());
        self.state = PermitState::Ended;
        let mut state = self.queue.lock();
        let observed = Observed {
            others_responded: state.breaker.has_responded_since(sent),
            is_confirmed: state.breaker.has_confirmed_any(now),
        };
        state.limit.end(sent, outcome, observed, now);
        if outcome.is_response() {
            state.breaker.responded(now);
        }
        state.call_next();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.state == PermitState::Ended {
            return;
        }
        let mut state = self.queue.lock();
        // The permit may have come at the moment when the caller stopped waiting for it.
        if self.state == PermitState::Called || self.call.try_recv().is_ok() {
            state.limit.leave(Instant::now().into_std());
        } else {
            state.line(self.has_priority).waiting.remove(&self.ticket);
        }
        state.call_next();
    }
}

/// The most waiting tokens without priority. Each has at most 16 KiB, and its HTTP request has it too.
const MAX_WAITING_OTHER: usize = 768;
/// The most waiting tokens with priority.
const MAX_WAITING_PRIORITY: usize = 256;
