use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::policy::{MetadataCache, NextStep};
use super::{AuthorizationServerMetadata, Discovery};
use crate::event_limit::{EventLimit, EventSummary};
use crate::http_client::{FetchError, FetchErrorKind, HttpClient, SingleFlight, catch_panic};
use crate::log::{Cause, is_shown, limited};

/// Where an endpoint of an issuer is found.
pub(crate) enum EndpointSource {
    /// The operator configured its URL.
    Configured(Url),
    /// The issuer's metadata has its URL.
    Discovered(Arc<MetadataSource>),
}

/// The metadata of one issuer for all callers that need a part of it. It is fetched when it is needed, and cached.
pub(crate) struct MetadataSource {
    shared: Arc<SharedSource>,
    flights: SingleFlight<(), FetchResult>,
}

type FetchResult = Result<AuthorizationServerMetadata, Arc<FetchError>>;

struct SharedSource {
    discovery: Discovery,
    client: Arc<dyn HttpClient>,
    /// Locked for a few instructions.
    cache: Mutex<MetadataCache>,
    /// Limits the log lines about failures.
    events: Arc<EventLimit>,
}

impl MetadataSource {
    pub(crate) fn new(discovery: Discovery, client: Arc<dyn HttpClient>) -> Self {
        let shared = SharedSource { discovery, client, cache: Mutex::default(), events: Arc::default() };
        Self { shared: Arc::new(shared), flights: SingleFlight::new() }
    }

    /// The metadata for a background task: if it is not fresh, it is fetched first.
    pub(crate) async fn for_background(&self) -> FetchResult {
        let step = self.shared.lock().for_background(Instant::now().into_std());
        self.follow(step).await
    }

    /// The metadata for a request: if it is known but not fresh, it is fetched in the background.
    pub(crate) async fn for_request(&self) -> FetchResult {
        let step = self.shared.lock().for_request(Instant::now().into_std());
        let NextStep::Pause { time, error } = step else { return self.follow(step).await };
        tokio::time::sleep(time).await;
        let step = self.shared.lock().after_pause(&error);
        self.follow(step).await
    }

    async fn follow(&self, step: NextStep) -> FetchResult {
        match step {
            NextStep::Use { metadata, refresh } => {
                if refresh {
                    self.flights.start((), || Arc::clone(&self.shared).fetch());
                }
                Ok(metadata)
            }
            NextStep::Fetch { fallback } => {
                let fetched = self.fetch().await;
                fetched.or_else(|error| fallback.ok_or(error))
            }
            NextStep::Pause { error, .. } | NextStep::Fail(error) => Err(error),
        }
    }

    /// Fetches the metadata, even if it is fresh.
    pub(crate) async fn fetch(&self) -> FetchResult {
        let fetched = self.flights.join((), DISCOVERY_LIMIT, || Arc::clone(&self.shared).fetch()).await;
        fetched.unwrap_or_else(|| Err(self.shared.interrupted().into()))
    }

    /// The metadata of the last successful fetch.
    pub(crate) fn known(&self) -> Option<AuthorizationServerMetadata> {
        self.shared.lock().known().cloned()
    }

    /// The error of the last fetch, if it failed, and how long no fetch may start in the background.
    pub(crate) fn last_error(&self) -> Option<(Arc<FetchError>, Duration)> {
        self.shared.lock().last_error(Instant::now().into_std())
    }

    /// An endpoint in the metadata responds as if it had moved. The next request fetches the metadata again, unless that has
    /// just been tried.
    pub(crate) fn suspect(&self) {
        self.shared.lock().suspect(Instant::now().into_std());
    }
}

impl SharedSource {
    fn lock(&self) -> MutexGuard<'_, MetadataCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self) -> FetchError {
        FetchError::new(FetchErrorKind::Interrupted, self.discovery.issuer.as_str())
    }

    async fn fetch(self: Arc<Self>) -> FetchResult {
        // `map_metadata` is code of the application.
        let fetched = catch_panic("the discovery", self.discovery.run(self.client.as_ref())).await;
        let fetched = fetched.unwrap_or_else(|panicked| Err(self.interrupted().with_source(panicked)));
        let mut cache = self.lock();
        let (now, jitter) = (Instant::now().into_std(), fastrand::f64());
        match fetched {
            Ok((metadata, is_complete)) => {
                let had_failed = cache.last_error(now).is_some();
                let metadata = cache.succeeded(metadata, is_complete, jitter, now);
                drop(cache);
                if had_failed {
                    let issuer = self.discovery.issuer.as_str();
                    tracing::info!(target: "mcp_bearer::keys", issuer, "metadata available again");
                }
                Ok(metadata)
            }
            Err(error) => {
                let error = Arc::new(error);
                cache.failed(Arc::clone(&error), jitter, now);
                drop(cache);
                self.log(&error);
                Err(error)
            }
        }
    }

    fn log(&self, error: &Arc<FetchError>) {
        let (issuer, cause) = (self.discovery.issuer.as_str(), Cause::new(error));
        let owned: Box<str> = issuer.into();
        let is_shown = is_shown(&self.events, "metadata", move |summary| {
            let EventSummary { cause, events, hidden } = summary;
            tracing::warn!(target: "mcp_bearer::keys", issuer = &*owned, cause, count = events, hidden,
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

/// Three documents of 5 s each, and one second more.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(16);
