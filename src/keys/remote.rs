//! Runs [`refresh`](super::refresh) over an HTTP client: fetches, caches and selects keys.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::fetch::{Fetched, KeySetFetcher, Validators};
use super::refresh::{Action, FETCH_LIMIT, Fetch, Refresh};
use super::{FoundKeys, KeyError, RefreshPolicy, SeededKeys};
use crate::events::{Event, Failed, KeySetFetched, Severity, VerificationPurpose};
use crate::http_client::{FetchError, FetchErrorKind, SingleFlight, catch_panic};
use crate::jose::{Algorithm, JwkSet, KeyName, Selection, UnusableEntry};

/// The key set of one issuer: fetched when it is needed, cached, and refreshed.
pub(crate) struct RemoteKeys {
    shared: Arc<SharedKeys>,
    flights: SingleFlight<Fetch, ()>,
}

struct SharedKeys {
    fetcher: KeySetFetcher,
    /// Replaced as a whole while `state` is locked. Readers take no lock.
    snapshot: ArcSwapOption<Snapshot>,
    /// Locked for a few instructions, never across an await.
    state: Mutex<KeysState>,
}

#[derive(Clone)]
struct Snapshot {
    keys: Arc<JwkSet>,
    validators: Option<Arc<Validators>>,
    /// The number of this set. A set that is confirmed (304) keeps its number.
    generation: u64,
    /// Until when a known key may be used without asking `state`. A reader that loads one pointer gets the set and its own time,
    /// and never the time of its successor. So it accepts no token with a key of a set that has expired.
    quiet_until: Instant,
    /// Whether the set was not fetched from the issuer.
    is_seeded: bool,
}

/// A key set that is used until the first fetch.
pub(crate) struct KeySeed {
    pub(crate) keys: Arc<JwkSet>,
    /// How long it may be used if no fetch succeeds.
    pub(crate) usable_for: Duration,
}

struct KeysState {
    refresh: Refresh,
    /// The number of the last set.
    generation: u64,
    last_error: Option<Arc<FetchError>>,
}

impl RemoteKeys {
    pub(crate) fn new(fetcher: KeySetFetcher, policy: RefreshPolicy, seed: Option<KeySeed>) -> Self {
        let (mut refresh, now, generation) = (Refresh::new(policy), Instant::now(), 0);
        let snapshot = seed.map(|KeySeed { keys, usable_for }| {
            fetcher.unusable.report(&fetcher.events, &keys);
            refresh.seed(usable_for, now.into_std());
            Arc::new(Snapshot { keys, validators: None, generation, quiet_until: now, is_seeded: true })
        });
        let state = Mutex::new(KeysState { refresh, generation, last_error: None });
        let shared = SharedKeys { fetcher, snapshot: ArcSwapOption::new(snapshot), state };
        Self { shared: Arc::new(shared), flights: SingleFlight::new() }
    }

    /// The result, if it is known without waiting. Nearly every request ends here. It takes no lock.
    pub(super) fn find_now(&self, algorithm: Algorithm, name: &KeyName<'_>) -> Option<Result<FoundKeys, KeyError>> {
        let snapshot = self.shared.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        let selection = snapshot.keys.select(algorithm, name);
        let is_known = match selection {
            Selection::Keys { .. } => true,
            Selection::Unusable | Selection::Unfit => !snapshot.is_seeded,
            Selection::Unknown => false,
        };
        if !is_known {
            return None;
        }
        (Instant::now() < snapshot.quiet_until).then(|| snapshot.found(&selection))
    }

    /// The number of the set that is used at `now` without waiting.
    pub(super) fn generation(&self, now: Instant) -> Option<u64> {
        let snapshot = self.shared.snapshot.load();
        snapshot.as_ref().filter(|snapshot| now < snapshot.quiet_until).map(|snapshot| snapshot.generation)
    }

    pub(super) async fn find(
        &self,
        algorithm: Algorithm,
        name: &KeyName<'_>,
        seeded: SeededKeys,
        purpose: VerificationPurpose,
    ) -> Result<FoundKeys, KeyError> {
        // Fetches and timers need a tokio runtime.
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(self.unavailable());
        }
        let now = Instant::now().into_std();
        let mut request = match purpose {
            VerificationPurpose::Request => self.shared.lock().refresh.request(now),
            VerificationPurpose::Explanation => self.shared.lock().refresh.explanation(now),
        };
        for _ in 0..MAX_ROUNDS {
            // One lock for the look at the set and the decision, so that no fetch ends in between.
            let (found, action, running) = {
                let mut state = self.shared.lock();
                let snapshot = self.shared.snapshot.load();
                let selection = snapshot.as_ref().map(|snapshot| snapshot.keys.select(algorithm, name));
                let now = Instant::now();
                let is_seeded = state.refresh.is_seeded();
                let is_known = match &selection {
                    None | Some(Selection::Unknown) => false,
                    Some(Selection::Keys { .. }) => !is_seeded || seeded == SeededKeys::Accepted,
                    // A key that cannot be used is known too. It does not cause a fetch, unless the set is seeded.
                    Some(Selection::Unusable | Selection::Unfit) => !is_seeded,
                };
                let action = if is_known {
                    state.refresh.ask_known(request, now.into_std())
                } else {
                    state.refresh.ask_unknown(&missing_key(algorithm, name), request, now.into_std())
                };
                self.shared.publish_quiet(&state, now);
                let found = snapshot.as_ref().zip(selection.as_ref()).map(|(set, selection)| set.found(selection));
                (found.unwrap_or(Err(KeyError::Unknown)), action, state.refresh.running)
            };
            match action {
                Action::Serve { .. } => {
                    self.start(running);
                    return found;
                }
                Action::Wait { limit, .. } => request.waited = !self.wait(running, limit).await,
                Action::Pause { limit } => tokio::time::sleep(limit).await,
                Action::Refuse => return Err(KeyError::Unknown),
                Action::Unavailable => return Err(self.unavailable()),
            }
        }
        Err(self.unavailable())
    }

    /// Waits until there is a usable key set, or until one fetch has failed.
    pub(crate) async fn warm_up(&self) -> Result<(), KeyError> {
        for _ in 0..MAX_ROUNDS {
            match self.ask_any() {
                (Action::Serve { .. }, running) => {
                    self.start(running);
                    return Ok(());
                }
                (Action::Wait { .. }, running) => _ = self.wait(running, FETCH_LIMIT).await,
                (Action::Pause { .. } | Action::Refuse | Action::Unavailable, _) => break,
            }
        }
        Err(self.unavailable())
    }

    /// The action of a caller without a token, and the running fetch.
    fn ask_any(&self) -> (Action, Option<Fetch>) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let action = state.refresh.ask_any(now.into_std());
        self.shared.publish_quiet(&state, now);
        (action, state.refresh.running)
    }

    /// Makes sure that the running fetch has a task, also if the runtime of its first task has ended.
    fn start(&self, running: Option<Fetch>) {
        if let Some(fetch) = running {
            self.flights.start(fetch, || self.shared.fetch_in_span(fetch));
        }
    }

    /// Waits for the end of the running fetch, which the first caller starts. `false` if that takes longer than `limit`.
    async fn wait(&self, running: Option<Fetch>, limit: Duration) -> bool {
        let Some(fetch) = running else { return false };
        self.flights.join(fetch, limit, || self.shared.fetch_in_span(fetch)).await.is_some()
    }

    /// Whether there is a key set that may be used.
    pub(crate) fn is_usable(&self) -> bool {
        self.shared.lock().refresh.is_usable(Instant::now().into_std())
    }

    /// Whether the set was not fetched from the issuer yet.
    pub(crate) fn is_seeded(&self) -> bool {
        self.shared.lock().refresh.is_seeded()
    }

    /// When the set was fetched or confirmed, and until when it is fresh. `None` for a seeded set.
    pub(crate) fn times(&self) -> Option<(Instant, Instant)> {
        let (fetched_at, fresh_until) = self.shared.lock().refresh.times()?;
        Some((fetched_at.into(), fresh_until.into()))
    }

    /// How long until a server without traffic has to call [`warm_up`](Self::warm_up).
    pub(crate) fn due_in(&self) -> Duration {
        self.shared.lock().refresh.due_in(Instant::now().into_std())
    }

    /// How long until the next fetch is allowed.
    pub(crate) fn back_off(&self) -> Duration {
        self.shared.lock().refresh.back_off(Instant::now().into_std())
    }

    /// How many keys the set has.
    pub(crate) fn key_count(&self) -> usize {
        self.shared.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.keys.keys().len())
    }

    /// The published keys that cannot be used, at most `max` of them, and the number of all.
    pub(crate) fn unusable_keys(&self, max: usize) -> (Vec<UnusableEntry>, usize) {
        self.shared.fetcher.unusable.last(max)
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        self.shared.lock().last_error.clone()
    }

    fn unavailable(&self) -> KeyError {
        let state = self.shared.lock();
        KeyError::Unavailable {
            retry_after: state.refresh.retry_in(Instant::now().into_std()),
            source: state.last_error.clone(),
        }
    }
}

impl Snapshot {
    fn found(&self, selection: &Selection<'_>) -> Result<FoundKeys, KeyError> {
        let mut found = FoundKeys::new(selection, Some(self.generation))?;
        found.is_seeded = self.is_seeded;
        Ok(found)
    }
}

impl SharedKeys {
    /// Fetches in a span, whose parent is the span of the request that starts the fetch.
    fn fetch_in_span(self: &Arc<Self>, fetch: Fetch) -> impl Future<Output = ()> + use<> {
        let issuer = &*self.fetcher.events.issuer;
        let span = tracing::debug_span!(target: "mcp_bearer::keys", "fetch_key_set", issuer);
        Arc::clone(self).run(fetch).instrument(span)
    }

    fn lock(&self) -> MutexGuard<'_, KeysState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `state` is locked, so the snapshot is the one that it knows of.
    fn publish_quiet(&self, state: &KeysState, now: Instant) {
        let quiet_until = Instant::from_std(state.refresh.quiet_until(now.into_std()));
        if let Some(snapshot) = self.snapshot.load().as_deref().filter(|snapshot| snapshot.quiet_until != quiet_until) {
            self.snapshot.store(Some(Arc::new(Snapshot { quiet_until, ..snapshot.clone() })));
        }
    }

    /// Performs a fetch and commits its result. If its runtime ends, the next caller performs it again.
    async fn run(self: Arc<Self>, fetch: Fetch) {
        // A caller may join a fetch that has just ended.
        if self.lock().refresh.running != Some(fetch) {
            return;
        }
        let started_at = Instant::now();
        let snapshot = self.snapshot.load_full();
        let validators = snapshot.as_ref().and_then(|snapshot| snapshot.validators.as_deref());
        let fetched = tokio::time::timeout(FETCH_LIMIT, self.fetcher.fetch(fetch.forced, validators));
        let interrupted = || FetchError::new(FetchErrorKind::Interrupted, &self.fetcher.events.issuer);
        let result = match catch_panic("the fetch of the key set", fetched).await {
            Ok(fetched) => fetched.unwrap_or_else(|_| Err(interrupted().into())),
            Err(panicked) => Err(interrupted().with_source(panicked).into()),
        };
        self.commit(fetch, result, started_at);
    }

    fn commit(&self, fetch: Fetch, result: Result<Fetched, Arc<FetchError>>, started_at: Instant) {
        let (now, jitter) = (Instant::now(), fastrand::f64());
        let mut state = self.lock();
        let had_failed = state.last_error.is_some();
        let is_current = match &result {
            Ok(fetched) => state.refresh.succeeded(fetch, fetched.lifetime, jitter, now.into_std()),
            Err(error) => state.refresh.failed(fetch, error.retry_after(), jitter, now.into_std()),
        };
        if !is_current {
            return;
        }
        state.last_error = result.as_ref().err().cloned();
        if let Ok(Fetched { modified: Some((keys, validators)), .. }) = &result {
            state.generation = state.generation.wrapping_add(1);
            let (keys, validators, generation) = (Arc::clone(keys), validators.clone(), state.generation);
            self.snapshot.store(Some(Arc::new(Snapshot {
                keys,
                validators,
                generation,
                quiet_until: now,
                is_seeded: false,
            })));
        }
        self.publish_quiet(&state, now);
        let usable_until = state.refresh.usable_until();
        drop(state);
        let usable_for = usable_until.map(|until| until.saturating_duration_since(now.into_std())).unwrap_or_default();
        let (issuer, duration) = (&*self.fetcher.events.issuer, now.saturating_duration_since(started_at));
        self.fetcher.events.emit(&match &result {
            Ok(fetched) => {
                let snapshot = self.snapshot.load();
                let keys = snapshot.as_ref().map(|snapshot| &snapshot.keys);
                Event::KeySetFetched(KeySetFetched {
                    issuer,
                    keys: keys.map_or(0, |keys| keys.keys().len()),
                    unusable: self.fetcher.unusable.last(0).1,
                    skipped: keys.map_or(0, |keys| keys.skipped().len()),
                    is_modified: fetched.modified.is_some(),
                    is_recovered: had_failed,
                    usable_for,
                    duration,
                })
            }
            Err(error) => {
                // The failed fetch of the metadata has its own event.
                let is_reported = error.is_about_metadata();
                Event::KeySetFailed(Failed { issuer, error, severity: Severity::Outage, duration, is_reported })
            }
        });
    }
}

/// The name of an unknown key of a token: its `kid`, else its thumbprints, else the algorithm.
fn missing_key(algorithm: Algorithm, name: &KeyName<'_>) -> Cow<'static, str> {
    match (name.kid.as_deref(), name.x5t_s256.as_deref(), name.x5t.as_deref()) {
        (Some(kid), ..) => Cow::Owned(["kid ", kid].concat()),
        (None, None, None) => Cow::Borrowed(algorithm.name()),
        (None, sha256, sha1) => {
            Cow::Owned(["x5t#S256 ", sha256.unwrap_or_default(), " x5t ", sha1.unwrap_or_default()].concat())
        }
    }
}

/// How often a request may wait: for a running fetch, for the end of a pause, for the next fetch, and once more.
const MAX_ROUNDS: usize = 4;

#[cfg(test)]
mod swap_tests;
#[cfg(test)]
mod tests;
