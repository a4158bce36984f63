use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::breaker::{Breaker, Failure, Pass, Transition};
use super::call::{Call, CallError};
use super::gate::Gate;
use super::log::Log;
use super::memory::Memory;
use super::{FindEndpoint, Introspection, IntrospectionError, Verdict};
use crate::clock::Clock;
use crate::http_client::{FetchError, HttpClient};
use crate::jose::{Fingerprint, Fingerprinter, random};
use crate::single_flight::SingleFlight;

/// Asks one authorization server about tokens: as rarely as its answers allow, never more at once than it can bear, and
/// not at all while it fails.
pub(crate) struct Introspector {
    shared: Arc<Shared>,
    flights: SingleFlight<Fingerprint, Result<Verdict, IntrospectionError>>,
}

struct Shared {
    call: Call,
    fingerprinter: Fingerprinter,
    memory: Memory,
    gate: Gate,
    health: Mutex<Health>,
    log: Log,
}

/// How the endpoint has been doing. The lock is held for a few instructions, never across a wait.
struct Health {
    breaker: Breaker,
    last_error: Option<Arc<FetchError>>,
}

impl Introspector {
    /// `None` if the build or the machine cannot tell tokens apart without keeping them.
    pub(crate) fn new(
        issuer: &str,
        client: Arc<dyn HttpClient>,
        endpoint: impl FindEndpoint,
        settings: Introspection,
    ) -> Option<Self> {
        let (lifetimes, credentials) = (settings.lifetimes, settings.credentials);
        let call = Call { issuer: issuer.into(), client, credentials, endpoint: Box::new(endpoint) };
        let shared = Shared {
            call,
            // A key of its own: what one authorization server said of a token is nothing to another.
            fingerprinter: Fingerprinter::random()?,
            memory: Memory::new(lifetimes),
            gate: Gate::new(),
            health: Mutex::new(Health { breaker: Breaker::new(), last_error: None }),
            log: Log::new(issuer),
        };
        Some(Self { shared: Arc::new(shared), flights: SingleFlight::new() })
    }

    /// What a token is known by.
    pub(crate) fn fingerprint(&self, token: &[u8]) -> Option<Fingerprint> {
        self.shared.fingerprinter.of(token)
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
        let asked = match self.shared.check_breaker() {
            // The probe's own answer is for everybody who shows its token.
            Err(suspended) if !self.flights.is_under_way(&fingerprint) => Err(suspended),
            _ => {
                // A JWT whose signature is good is no stranger either.
                let is_known = within.is_some() || self.shared.memory.knows(&fingerprint);
                let question = Question { fingerprint, token, ends_at, within, is_known, clock: Arc::clone(clock) };
                let shared = Arc::clone(&self.shared);
                let flight = self.flights.join(fingerprint, ASK_LIMIT, || shared.fly(question));
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
        if let Some(fingerprint) = self.fingerprint(token) {
            self.flights.abandon(&fingerprint);
            self.shared.memory.forget(&fingerprint);
        }
    }

    /// Finds out where to ask, without asking about anything.
    pub(crate) async fn warm_up(&self) -> Result<(), Arc<FetchError>> {
        self.shared.call.endpoint.find().await.map(drop)
    }

    /// Finds out behind the caller's back where to ask, if that is not known. Without this an idle server that fails its
    /// readiness probe would never get ready.
    pub(crate) fn nudge(&self) {
        let endpoint = &self.shared.call.endpoint;
        if endpoint.is_known() || endpoint.trouble().is_some_and(|(_, retry_in)| !retry_in.is_zero()) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.call.endpoint.find().await.map(drop) });
        }
    }

    /// Whether somebody could ask now, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.call.endpoint.is_known() && self.retry_in().is_zero()
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        let trouble = || self.shared.call.endpoint.trouble().map(|(error, _)| error);
        self.shared.health().last_error.clone().or_else(trouble)
    }

    /// How long until somebody may ask.
    pub(crate) fn retry_in(&self) -> Duration {
        let suspended = self.shared.health().breaker.check(Instant::now().into_std()).err().unwrap_or_default();
        let lost = self.shared.call.endpoint.trouble().map(|(_, retry_in)| retry_in).unwrap_or_default();
        suspended.max(lost)
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
    /// Whether it was good before.
    is_known: bool,
    clock: Arc<dyn Clock>,
}

impl Shared {
    async fn fly(self: Arc<Self>, question: Question) -> Result<Verdict, IntrospectionError> {
        let Question { fingerprint, token, ends_at, within, is_known, clock } = question;
        let _turn = self.gate.enter(is_known).await.ok_or(IntrospectionError::Busy)?;
        // Who waited may find the question answered meanwhile, or the endpoint suspended.
        if let Some(verdict) = self.memory.recall(&fingerprint, within) {
            return Ok(verdict);
        }
        let attempt = Attempt::begin(Arc::clone(&self))?;
        let asked_at = self.memory.ask(fingerprint);
        let now = clock.since_epoch();
        let outcome = self.call.run(&token, clock.as_ref()).await;
        if let Ok(verdict) = &outcome {
            let ends_at = match verdict {
                Verdict::Active(claims) => [claims.expires_at(), ends_at].into_iter().flatten().min(),
                Verdict::Inactive | Verdict::Unsupported => None,
            };
            self.memory.keep(asked_at, verdict, ends_at.map(|at| at.saturating_sub(now)));
        }
        attempt.end(outcome.as_ref().err(), &clock);
        outcome.map_err(|failed| IntrospectionError::Failed(failed.error))
    }

    /// Asks about a token that nobody can have shown: is it the endpoint that fails, or were it the tokens?
    async fn check_endpoint(self: Arc<Self>, pass: Pass, clock: Arc<dyn Clock>) {
        let attempt = Attempt { shared: Arc::clone(&self), pass, is_check: true, ended: false };
        let made_up = random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        if let (Some(_turn), Some(token)) = (self.gate.enter(true).await, made_up) {
            let outcome = self.call.run(&token, clock.as_ref()).await;
            attempt.end(outcome.as_ref().err(), &clock);
        }
    }

    fn check_breaker(&self) -> Result<(), IntrospectionError> {
        let health = self.health();
        let checked = health.breaker.check(Instant::now().into_std());
        checked.map_err(|retry_in| IntrospectionError::Suspended { retry_in, last: health.last_error.clone() })
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // Nothing under the lock leaves it half-changed.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that the breaker let through; whatever becomes of it, the breaker hears of it.
struct Attempt {
    shared: Arc<Shared>,
    pass: Pass,
    /// Whether it is about a token of our own making.
    is_check: bool,
    ended: bool,
}

impl Attempt {
    fn begin(shared: Arc<Shared>) -> Result<Self, IntrospectionError> {
        let admitted = {
            let mut health = shared.health();
            let last = health.last_error.clone();
            let admitted = health.breaker.admit(Instant::now().into_std());
            admitted.map_err(|retry_in| IntrospectionError::Suspended { retry_in, last })
        };
        Ok(Self { pass: admitted?, shared, is_check: false, ended: false })
    }

    fn end(mut self, failed: Option<&CallError>, clock: &Arc<dyn Clock>) {
        self.ended = true;
        let transition = self.report(failed);
        self.shared.log.asked(failed, transition);
        if let Transition::Check(pass) = transition {
            tokio::spawn(Arc::clone(&self.shared).check_endpoint(pass, Arc::clone(clock)));
        }
    }

    fn report(&self, failed: Option<&CallError>) -> Transition {
        let now = Instant::now().into_std();
        let mut health = self.shared.health();
        let Some(CallError { error, failure }) = failed else {
            health.last_error = None;
            return health.breaker.succeeded();
        };
        match failure {
            // An endpoint that refuses a made-up token in this way is there.
            Failure::Token if self.is_check => health.breaker.succeeded(),
            Failure::Token => health.breaker.failed(self.pass, *failure, now),
            Failure::Endpoint { .. } | Failure::EndpointOrToken => {
                health.last_error = Some(Arc::clone(error));
                if self.is_check {
                    health.breaker.check_failed(self.pass, error.retry_after(), now)
                } else {
                    health.breaker.failed(self.pass, *failure, now)
                }
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            let now = Instant::now().into_std();
            let transition = match self.is_check {
                true => self.shared.health().breaker.check_failed(self.pass, None, now),
                false => self.shared.health().breaker.failed(self.pass, Failure::Endpoint { retry_after: None }, now),
            };
            self.shared.log.asked(None, transition);
        }
    }
}

/// How long a request waits in all: for its turn, for discovery if it must be, for the answer.
const ASK_LIMIT: Duration = Duration::from_secs(8);
