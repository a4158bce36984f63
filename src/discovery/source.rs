use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::{AuthorizationServerMetadata, Discovery, EndpointUrl};
use crate::events::{Event, Failed, IssuerEvents, IssuerMismatch, MetadataFetched, Severity};
use crate::http_client::{BackOff, DocumentError, FetchError, FetchErrorKind, HttpClient, SingleFlight, catch_panic};

/// Where an endpoint of an issuer is found.
pub(crate) enum EndpointSource {
    /// The operator configured its URL.
    Configured(EndpointUrl),
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
    cache: Mutex<MetadataCache>,
    events: Arc<IssuerEvents>,
}

/// The metadata of the last successful fetch, and the result of the last fetch.
#[derive(Clone, Default)]
struct MetadataCache {
    known: Option<CachedMetadata>,
    /// The error of the last fetch, if it failed.
    error: Option<Arc<FetchError>>,
    back_off: BackOff,
}

#[derive(Clone)]
struct CachedMetadata {
    metadata: AuthorizationServerMetadata,
    /// When the last fetch ended, whether it succeeded or failed.
    tried_at: Instant,
    fresh_until: Instant,
    /// An endpoint in it responds as if it had moved.
    is_suspect: bool,
}

impl MetadataSource {
    pub(crate) fn new(discovery: Discovery, client: Arc<dyn HttpClient>, events: Arc<IssuerEvents>) -> Self {
        let shared = SharedSource { discovery, client, cache: Mutex::default(), events };
        Self { shared: Arc::new(shared), flights: SingleFlight::new() }
    }

    /// The metadata for a caller that is not a request. It may wait for a fetch, and has its own back-off.
    pub(crate) async fn for_background(&self) -> FetchResult {
        let known = self.shared.lock().known.clone();
        match known {
            Some(known) if Instant::now() < known.fresh_until => Ok(known.metadata),
            Some(known) => self.fetch().await.or(Ok(known.metadata)),
            None => self.fetch().await,
        }
    }

    /// The metadata for a request. It waits for a fetch only if nothing is known, or if what is known is suspect.
    pub(crate) async fn for_request(&self) -> FetchResult {
        let MetadataCache { known, error, back_off } = self.shared.lock().clone();
        let now = Instant::now();
        let may_fetch = back_off.time_left(now.into_std()).is_zero();
        match (known, error) {
            (Some(known), _) if known.is_suspect && may_fetch => self.fetch().await.or(Ok(known.metadata)),
            (Some(known), _) => {
                if may_fetch && now >= known.fresh_until {
                    self.flights.start((), || self.shared.fetch_in_span());
                }
                Ok(known.metadata)
            }
            (None, Some(error)) if !may_fetch => {
                let Some(pause) = back_off.time_left_for_request(now.into_std()) else { return Err(error) };
                tokio::time::sleep(pause).await;
                // Another request may have fetched during the pause.
                let MetadataCache { known, error: latest, .. } = self.shared.lock().clone();
                match (known, latest.filter(|latest| !Arc::ptr_eq(latest, &error))) {
                    (Some(known), _) => Ok(known.metadata),
                    (None, Some(latest)) => Err(latest),
                    (None, None) => self.fetch().await,
                }
            }
            (None, _) => self.fetch().await,
        }
    }

    /// Fetches the metadata, even if it is fresh.
    pub(crate) async fn fetch(&self) -> FetchResult {
        let fetched = self.flights.join((), DISCOVERY_LIMIT, || self.shared.fetch_in_span()).await;
        fetched.unwrap_or_else(|| Err(self.shared.interrupted().into()))
    }

    /// The metadata of the last successful fetch.
    pub(crate) fn known(&self) -> Option<AuthorizationServerMetadata> {
        self.shared.lock().known.as_ref().map(|known| known.metadata.clone())
    }

    /// The error of the last fetch, if it failed, and how long no fetch may start in the background.
    pub(crate) fn last_error(&self) -> Option<(Arc<FetchError>, Duration)> {
        let cache = self.shared.lock();
        cache.error.clone().map(|error| (error, cache.back_off.time_left(Instant::now().into_std())))
    }

    /// The time until a request may fetch the metadata, if the last fetch failed.
    pub(crate) fn request_pause(&self) -> Option<Duration> {
        let cache = self.shared.lock();
        cache.error.as_ref().map(|_| cache.back_off.request_pause(Instant::now().into_std()))
    }

    /// An endpoint in the metadata responds as if it had moved. The next request fetches the metadata again, unless that has
    /// just been tried.
    pub(crate) fn suspect(&self) {
        let now = Instant::now();
        if let Some(known) = &mut self.shared.lock().known
            && now.saturating_duration_since(known.tried_at) >= RETRY
        {
            (known.fresh_until, known.is_suspect) = (now, true);
        }
    }
}

impl SharedSource {
    /// Fetches in a span, whose parent is the span of the request that starts the fetch.
    fn fetch_in_span(self: &Arc<Self>) -> impl Future<Output = FetchResult> + use<> {
        let issuer = &*self.events.issuer;
        let span = tracing::debug_span!(target: "mcp_bearer::keys", "fetch_metadata", issuer);
        Arc::clone(self).fetch().instrument(span)
    }

    fn lock(&self) -> MutexGuard<'_, MetadataCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self) -> FetchError {
        FetchError::new(FetchErrorKind::Interrupted, self.discovery.issuer.as_str()).for_metadata([])
    }

    async fn fetch(self: Arc<Self>) -> FetchResult {
        let started_at = Instant::now();
        // `map_metadata` is code of the application.
        let fetched = catch_panic("the discovery", self.discovery.run(self.client.as_ref())).await;
        let fetched = fetched.unwrap_or_else(|panicked| Err(self.interrupted().with_source(panicked)));
        match fetched {
            Ok((metadata, is_complete)) => Ok(self.commit(metadata, is_complete, started_at)),
            Err(error) => {
                let (error, now) = (Arc::new(error), Instant::now());
                let mut cache = self.lock();
                cache.back_off.fail(error.retry_after(), fastrand::f64(), now.into_std());
                cache.error = Some(Arc::clone(&error));
                // Known metadata stays in use.
                if let Some(known) = &mut cache.known {
                    (known.tried_at, known.is_suspect) = (now, false);
                    known.fresh_until = now.checked_add(RETRY).unwrap_or(now);
                }
                drop(cache);
                self.report(&error, started_at);
                Err(error)
            }
        }
    }

    /// Caches fetched metadata. If it is incomplete, the missing members are taken from the last metadata for a while.
    fn commit(
        &self,
        fetched: AuthorizationServerMetadata,
        is_complete: bool,
        started_at: Instant,
    ) -> AuthorizationServerMetadata {
        let mut cache = self.lock();
        let had_failed = cache.error.is_some();
        let metadata = match &cache.known {
            Some(known) if !is_complete => fetched.completed_by(&known.metadata),
            _ => fetched,
        };
        let (now, lifetime) = (Instant::now(), if is_complete { LIFETIME } else { RETRY });
        let lifetime = lifetime.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0));
        let fresh_until = now.checked_add(lifetime).unwrap_or(now);
        let known = CachedMetadata { metadata: metadata.clone(), tried_at: now, fresh_until, is_suspect: false };
        *cache = MetadataCache { known: Some(known), ..MetadataCache::default() };
        drop(cache);
        self.events.emit(&Event::MetadataFetched(MetadataFetched {
            issuer: &self.events.issuer,
            is_recovered: had_failed,
            duration: started_at.elapsed(),
        }));
        metadata
    }

    fn report(&self, error: &Arc<FetchError>, started_at: Instant) {
        let (issuer, duration) = (&*self.events.issuer, started_at.elapsed());
        if error.kind() == FetchErrorKind::IssuerMismatch {
            // The only byte of a document in a log line: without it, nobody can see the difference of two names. It is
            // escaped and cut to 128 characters.
            let found = error.document().and_then(DocumentError::value).unwrap_or_default();
            let expected = &*self.discovery.expected_issuer;
            self.events.emit(&Event::IssuerMismatch(IssuerMismatch { issuer, expected, found, error, duration }));
        } else {
            let severity = Severity::Outage;
            self.events.emit(&Event::MetadataFailed(Failed { issuer, error, severity, duration, is_reported: false }));
        }
    }
}

/// Three documents of 5 s each, and one second more.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(16);
/// How long metadata is fresh: it changes only when a server moves.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How long metadata is fresh after a fetch that failed or was incomplete. A server that hangs must not delay every fetch of
/// its key set.
const RETRY: Duration = Duration::from_secs(60);
/// The largest part of a lifetime that the jitter adds or removes.
const JITTER: f64 = 0.1;
