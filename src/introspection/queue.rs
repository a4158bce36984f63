use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::health::{Health, Outcome, Sent, Transition};
use super::settings::Limits;
use super::width::{Observed, Width};
use crate::http_client::FetchError;

/// Decides when a call is sent: not while the circuit breaker is open, one or a few at a time while it is half-open, and otherwise
/// as many at once as the endpoint bears. Everybody else waits, first in, first out; tokens that were active before go first.
pub(super) struct Queue {
    /// Held for a few instructions, never across an await.
    state: Mutex<State>,
    max_wait: Duration,
}

struct State {
    health: Health,
    width: Width,
    /// Tokens that were active before have a line that strangers cannot fill.
    known: Line,
    strangers: Line,
    last_error: Option<Arc<FetchError>>,
    /// Whether the operator was told that the credentials may be wrong.
    told_of_credentials: bool,
}

/// Those who wait, by the number of their ticket.
struct Line {
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    most: usize,
    /// How many tickets were given out, and the last one whose turn came.
    tickets: u64,
    called: u64,
}

/// Why a call is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// The circuit breaker is open.
    Suspended { retry_in: Duration },
    /// The line is full, or the turn did not come in time.
    Busy { retry_in: Duration },
}

/// A place in the queue, and after its turn has come the right to send one call. Dropping it gives it to the next.
pub(super) struct Turn {
    queue: Arc<Queue>,
    is_known: bool,
    ticket: u64,
    call: oneshot::Receiver<()>,
    state: TurnState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TurnState {
    Waiting,
    Called,
    Ended,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            health: Health::new(),
            width: Width::new(limits.max_in_flight, limits.time_limit),
            known: Line::new(MAX_WAITING_KNOWN),
            strangers: Line::new(MAX_WAITING_STRANGERS),
            last_error: None,
            told_of_credentials: false,
        };
        Self { state: Mutex::new(state), max_wait: limits.max_wait }
    }

    /// Waits for the right to send a call, until `deadline` at the latest.
    pub(super) async fn turn(self: &Arc<Self>, is_known: bool, deadline: Instant) -> Result<Turn, NoTurn> {
        let (ticket, call) = self.join(is_known)?;
        let mut turn = Turn { queue: Arc::clone(self), is_known, ticket, call, state: TurnState::Waiting };
        if let Ok(Ok(())) = timeout_at(deadline, &mut turn.call).await {
            turn.state = TurnState::Called;
            return Ok(turn);
        }
        self.check()?;
        let retry_in = self.lock().time_until(is_known, ticket);
        Err(NoTurn::Busy { retry_in })
    }

    /// By when a call that is wanted now must have its turn.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.max_wait).unwrap_or(now)
    }

    /// Whether the circuit breaker lets calls through.
    pub(super) fn check(&self) -> Result<(), NoTurn> {
        let retry_in = self.retry_in();
        if retry_in.is_zero() { Ok(()) } else { Err(NoTurn::Suspended { retry_in }) }
    }

    pub(super) fn retry_in(&self) -> Duration {
        self.lock().health.retry_in(Instant::now().into_std())
    }

    pub(super) fn is_half_open(&self) -> bool {
        !self.lock().health.is_closed()
    }

    pub(super) fn last_error(&self) -> Option<Arc<FetchError>> {
        self.lock().last_error.clone()
    }

    /// Whether another token was confirmed as active a short time ago.
    pub(super) fn has_confirmed_another(&self, call: &Sent) -> bool {
        self.lock().health.has_confirmed_another(&call.token, Instant::now().into_std())
    }

    /// A question about a token has come to its end, with one call or two.
    pub(super) fn report(&self, call: &Sent, outcome: Outcome, error: Option<&Arc<FetchError>>) -> Transition {
        let now = Instant::now().into_std();
        let mut state = self.lock();
        let transition = state.health.report(call, outcome, now);
        match transition {
            Transition::Opened(_) => state.dismiss(),
            Transition::Closed => state.width.restart(now),
            Transition::Counted | Transition::Suspected | Transition::None => {}
        }
        match (transition, error) {
            (_, None) => state.last_error = None,
            // A failure that only its token may explain is not about the endpoint.
            (Transition::None | Transition::Closed, Some(_)) => {}
            (_, Some(error)) => state.last_error = Some(Arc::clone(error)),
        }
        state.call_next();
        transition
    }

    /// Whether the operator should be told that the credentials may be wrong: once, if at all, since made-up tokens may
    /// meet with the same.
    pub(super) fn should_tell_of_credentials(&self) -> bool {
        let mut state = self.lock();
        state.health.has_never_confirmed() && !std::mem::replace(&mut state.told_of_credentials, true)
    }

    fn join(&self, is_known: bool) -> Result<(u64, oneshot::Receiver<()>), NoTurn> {
        self.check()?;
        let mut state = self.lock();
        let line = state.line(is_known);
        let length = line.waiting.len();
        if length >= line.most {
            return Err(NoTurn::Busy { retry_in: state.width.time_for(length) });
        }
        line.tickets = line.tickets.saturating_add(1);
        let ((sender, turn), ticket) = (oneshot::channel(), line.tickets);
        line.waiting.insert(ticket, sender);
        state.call_next();
        Ok((ticket, turn))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Calls as many of those who wait as may be called.
    fn call_next(&mut self) {
        let now = Instant::now().into_std();
        while let Some(is_known) = self.next() {
            let line = self.line(is_known);
            let Some((ticket, sender)) = line.waiting.pop_first() else { return };
            line.called = ticket;
            self.width.begin(now);
            // A caller that has gone away is about to give the turn back.
            _ = sender.send(());
        }
    }

    /// Which line has the next turn: that of known tokens (`true`) or that of strangers.
    fn next(&self) -> Option<bool> {
        let lines = [(true, &self.known), (false, &self.strangers)];
        let may_begin = |is_known| {
            if self.health.is_closed() {
                self.width.admits(is_known)
            } else {
                self.width.in_flight() < self.health.probes()
            }
        };
        let next = lines.into_iter().find(|(is_known, line)| !line.waiting.is_empty() && may_begin(*is_known));
        next.map(|(is_known, _)| is_known)
    }

    /// The circuit breaker has opened: nobody has to wait to hear that.
    fn dismiss(&mut self) {
        self.known.waiting.clear();
        self.strangers.waiting.clear();
    }

    /// When the turn of a ticket would have come. Those before it who have gone are expected to come back.
    fn time_until(&self, is_known: bool, ticket: u64) -> Duration {
        let line = if is_known { &self.known } else { &self.strangers };
        self.width.time_for(usize::try_from(ticket.saturating_sub(line.called)).unwrap_or(usize::MAX))
    }

    const fn line(&mut self, is_known: bool) -> &mut Line {
        if is_known { &mut self.known } else { &mut self.strangers }
    }
}

impl Line {
    const fn new(most: usize) -> Self {
        Self { waiting: BTreeMap::new(), most, tickets: 0, called: 0 }
    }
}

impl Turn {
    /// The call that was sent at `sent` has ended.
    pub(super) fn end(mut self, sent: Instant, outcome: Outcome) {
        let (now, sent) = (Instant::now().into_std(), sent.into_std());
        self.state = TurnState::Ended;
        let mut state = self.queue.lock();
        let observed = Observed {
            others_responded: state.health.has_responded_since(sent),
            is_confirmed: state.health.has_confirmed_any(now),
        };
        state.width.end(sent, outcome, observed, now);
        if outcome.is_response() {
            state.health.responded(now);
        }
        state.call_next();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.state == TurnState::Ended {
            return;
        }
        let mut state = self.queue.lock();
        // The call may have come at the very moment in which nobody waited for it any more.
        if self.state == TurnState::Called || self.call.try_recv().is_ok() {
            state.width.leave(Instant::now().into_std());
        } else {
            state.line(self.is_known).waiting.remove(&self.ticket);
        }
        state.call_next();
    }
}

/// Tokens that wait for their turn. Each is at most 16 KiB, and its request holds as much anyway.
const MAX_WAITING_STRANGERS: usize = 768;
/// The same for tokens that were active before.
const MAX_WAITING_KNOWN: usize = 256;
