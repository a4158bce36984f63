use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Outcome, Sent, Transition};
use super::cache::ResponseCache;
use super::call::{CallError, IntrospectionClient, IntrospectionEndpoint};
use super::queue::{NoPermit, Permit, Queue};
use super::settings::Limits;
use super::{Introspection, IntrospectionError, TokenStatus};
use crate::clock::Clock;
use crate::crypto::{Fingerprint, Hmac};
use crate::discovery::{EndpointSource, EndpointUrl};
use crate::event_limit::{EventLimit, EventSummary};
use crate::http_client::{FetchError, FetchErrorKind, HttpClient, SingleFlight, retry_pause};
use crate::log::{Cause, is_shown, limited};

/// Introspects tokens at one authorization server: with a cache, a single flight for each token, a limit of concurrent
/// requests, and a circuit breaker.
pub(crate) struct Introspector {
    shared: Arc<SharedIntrospector>,
    flights: SingleFlight<Fingerprint, Result<TokenStatus, IntrospectionError>>,
}

struct SharedIntrospector {
    client: IntrospectionClient,
    hmac: Hmac,
    cache: ResponseCache,
    queue: Arc<Queue>,
    limits: Limits,
    /// Limits the log lines about failures.
    events: Arc<EventLimit>,
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
        let endpoint = IntrospectionEndpoint(endpoint);
        let shared = SharedIntrospector {
            client: IntrospectionClient { issuer: issuer.into(), client, credentials, endpoint },
            // Each issuer has its own key, so that a cached result is never used for another issuer.
            hmac: Hmac::random()?,
            cache: ResponseCache::new(lifetimes),
            queue: Arc::new(Queue::new(limits)),
            limits,
            events: Arc::default(),
        };
        Some(Self { shared: Arc::new(shared), flights: SingleFlight::new() })
    }

    /// The HMAC under which the result for a token is cached.
    pub(crate) fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        self.shared.hmac.sign(token)
    }

    /// The cached result for a token, if it is fresh. Nearly every request ends here. `max_age` replaces the configured
    /// lifetime of an active token.
    pub(crate) fn cached(&self, token: &Fingerprint, max_age: Option<Duration>) -> Option<TokenStatus> {
        self.shared.cache.get(token, max_age)
    }

    /// Introspects a token. Concurrent callers with the same token share one request. `expires_at` is the `exp` of a JWT, as
    /// the time since 1970: no result is cached beyond it.
    pub(crate) async fn introspect(
        &self,
        fingerprint: Fingerprint,
        token: Box<str>,
        expires_at: Option<Duration>,
        max_age: Option<Duration>,
        clock: &Arc<dyn Clock>,
    ) -> Result<TokenStatus, IntrospectionError> {
        let result = match self.shared.queue.check() {
            // A caller still gets the result of a request that was sent before the circuit breaker opened.
            Err(no_permit) if !self.flights.is_running(&fingerprint) => Err(self.shared.no_permit(no_permit)),
            _ => {
                let was_active = self.shared.cache.was_active(&fingerprint);
                let lookup = Lookup { fingerprint, token, expires_at, max_age, was_active, clock: Arc::clone(clock) };
                let work = || Arc::clone(&self.shared).run(lookup);
                let result = self.flights.join(fingerprint, self.shared.limits.longest(), work).await;
                result.unwrap_or(Err(IntrospectionError::Interrupted))
            }
        };
        match (result, self.shared.cache.get_stale(&fingerprint, max_age)) {
            (Err(error), Some(claims)) => {
                let (issuer, cause) = (&*self.shared.client.issuer, Cause::new(&error));
                tracing::debug!(target: "mcp_bearer::introspection", issuer, %cause, "the last cached result is used");
                Ok(TokenStatus::Active(claims))
            }
            (result, _) => result,
        }
    }

    /// Removes the cached result for a token. The result of a request in flight is not cached either.
    pub(crate) fn forget(&self, token: &[u8]) {
        let fingerprint = self.fingerprint(token);
        self.flights.forget(&fingerprint);
        self.shared.cache.remove(&fingerprint);
    }

    /// Discovers the endpoint.
    pub(crate) async fn warm_up(&self) -> Result<(), Arc<FetchError>> {
        self.shared.client.endpoint.find().await.map(drop)
    }

    /// Discovers the endpoint in the background, if it is not known. Without this, an idle server that fails its readiness
    /// probe would never become ready.
    pub(crate) fn nudge(&self) {
        let endpoint = &self.shared.client.endpoint;
        if endpoint.is_known() || endpoint.last_error().is_some_and(|(_, retry_in)| !retry_in.is_zero()) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.client.endpoint.find().await.map(drop) });
        }
    }

    /// Whether a token can be introspected now, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.client.endpoint.is_known() && self.retry_in().is_zero()
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        let of_discovery = || self.shared.client.endpoint.last_error().map(|(error, _)| error);
        self.shared.queue.last_error().or_else(of_discovery)
    }

    /// How long no token is introspected.
    pub(crate) fn retry_in(&self) -> Duration {
        self.shared.retry_in().unwrap_or_default()
    }
}

/// One introspection of a token.
struct Lookup {
    fingerprint: Fingerprint,
    token: Box<str>,
    /// The `exp` of a JWT, as the time since 1970.
    expires_at: Option<Duration>,
    /// Replaces the configured lifetime of an active token. Only JWTs that were verified locally have it.
    max_age: Option<Duration>,
    /// Whether the token was active before.
    was_active: bool,
    clock: Arc<dyn Clock>,
}

impl Lookup {
    /// Whether the token is a JWT with a valid signature.
    const fn is_signed(&self) -> bool {
        self.max_age.is_some()
    }

    /// Whether the token cannot be made up.
    const fn is_known(&self) -> bool {
        self.was_active || self.is_signed()
    }
}

impl SharedIntrospector {
    async fn run(self: Arc<Self>, lookup: Lookup) -> Result<TokenStatus, IntrospectionError> {
        if let Some(retry_in) = self.cache.held_back(&lookup.fingerprint) {
            return Err(IntrospectionError::RateLimited { retry_in });
        }
        let deadline = self.queue.deadline();
        let permit = self.queue.acquire(lookup.is_known(), deadline).await;
        let permit = permit.map_err(|no_permit| self.no_permit(no_permit))?;
        // Another result may have been cached while this one waited.
        if let Some(status) = self.cache.get(&lookup.fingerprint, lookup.max_age) {
            return Ok(status);
        }
        let sent = Sent { token: lookup.fingerprint, is_known: lookup.was_active, at: Instant::now().into_std() };
        let pending = self.cache.begin(lookup.fingerprint);
        let now = lookup.clock.since_epoch();
        let result = self.call(&lookup, permit, deadline).await;
        let transition = self.report(&sent, &result);
        let status = match result {
            Ok(status) => status,
            // The endpoint and the credentials work, so the opaque token is the reason. A JWT with a valid signature is not
            // rejected, whatever the endpoint makes of it.
            Err(failed) if failed.blames_request && !lookup.is_signed() && self.queue.has_confirmed_another(&sent) => {
                TokenStatus::Inactive
            }
            Err(failed) => {
                let is_misconfiguration = match failed.error.kind() {
                    FetchErrorKind::Unsendable => true,
                    FetchErrorKind::CredentialsRefused(_) => transition != Transition::None,
                    _ => false,
                };
                let retry_in = failed.error.retry_after().max(self.retry_in());
                return Err(IntrospectionError::Failed { retry_in, is_misconfiguration, source: failed.error });
            }
        };
        let expires_at = match &status {
            TokenStatus::Active(claims) => [claims.exp(), lookup.expires_at].into_iter().flatten().min(),
            TokenStatus::Inactive | TokenStatus::Unsupported => None,
        };
        self.cache.insert(pending, &status, expires_at.map(|at| at.saturating_sub(now)));
        Ok(status)
    }

    /// Sends one request, and retries it once if that may help. The permit is free during the pause between the two.
    async fn call(&self, lookup: &Lookup, permit: Permit, deadline: Instant) -> Result<TokenStatus, CallError> {
        let endpoint = self.client.endpoint.find().await.map_err(CallError::from_discovery)?;
        let started_at = Instant::now();
        let first = self.attempt(lookup, &endpoint, permit, self.limits.time_limit).await;
        let may_be_retried = matches!(&first, Err(failed) if failed.may_be_retried);
        // A half-open circuit breaker spares the endpoint.
        if !may_be_retried || self.queue.is_half_open() {
            return first;
        }
        tokio::time::sleep(retry_pause()).await;
        let time_left = self.limits.time_limit.saturating_sub(started_at.elapsed());
        match self.queue.acquire(lookup.is_known(), deadline).await {
            Ok(permit) if !time_left.is_zero() => self.attempt(lookup, &endpoint, permit, time_left).await,
            _ => first,
        }
    }

    async fn attempt(
        &self,
        lookup: &Lookup,
        endpoint: &EndpointUrl,
        permit: Permit,
        time_limit: Duration,
    ) -> Result<TokenStatus, CallError> {
        let sent_at = Instant::now();
        let result = self.client.call(endpoint, &lookup.token, time_limit, lookup.clock.as_ref()).await;
        permit.end(sent_at, outcome(&result));
        result
    }

    fn no_permit(&self, no_permit: NoPermit) -> IntrospectionError {
        IntrospectionError::from_no_permit(no_permit, self.queue.last_error())
    }

    /// How long no token is introspected. `None` if one may be introspected now.
    fn retry_in(&self) -> Option<Duration> {
        let of_discovery = self.client.endpoint.last_error().map(|(_, retry_in)| retry_in).unwrap_or_default();
        Some(self.queue.retry_in().max(of_discovery)).filter(|retry_in| !retry_in.is_zero())
    }

    /// Tells the circuit breaker, the log and the endpoint how a call ended.
    fn report(&self, sent: &Sent, result: &Result<TokenStatus, CallError>) -> Transition {
        let outcome = outcome(result);
        if let Outcome::RateLimited { retry_after: Some(time) } = outcome {
            self.cache.hold_back(sent.token, time);
        }
        let failed = result.as_ref().err();
        let transition = self.queue.report(sent, outcome, failed.map(|failed| &failed.error));
        self.log(failed, transition);
        match failed.map(|failed| (failed.error.kind(), &failed.error)) {
            Some((FetchErrorKind::Status(401 | 403), error)) if self.queue.should_report_credentials() => {
                let cause = Cause::new(error);
                tracing::error!(target: "mcp_bearer::introspection", issuer = &*self.client.issuer, %cause,
                    "introspection is rejected, and no token was confirmed as active yet: check the client credentials");
            }
            // The endpoint may have moved, unless it works for another token.
            Some((FetchErrorKind::Status(404 | 405 | 410), _)) if !self.queue.has_confirmed_another(sent) => {
                self.client.endpoint.suspect();
            }
            _ => {}
        }
        transition
    }

    /// Logs a failure and a change of the circuit breaker. No log line has a token, a secret, or a byte of a response.
    fn log(&self, failed: Option<&CallError>, transition: Transition) {
        let issuer = &*self.client.issuer;
        if let Some(CallError { error, .. }) = failed {
            let cause = Cause::new(error);
            match (error.kind(), transition) {
                (FetchErrorKind::CredentialsRefused(_), Transition::Opened(_) | Transition::Counted)
                | (FetchErrorKind::Unsendable, _) => {
                    limited!(self.is_shown("credentials"), error, target: "mcp_bearer::introspection", issuer, %cause,
                        "the client credentials of this server cannot be used for introspection: check them");
                }
                (_, Transition::None | Transition::Suspected | Transition::Closed) => {
                    tracing::debug!(target: "mcp_bearer::introspection", issuer, %cause,
                        "introspection failed for a token");
                }
                (_, Transition::Counted | Transition::Opened(_)) => {
                    limited!(self.is_shown("failed"), warn, target: "mcp_bearer::introspection", issuer, %cause,
                        "introspection failed");
                }
            }
        }
        match transition {
            Transition::None | Transition::Suspected | Transition::Counted => {}
            Transition::Opened(pause) => {
                tracing::warn!(target: "mcp_bearer::introspection", issuer, ?pause, "introspection suspended");
            }
            Transition::Closed => {
                tracing::info!(target: "mcp_bearer::introspection", issuer, "introspection resumed");
            }
        }
    }

    fn is_shown(&self, cause: &'static str) -> bool {
        let issuer = self.client.issuer.clone();
        is_shown(&self.events, cause, move |EventSummary { cause, events, hidden }| {
            tracing::warn!(target: "mcp_bearer::introspection", issuer = &*issuer, cause, count = events, hidden,
                "many introspection requests failed within a minute: only the first appear above `debug`");
        })
    }
}

fn outcome(result: &Result<TokenStatus, CallError>) -> Outcome {
    match result {
        Ok(TokenStatus::Active(_)) => Outcome::Active,
        Ok(TokenStatus::Inactive | TokenStatus::Unsupported) => Outcome::NotActive,
        Err(failed) => failed.outcome,
    }
}
