use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::{CallError, Caller};
use super::endpoint::IntrospectionEndpoint;
use super::health::{Outcome, Sent, Transition};
use super::log::Log;
use super::memory::Memory;
use super::queue::{NoTurn, Queue, Turn};
use super::settings::Limits;
use super::{Introspection, IntrospectionError, Verdict};
use crate::clock::Clock;
use crate::crypto::{Fingerprint, Hmac};
use crate::discovery::{Endpoint, EndpointSource};
use crate::http_client::{FetchError, FetchErrorKind, HttpClient, SingleFlight, retry_pause};

/// Introspects tokens at one authorization server: as rarely as its answers allow, never more at once than it bears, and
/// not at all while it fails.
pub(crate) struct Introspector {
    shared: Arc<Shared>,
    flights: SingleFlight<Fingerprint, Result<Verdict, IntrospectionError>>,
}

struct Shared {
    caller: Caller,
    hmac: Hmac,
    memory: Memory,
    queue: Arc<Queue>,
    limits: Limits,
    log: Log,
}

impl Introspector {
    /// `None` if the build has no signature backend, or if the machine has no randomness.
    pub(crate) fn new(
        issuer: &str,
        client: Arc<dyn HttpClient>,
        endpoint: EndpointSource,
        settings: Introspection,
    ) -> Option<Self> {
        let Introspection { credentials, lifetimes, limits } = settings;
        let shared = Shared {
            caller: Caller { issuer: issuer.into(), client, credentials, endpoint: IntrospectionEndpoint(endpoint) },
            // A key of its own: what one authorization server said of a token is nothing to another.
            hmac: Hmac::random()?,
            memory: Memory::new(lifetimes),
            queue: Arc::new(Queue::new(limits)),
            limits,
            log: Log::new(issuer),
        };
        Some(Self { shared: Arc::new(shared), flights: SingleFlight::new() })
    }

    /// The HMAC under which the result for a token is cached.
    pub(crate) fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        self.shared.hmac.sign(token)
    }

    /// What was said of a token, if that still holds: the path of nearly every request. `within` takes the place of the
    /// configured time for good answers.
    pub(crate) fn recall(&self, token: &Fingerprint, within: Option<Duration>) -> Option<Verdict> {
        self.shared.memory.recall(token, within)
    }

    /// Asks about a token, together with everybody else who asks about it now. `ends_at` is when the token expires by its
    /// own word, as the time since 1970: no answer holds beyond that.
    pub(crate) async fn ask(
        &self,
        fingerprint: Fingerprint,
        token: Box<str>,
        ends_at: Option<Duration>,
        within: Option<Duration>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Verdict, IntrospectionError> {
        let asked = match self.shared.queue.check() {
            // The answer to a call that was sent before is for everybody who shows its token.
            Err(no_turn) if !self.flights.is_running(&fingerprint) => Err(self.shared.no_turn(no_turn)),
            _ => {
                let was_active = self.shared.memory.knows(&fingerprint);
                let question = Question { fingerprint, token, ends_at, within, was_active, clock: Arc::clone(clock) };
                let shared = Arc::clone(&self.shared);
                let flight = self.flights.join(fingerprint, self.shared.limits.longest(), || shared.fly(question));
                flight.await.unwrap_or(Err(IntrospectionError::Interrupted))
            }
        };
        match (asked, self.shared.memory.recall_stale(&fingerprint, within)) {
            (Err(error), Some(claims)) => {
                self.shared.log.stale(&error);
                Ok(Verdict::Active(claims))
            }
            (asked, _) => asked,
        }
    }

    /// Forgets what was said of a token, and what is about to be.
    pub(crate) fn forget(&self, token: &[u8]) {
        let fingerprint = self.fingerprint(token);
        self.flights.forget(&fingerprint);
        self.shared.memory.forget(&fingerprint);
    }

    /// Finds out where to ask, without asking about anything.
    pub(crate) async fn warm_up(&self) -> Result<(), Arc<FetchError>> {
        self.shared.caller.endpoint.find().await.map(drop)
    }

    /// Finds out behind the caller's back where to ask, if that is not known. Without this an idle server that fails its
    /// readiness probe would never get ready.
    pub(crate) fn nudge(&self) {
        let endpoint = &self.shared.caller.endpoint;
        if endpoint.is_known() || endpoint.last_error().is_some_and(|(_, retry_in)| !retry_in.is_zero()) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.caller.endpoint.find().await.map(drop) });
        }
    }

    /// Whether somebody could ask now, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.caller.endpoint.is_known() && self.retry_in().is_zero()
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        let trouble = || self.shared.caller.endpoint.last_error().map(|(error, _)| error);
        self.shared.queue.last_error().or_else(trouble)
    }

    /// How long until somebody may ask.
    pub(crate) fn retry_in(&self) -> Duration {
        self.shared.retry_in().unwrap_or_default()
    }
}

/// What the authorization server is asked.
struct Question {
    fingerprint: Fingerprint,
    token: Box<str>,
    /// When the token expires by its own word, as the time since 1970.
    ends_at: Option<Duration>,
    /// How old a good answer may be, if that is not as configured.
    within: Option<Duration>,
    /// Whether it was active before.
    was_active: bool,
    clock: Arc<dyn Clock>,
}

impl Question {
    /// Whether it is about a JWT whose signature is valid.
    const fn is_signed(&self) -> bool {
        self.within.is_some()
    }

    /// Whether a stranger cannot have made the token up.
    const fn is_known(&self) -> bool {
        self.was_active || self.is_signed()
    }
}

impl Shared {
    async fn fly(self: Arc<Self>, question: Question) -> Result<Verdict, IntrospectionError> {
        if let Some(retry_in) = self.memory.held_back(&question.fingerprint) {
            return Err(IntrospectionError::RateLimited { retry_in });
        }
        let deadline = self.queue.deadline();
        let turn = self.turn(&question, deadline).await?;
        // It may have been answered while it waited.
        if let Some(verdict) = self.memory.recall(&question.fingerprint, question.within) {
            return Ok(verdict);
        }
        let sent_at = Instant::now();
        let sent = Sent { token: question.fingerprint, is_known: question.was_active, at: sent_at.into_std() };
        let asked_at = self.memory.ask(question.fingerprint);
        let now = question.clock.since_epoch();
        let answered = self.call(&question, turn, deadline).await;
        let transition = self.report(&sent, &answered);
        self.log.asked(answered.as_ref().err(), transition);
        if let Err(failed) = &answered
            && matches!(failed.error.kind(), FetchErrorKind::Status(401 | 403))
            && self.queue.should_tell_of_credentials()
        {
            self.log.rejected(&failed.error);
        }
        self.doubt_endpoint(&sent, &answered);
        let verdict = self.judge(&question, &sent, answered, transition)?;
        let ends_at = match &verdict {
            Verdict::Active(claims) => [claims.expires_at(), question.ends_at].into_iter().flatten().min(),
            Verdict::Inactive | Verdict::Unsupported => None,
        };
        self.memory.keep(asked_at, &verdict, ends_at.map(|at| at.saturating_sub(now)));
        Ok(verdict)
    }

    /// Sends one request, and a second one where that may help. Between the two nobody else has to wait.
    async fn call(&self, question: &Question, turn: Turn, deadline: Instant) -> Result<Verdict, CallError> {
        let endpoint = self.caller.endpoint.find().await.map_err(CallError::from_discovery)?;
        let begun = Instant::now();
        let first = self.attempt(question, &endpoint, turn, self.limits.time_limit).await;
        let may_be_retried = matches!(&first, Err(failed) if failed.may_be_retried);
        // While it is half-open, the circuit breaker is there to spare the endpoint.
        if !may_be_retried || self.queue.is_half_open() {
            return first;
        }
        tokio::time::sleep(retry_pause()).await;
        let time_left = self.limits.time_limit.saturating_sub(begun.elapsed());
        match self.queue.turn(question.is_known(), deadline).await {
            Ok(turn) if !time_left.is_zero() => self.attempt(question, &endpoint, turn, time_left).await,
            _ => first,
        }
    }

    async fn attempt(
        &self,
        question: &Question,
        endpoint: &Endpoint,
        turn: Turn,
        time_limit: Duration,
    ) -> Result<Verdict, CallError> {
        let sent_at = Instant::now();
        let answered = self.caller.call(endpoint, &question.token, time_limit, question.clock.as_ref()).await;
        turn.end(sent_at, outcome_of(&answered));
        answered
    }

    async fn turn(&self, question: &Question, deadline: Instant) -> Result<Turn, IntrospectionError> {
        self.queue.turn(question.is_known(), deadline).await.map_err(|no_turn| self.no_turn(no_turn))
    }

    fn no_turn(&self, no_turn: NoTurn) -> IntrospectionError {
        IntrospectionError::from_no_turn(no_turn, self.queue.last_error())
    }

    /// How long nobody may ask; `None` if somebody may now.
    fn retry_in(&self) -> Option<Duration> {
        let lost = self.caller.endpoint.last_error().map(|(_, retry_in)| retry_in).unwrap_or_default();
        Some(self.queue.retry_in().max(lost)).filter(|retry_in| !retry_in.is_zero())
    }

    fn report(&self, sent: &Sent, answered: &Result<Verdict, CallError>) -> Transition {
        let outcome = outcome_of(answered);
        if let Outcome::RateLimited { retry_after: Some(time) } = outcome {
            self.memory.hold_back(sent.token, time);
        }
        self.queue.report(sent, outcome, answered.as_ref().err().map(|failed| &failed.error))
    }

    /// An endpoint that answers as if it were none may have moved, unless it works for another token.
    fn doubt_endpoint(&self, sent: &Sent, answered: &Result<Verdict, CallError>) {
        let kind = answered.as_ref().err().map(|failed| failed.error.kind());
        if matches!(kind, Some(FetchErrorKind::Status(404 | 405 | 410))) && !self.queue.has_confirmed_another(sent) {
            self.caller.endpoint.suspect();
        }
    }

    /// The result for the caller.
    fn judge(
        &self,
        question: &Question,
        sent: &Sent,
        answered: Result<Verdict, CallError>,
        transition: Transition,
    ) -> Result<Verdict, IntrospectionError> {
        let failed = match answered {
            // The endpoint and the credentials work, so the token is the reason: an opaque one, since a signature is valid
            // whatever the endpoint makes of the token.
            Err(failed) if failed.blames_request && !question.is_signed() && self.queue.has_confirmed_another(sent) => {
                return Ok(Verdict::Inactive);
            }
            Err(failed) => failed,
            Ok(verdict) => return Ok(verdict),
        };
        let is_misconfiguration = match failed.error.kind() {
            FetchErrorKind::Unsendable => true,
            FetchErrorKind::CredentialsRefused(_) => transition != Transition::None,
            _ => false,
        };
        let retry_in = failed.error.retry_after().max(self.retry_in());
        Err(IntrospectionError::Failed { retry_in, is_misconfiguration, source: failed.error })
    }
}

fn outcome_of(answered: &Result<Verdict, CallError>) -> Outcome {
    match answered {
        Ok(Verdict::Active(_)) => Outcome::Active,
        Ok(Verdict::Inactive | Verdict::Unsupported) => Outcome::NotActive,
        Err(failed) => failed.outcome,
    }
}
