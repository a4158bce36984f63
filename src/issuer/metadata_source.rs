use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::AuthorizationServerMetadata;
use super::discovery::{Discovered, Discovery};
use crate::event_limit::{EventLimit, Summary};
use crate::http_client::{FetchError, FetchErrorKind, HttpClient};
use crate::log::{Cause, is_shown, limited};
use crate::single_flight::SingleFlight;

/// The metadata of one issuer, for all who need something of it: found once, kept for an hour, found again.
pub(super) struct MetadataSource {
    shared: Arc<Shared>,
    flights: Arc<SingleFlight<(), Result<AuthorizationServerMetadata, Arc<FetchError>>>>,
}

struct Shared {
    discovery: Discovery,
    client: Arc<dyn HttpClient>,
    state: Mutex<State>,
    /// Bounds the log lines of failures.
    events: Arc<EventLimit>,
}

#[derive(Default)]
struct State {
    found: Option<Found>,
    /// Of the last attempt, if it failed.
    trouble: Option<Trouble>,
}

#[derive(Clone)]
struct Found {
    metadata: AuthorizationServerMetadata,
    /// When it was asked for last, in vain or not.
    asked_at: Instant,
    fresh_until: Instant,
    /// What it names does not answer.
    is_doubted: bool,
}

#[derive(Clone)]
struct Trouble {
    error: Arc<FetchError>,
    failures: u32,
    retry_at: Instant,
    /// When a waiting request may start an attempt, if nothing is known.
    request_at: Instant,
}

impl MetadataSource {
    pub(super) fn new(discovery: Discovery, client: Arc<dyn HttpClient>) -> Self {
        let (state, events) = (Mutex::default(), Arc::default());
        let shared = Shared { discovery, client, state, events };
        Self { shared: Arc::new(shared), flights: Arc::new(SingleFlight::new()) }
    }

    /// The metadata, found anew if that is due: for somebody who has time.
    pub(super) async fn current(&self) -> Result<AuthorizationServerMetadata, Arc<FetchError>> {
        let known = self.shared.lock().found.clone();
        match known {
            Some(known) if Instant::now() < known.fresh_until => Ok(known.metadata),
            // What was true an hour ago is better than nothing; the keys themselves are still fetched.
            Some(known) => Ok(self.renew().await.unwrap_or(known.metadata)),
            None => self.renew().await,
        }
    }

    /// The metadata as it is known, found anew behind the caller's back if that is due: for somebody who is waited for.
    /// Where nothing is known, or nothing that is good, an attempt is made, unless one has just failed.
    pub(super) async fn at_once(&self) -> Result<AuthorizationServerMetadata, Arc<FetchError>> {
        let now = Instant::now();
        let (known, trouble) = {
            let state = self.shared.lock();
            (state.found.clone(), state.trouble.clone().filter(|trouble| now < trouble.retry_at))
        };
        match (known, trouble) {
            (Some(known), None) if known.is_doubted => Ok(self.renew().await.unwrap_or(known.metadata)),
            (Some(known), trouble) => {
                if now >= known.fresh_until && trouble.is_none() {
                    let (shared, flights) = (Arc::clone(&self.shared), Arc::clone(&self.flights));
                    tokio::spawn(async move { Self::find(&shared, &flights).await.map(drop) });
                }
                Ok(known.metadata)
            }
            (None, Some(trouble)) => self.hurry(trouble).await,
            (None, None) => self.renew().await,
        }
    }

    /// Goes ahead of the back-off for a request that waits: otherwise the first valid tokens after an outage would be
    /// rejected for up to a minute.
    async fn hurry(&self, trouble: Trouble) -> Result<AuthorizationServerMetadata, Arc<FetchError>> {
        let left = trouble.request_at.saturating_duration_since(Instant::now());
        if left > REQUEST_RETRY {
            return Err(trouble.error);
        }
        tokio::time::sleep(left).await;
        let (known, latest) = {
            let state = self.shared.lock();
            (state.found.clone(), state.trouble.clone())
        };
        match (known, latest) {
            (Some(known), _) => Ok(known.metadata),
            // Another request has tried meanwhile.
            (None, Some(latest)) if !Arc::ptr_eq(&latest.error, &trouble.error) => Err(latest.error),
            (None, _) => self.renew().await,
        }
    }

    /// The metadata, found anew.
    pub(super) async fn renew(&self) -> Result<AuthorizationServerMetadata, Arc<FetchError>> {
        Self::find(&self.shared, &self.flights).await
    }

    /// The metadata as it was found last.
    pub(super) fn known(&self) -> Option<AuthorizationServerMetadata> {
        self.shared.lock().found.as_ref().map(|found| found.metadata.clone())
    }

    /// What the last attempt failed of, and how long until the next.
    pub(super) fn trouble(&self) -> Option<(Arc<FetchError>, Duration)> {
        let trouble = self.shared.lock().trouble.clone()?;
        Some((trouble.error, trouble.retry_at.saturating_duration_since(Instant::now())))
    }

    /// What it names does not answer: it is found anew by the next who asks, unless that has just been tried.
    pub(super) fn doubt(&self) {
        let now = Instant::now();
        if let Some(found) = self.shared.lock().found.as_mut()
            && now.saturating_duration_since(found.asked_at) >= RETRY
        {
            (found.fresh_until, found.is_doubted) = (now, true);
        }
    }

    async fn find(
        shared: &Arc<Shared>,
        flights: &SingleFlight<(), Result<AuthorizationServerMetadata, Arc<FetchError>>>,
    ) -> Result<AuthorizationServerMetadata, Arc<FetchError>> {
        let flying = Arc::clone(shared);
        let found = flights.join((), DISCOVERY_LIMIT, || async move {
            match flying.discovery.discover(flying.client.as_ref()).await {
                Ok(discovered) => Ok(flying.keep(discovered)),
                Err(error) => Err(flying.despair(error)),
            }
        });
        let interrupted = || FetchError::new(FetchErrorKind::Interrupted, shared.discovery.issuer.as_str());
        found.await.unwrap_or_else(|| Err(interrupted().into()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes metadata for true from now on. What it lacks this time is taken from what was known, for a while.
    fn keep(&self, discovered: Discovered) -> AuthorizationServerMetadata {
        let Discovered { metadata, is_complete } = discovered;
        let (now, mut state) = (Instant::now(), self.lock());
        let metadata = match &state.found {
            Some(known) if !is_complete => metadata.completed_by(&known.metadata).unwrap_or(metadata),
            _ => metadata,
        };
        let lifetime = if is_complete { LIFETIME } else { RETRY };
        let lifetime = lifetime.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0));
        let fresh_until = now.checked_add(lifetime).unwrap_or(now);
        let found = Found { metadata: metadata.clone(), asked_at: now, fresh_until, is_doubted: false };
        let has_failed = state.trouble.is_some();
        *state = State { found: Some(found), trouble: None };
        drop(state);
        if has_failed {
            let issuer = self.discovery.issuer.as_str();
            tracing::info!(target: "mcp_bearer::keys", issuer, "metadata available again");
        }
        metadata
    }

    fn despair(&self, error: FetchError) -> Arc<FetchError> {
        let (now, error, mut state) = (Instant::now(), Arc::new(error), self.lock());
        let failures = state.trouble.as_ref().map_or(0, |trouble| trouble.failures.saturating_add(1));
        let ceiling = FIRST_BACK_OFF.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(RETRY);
        let pause = ceiling.mul_f64(fastrand::f64()).max(MIN_BACK_OFF);
        let asked = error.retry_after().unwrap_or_default().min(RETRY);
        let later = |by: Duration| now.checked_add(by).unwrap_or(now);
        let (retry_at, request_at) = (later(pause.max(asked)), later(asked.max(REQUEST_RETRY)));
        state.trouble = Some(Trouble { error: Arc::clone(&error), failures: failures.min(31), retry_at, request_at });
        if let Some(found) = &mut state.found {
            let fresh_until = now.checked_add(RETRY).unwrap_or(now);
            *found = Found { asked_at: now, fresh_until, is_doubted: false, metadata: found.metadata.clone() };
        }
        drop(state);
        self.log(&error);
        error
    }

    fn log(&self, error: &Arc<FetchError>) {
        let (issuer, cause) = (self.discovery.issuer.as_str(), Cause::new(error));
        let of: Box<str> = issuer.into();
        let is_shown = is_shown(&self.events, "metadata", move |summary| {
            let Summary { cause, events, hidden } = summary;
            tracing::warn!(target: "mcp_bearer::keys", issuer = &*of, cause, count = events, hidden,
                "metadata could not be fetched many times within a minute: only the first appear above `debug`");
        });
        if error.kind() == FetchErrorKind::IssuerMismatch {
            limited!(is_shown, error, target: "mcp_bearer::keys", issuer, %cause,
                "metadata names another issuer than the configured one");
        } else {
            limited!(is_shown, warn, target: "mcp_bearer::keys", issuer, %cause, "metadata not available");
        }
    }
}

/// For how long metadata is taken for true: it changes when a server moves.
const LIFETIME: Duration = Duration::from_secs(3600);
/// When metadata is asked for again after that failed, or brought less than is needed: a server that hangs must not hold
/// up every fetch of its keys.
const RETRY: Duration = Duration::from_secs(60);
/// By how much chance lengthens or shortens that.
const JITTER: f64 = 0.1;
/// The pause after a first failure where nothing is known yet, at most; it doubles up to `RETRY`.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// How long after a failure a request may start an attempt where nothing is known, whatever the back-off.
const REQUEST_RETRY: Duration = Duration::from_secs(1);
/// The shortest pause, however the dice fall.
const MIN_BACK_OFF: Duration = Duration::from_millis(250);
/// Three documents, 5 s each, and a little.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(16);
