mod readiness;
mod report;
mod sharing;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::breaker::{Outcome, Sent, Transition};
use super::cache::ResponseCache;
use super::call::{CallError, IntrospectionClient};
use super::lookup::{LookupClient, LookupCode, StatusLookup};
use super::queue::{Permit, Queue};
use super::secret::RejectedSecret;
use super::settings::{Limits, LookupSettings};
use super::shared_results::SharedResults;
use super::{Introspection, IntrospectionError, LookupLimits, TokenStatus};
use crate::clock::Clock;
use crate::crypto::{Fingerprint, Hmac};
use crate::discovery::EndpointSource;
use crate::events::{CacheKind, Event, IssuerEvents, VerificationPurpose};
use crate::http_client::{FetchError, FetchErrorKind, HttpClient, SingleFlight, retry_pause};
use crate::log::Cause;

use readiness::CredentialChecks;
pub use readiness::IntrospectionState;
use sharing::SharedLookup;

/// Introspects tokens at one authorization server, or calls the application's code. It has a cache, a single flight for each
/// token, a limit of concurrent requests, and a circuit breaker.
pub(crate) struct Introspector {
    source: StatusSource,
    hmac: Hmac,
    cache: ResponseCache,
    flights: SingleFlight<Fingerprint, Result<TokenStatus, IntrospectionError>>,
    queue: Arc<Queue>,
    limits: Limits,
    checks: CredentialChecks,
    events: Arc<IssuerEvents>,
    /// The results of other replicas.
    shared: OnceLock<Arc<dyn SharedResults>>,
}

/// Where the status of a token comes from.
enum StatusSource {
    Endpoint(Box<IntrospectionClient>),
    Application(LookupClient),
}

/// One introspection of a token.
struct Lookup {
    fingerprint: Fingerprint,
    token: Arc<str>,
    /// The `exp` of a JWT, as the time since 1970.
    expires_at: Option<Duration>,
    /// How long a cached result is fresh if the token is active. Set only for a JWT that was verified locally. `None`
    /// means the configured `positive_cache`.
    max_age: Option<Duration>,
    /// Whether the last result for the token was active.
    was_active: bool,
    purpose: VerificationPurpose,
    clock: Arc<dyn Clock>,
}

impl Introspector {
    /// `None` in a build without a cryptography backend, or if the machine gives no random bytes.
    pub(crate) fn new(
        events: Arc<IssuerEvents>,
        client: Arc<dyn HttpClient>,
        endpoint: EndpointSource,
        settings: Introspection,
    ) -> Option<Self> {
        let Introspection { credentials, settings } = settings;
        let issuer = Arc::clone(&events.issuer);
        let rejected = RejectedSecret::default();
        let client = IntrospectionClient { issuer, client, credentials, endpoint, rejected };
        Self::from_source(events, StatusSource::Endpoint(Box::new(client)), settings)
    }

    /// Asks code of the application instead of an introspection endpoint. `None` as with [`new`](Self::new).
    pub(crate) fn for_application(
        events: Arc<IssuerEvents>,
        code: LookupCode,
        lookup: Arc<dyn StatusLookup>,
        limits: LookupLimits,
    ) -> Option<Self> {
        let client = LookupClient { code, issuer: Arc::clone(&events.issuer), lookup };
        Self::from_source(events, StatusSource::Application(client), limits.settings)
    }

    fn from_source(events: Arc<IssuerEvents>, source: StatusSource, settings: LookupSettings) -> Option<Self> {
        let LookupSettings { lifetimes, limits } = settings;
        events.introspection_configured();
        Some(Self {
            source,
            // Each issuer has its own random key. So the same token has another fingerprint at another issuer, where it
            // never finds this issuer's cached result.
            hmac: Hmac::random()?,
            cache: ResponseCache::new(lifetimes),
            flights: SingleFlight::new(),
            queue: Arc::new(Queue::new(limits)),
            limits,
            checks: CredentialChecks::new(),
            events,
            shared: OnceLock::new(),
        })
    }

    /// The HMAC of a token. The cache uses it as the key for the result, so that it does not keep the token.
    pub(crate) fn fingerprint(&self, token: &[u8]) -> Fingerprint {
        self.hmac.sign(token)
    }

    /// The cached result for a token, if it is fresh. Most requests to the resource server need nothing else.
    ///
    /// `max_age` is how long a cached result for an active token is fresh. `None` means the configured
    /// `positive_cache`.
    pub(crate) fn cached(
        &self,
        token: &Fingerprint,
        max_age: Option<Duration>,
        purpose: VerificationPurpose,
    ) -> Option<TokenStatus> {
        let status = self.cache.get(token, max_age)?;
        if purpose == VerificationPurpose::Request {
            self.events.emit(&Event::CacheHit(CacheKind::Introspection));
        }
        Some(status)
    }

    /// Introspects a token. Concurrent callers with the same token share one request.
    ///
    /// `expires_at` is the `exp` of a JWT, as the time since 1970. No result is cached beyond it. `max_age` is as for
    /// [`cached`](Self::cached).
    pub(crate) async fn introspect(
        self: &Arc<Self>,
        fingerprint: Fingerprint,
        token: Arc<str>,
        (expires_at, max_age): (Option<Duration>, Option<Duration>),
        clock: Arc<dyn Clock>,
        purpose: VerificationPurpose,
    ) -> Result<TokenStatus, IntrospectionError> {
        let checked = match self.queue.check() {
            // The failures may have been those of the old secret.
            Err(_) if self.notice_new_secret().await => self.queue.check(),
            checked => checked,
        };
        let result = match checked {
            // While the circuit breaker is open, no request is sent. But a caller may join a request for its token that
            // was sent before, and another replica may have a result.
            Err(suspended) if !self.flights.is_running(&fingerprint) && self.shared.get().is_none() => Err(suspended),
            _ => {
                let was_active = self.cache.was_active(&fingerprint);
                let lookup = Lookup { fingerprint, token, expires_at, max_age, was_active, purpose, clock };
                let work = || {
                    let issuer = &*self.events.issuer;
                    let span = tracing::debug_span!(target: "mcp_bearer::introspection", "introspect_token", issuer);
                    Arc::clone(self).run(lookup).instrument(span)
                };
                // The longest time that a caller waits: in the waiting line, for the result, and for the store of the replicas
                // before and after.
                let longest = self.limits.max_wait.saturating_add(self.limits.time_limit);
                let longest = longest.saturating_add(self.time_of_store());
                let result = self.flights.join(fingerprint, longest, work).await;
                result.unwrap_or(Err(IntrospectionError::Interrupted))
            }
        };
        // If introspection fails, a cached result may be used although it is not fresh any more. The operator limits
        // that time with `stale_on_error`, which is zero by default. No result is used after the token has expired.
        match (result, self.cache.get_stale(&fingerprint, max_age)) {
            (Err(error), Some(status)) => {
                let (issuer, cause) = (&*self.events.issuer, Cause(&error));
                tracing::debug!(target: "mcp_bearer::introspection", issuer, %cause, "the last cached result is used");
                Ok(status)
            }
            (result, _) => result,
        }
    }

    /// Removes the cached result for a token. If the token is being introspected now, that result is not cached either.
    pub(crate) fn forget(&self, token: &[u8]) {
        let fingerprint = self.fingerprint(token);
        self.flights.forget(&fingerprint);
        self.cache.remove(&fingerprint);
        self.events.introspection_results(|| self.cache.len());
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        let of_discovery = || self.endpoint()?.discovery_error().map(|(error, _)| error);
        self.queue.last_error().or_else(of_discovery)
    }

    /// The time until the next request to the authorization server is allowed. Zero if it is allowed now.
    pub(crate) fn retry_in(&self) -> Duration {
        let of_discovery = self.endpoint().and_then(IntrospectionClient::discovery_error).map(|(_, retry_in)| retry_in);
        self.queue.retry_in().max(of_discovery.unwrap_or_default())
    }

    /// Whether code of the application is asked, and not an introspection endpoint.
    pub(crate) const fn asks_application(&self) -> bool {
        self.endpoint().is_none()
    }

    const fn endpoint(&self) -> Option<&IntrospectionClient> {
        match &self.source {
            StatusSource::Endpoint(client) => Some(client),
            StatusSource::Application(_) => None,
        }
    }

    async fn run(self: Arc<Self>, lookup: Lookup) -> Result<TokenStatus, IntrospectionError> {
        if let Some(retry_in) = self.cache.held_back(&lookup.fingerprint) {
            return Err(IntrospectionError::RateLimited { retry_in });
        }
        let shared = match self.find_shared(&lookup).await {
            SharedLookup::Found(status) => return Ok(status),
            shared => shared,
        };
        self.queue.check()?;
        let now = Instant::now();
        let deadline = now.checked_add(self.limits.max_wait).unwrap_or(now);
        let permit = self.queue.acquire(lookup.has_priority(), deadline).await?;
        // While this introspection waited for its permit, another one may have cached a result for the token.
        if let Some(status) = self.cache.get(&lookup.fingerprint, lookup.max_age) {
            return Ok(status);
        }
        let sent = Sent { token: lookup.fingerprint, was_active: lookup.was_active, at: Instant::now().into_std() };
        let pending = self.cache.begin(lookup.fingerprint);
        let now = lookup.clock.since_epoch();
        let result = self.call(&lookup, permit, deadline).await;
        let transition = self.report(&sent, &result, lookup.purpose);
        let status = match result {
            Ok(status) => status,
            // The error code is about the request. The endpoint and the credentials work, because the endpoint recently
            // confirmed another token as active. So the token is the cause, and counts as inactive. This does not apply
            // to a JWT with a valid signature: an error never makes such a token inactive.
            Err(failed)
                if failed.token_may_be_cause && !lookup.is_signed() && self.queue.has_confirmed_another(&sent) =>
            {
                TokenStatus::Inactive
            }
            Err(CallError { error, .. }) => {
                let is_misconfiguration = match error.kind() {
                    FetchErrorKind::Unsendable
                    | FetchErrorKind::VerifierMisconfigured
                    | FetchErrorKind::KeyStoreMisconfigured => true,
                    FetchErrorKind::CredentialsRejected(_) => transition != Transition::None,
                    _ => false,
                };
                let suspended_for = self.queue.retry_in();
                let retry_in = match self.endpoint().and_then(IntrospectionClient::discovery_pause) {
                    Some(pause) => Some(pause.max(suspended_for)),
                    None => error.retry_after().max(Some(suspended_for).filter(|pause| !pause.is_zero())),
                };
                return Err(IntrospectionError::Failed { retry_in, is_misconfiguration, source: error });
            }
        };
        let expires_at = lookup.expiry(&status);
        if lookup.purpose == VerificationPurpose::Explanation && !matches!(status, TokenStatus::Active(_)) {
            return Ok(status);
        }
        let is_cached = self.cache.insert(pending, &status, expires_at.map(|at| at.saturating_sub(now)));
        self.events.introspection_results(|| self.cache.len());
        self.share(&lookup, shared, &status, is_cached).await;
        Ok(status)
    }

    /// Sends one request, and retries it once after a pause if the failure may be temporary. The permit is returned
    /// before the pause, so that another request can use it. The retry needs a new permit.
    async fn call(&self, lookup: &Lookup, permit: Permit, deadline: Instant) -> Result<TokenStatus, CallError> {
        let (token, clock, time_limit) = (&*lookup.token, lookup.clock.as_ref(), self.limits.time_limit);
        let client = match &self.source {
            StatusSource::Endpoint(client) => client,
            // The application knows whether a retry makes sense.
            StatusSource::Application(client) => return attempt(permit, client.call(token, time_limit)).await,
        };
        let endpoint = client.find_endpoint().await.map_err(CallError::from_discovery)?;
        let started_at = Instant::now();
        let first = attempt(permit, client.call(&endpoint, token, time_limit, clock)).await;
        let may_be_retried = matches!(&first, Err(failed) if failed.may_be_retried);
        // Until the circuit breaker closes, the endpoint gets as few requests as possible, so a request is not retried.
        if !may_be_retried || self.queue.is_half_open() {
            return first;
        }
        tokio::time::sleep(retry_pause()).await;
        let time_left = time_limit.saturating_sub(started_at.elapsed());
        match self.queue.acquire(lookup.has_priority(), deadline).await {
            Ok(permit) if !time_left.is_zero() => {
                attempt(permit, client.call(&endpoint, token, time_left, clock)).await
            }
            _ => first,
        }
    }
}

impl Lookup {
    /// Whether the token is a JWT with a valid signature.
    const fn is_signed(&self) -> bool {
        self.max_age.is_some()
    }

    /// When the token expires, as the time since 1970. `None` if it is not active, or if nobody says it.
    fn expiry(&self, status: &TokenStatus) -> Option<Duration> {
        let TokenStatus::Active(claims) = status else { return None };
        [claims.exp(), self.expires_at].into_iter().flatten().min()
    }

    /// Whether the token goes first in the queue, because it cannot be made up: it was active before, or its signature
    /// is valid.
    const fn has_priority(&self) -> bool {
        self.was_active || self.is_signed()
    }
}

/// Sends one request. Its permit is returned when it ends.
async fn attempt(
    permit: Permit,
    request: impl Future<Output = Result<TokenStatus, CallError>>,
) -> Result<TokenStatus, CallError> {
    let sent_at = Instant::now();
    let result = request.await;
    permit.end(sent_at, outcome(&result));
    result
}

fn outcome(result: &Result<TokenStatus, CallError>) -> Outcome {
    match result {
        Ok(TokenStatus::Active(_)) => Outcome::Active,
        Ok(_) => Outcome::NotActive,
        Err(failed) => failed.outcome,
    }
}
