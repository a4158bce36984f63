//! Runs [`refresh`](super::refresh) over an HTTP client: fetches, caches and selects keys.

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use super::fetch::{FetchRequest, Fetched, KeySetFetcher, Validators};
use super::refresh::{Action, FETCH_LIMIT, Fetch, Refresh};
use super::{FoundKeys, KeyError, RefreshPolicy};
use crate::event_limit::{EventLimit, EventSummary};
use crate::http_client::{FetchError, FetchErrorKind, SingleFlight};
use crate::jose::{Algorithm, JwkSet, KeyName, Selection};
use crate::log::{Cause, is_shown, limited};

/// The key set of one issuer: fetched when it is needed, cached, and refreshed.
pub(crate) struct RemoteKeys {
    shared: Arc<SharedKeys>,
    flights: SingleFlight<Fetch, ()>,
}

struct SharedKeys {
    fetcher: KeySetFetcher,
    /// Replaced as a whole while `state` is locked. Readers take no lock.
    snapshot: ArcSwapOption<Snapshot>,
    epoch: Instant,
    /// Locked for a few instructions, never across an await.
    state: Mutex<KeysState>,
    /// Limits the log lines about failures.
    events: Arc<EventLimit>,
}

struct Snapshot {
    keys: Arc<JwkSet>,
    validators: Option<Validators>,
    /// The number of this set. A set that is confirmed (304) keeps its number.
    generation: u64,
    /// Until when, in nanoseconds after `epoch`, a known key may be used without asking `state`. 0 means never.
    ///
    /// It is a part of the snapshot, so that a reader that loads one pointer gets the set and its own time. If both were
    /// loaded separately, a reader could combine an old set with the time of its successor, and accept a token with a key
    /// of a set that has expired.
    quiet_until: AtomicU64,
}

struct KeysState {
    refresh: Refresh,
    /// The number of the last set.
    generation: u64,
    last_error: Option<Arc<FetchError>>,
}

impl RemoteKeys {
    pub(crate) fn new(fetcher: KeySetFetcher, policy: RefreshPolicy) -> Self {
        let now = Instant::now();
        let state = KeysState { refresh: Refresh::new(policy), generation: 0, last_error: None };
        let shared = SharedKeys {
            fetcher,
            snapshot: ArcSwapOption::empty(),
            epoch: now,
            state: Mutex::new(state),
            events: Arc::default(),
        };
        Self { shared: Arc::new(shared), flights: SingleFlight::new() }
    }

    /// The result, if it is known without waiting. Nearly every request ends here. It takes no lock.
    pub(super) fn find_now(&self, algorithm: Algorithm, name: KeyName<'_>) -> Option<Result<FoundKeys, KeyError>> {
        let snapshot = self.shared.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        let selection = snapshot.keys.select(algorithm, name);
        if matches!(selection, Selection::Unknown) {
            return None;
        }
        let found = || FoundKeys::new(&selection, Some(snapshot.generation));
        self.shared.is_quiet(snapshot, Instant::now()).then(found)
    }

    /// The number of the set that is used at `now` without waiting.
    pub(super) fn generation(&self, now: Instant) -> Option<u64> {
        let snapshot = self.shared.snapshot.load();
        snapshot.as_ref().filter(|snapshot| self.shared.is_quiet(snapshot, now)).map(|snapshot| snapshot.generation)
    }

    pub(super) async fn find(&self, algorithm: Algorithm, name: KeyName<'_>) -> Result<FoundKeys, KeyError> {
        // Fetches and timers need a tokio runtime.
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(self.unavailable());
        }
        let mut request = self.shared.lock().refresh.request(Instant::now().into_std());
        for _ in 0..MAX_ROUNDS {
            // One lock for the look at the set and the decision, so that no fetch ends in between.
            let (found, action, running) = {
                let mut state = self.shared.lock();
                let snapshot = self.shared.snapshot.load();
                let selection = snapshot.as_ref().map(|snapshot| snapshot.keys.select(algorithm, name));
                let now = Instant::now();
                let action = match &selection {
                    None | Some(Selection::Unknown) => {
                        state.refresh.ask_unknown(&missing_key(algorithm, name), request, now.into_std())
                    }
                    // A key that cannot be used is known too. It does not cause a fetch.
                    Some(Selection::Keys(_) | Selection::Unusable | Selection::Unfit) => {
                        state.refresh.ask_known(request, now.into_std())
                    }
                };
                self.shared.publish_quiet(&state, now);
                let generation = snapshot.as_ref().map(|snapshot| snapshot.generation);
                let found = selection.as_ref().map(|selection| FoundKeys::new(selection, generation));
                (found.unwrap_or(Err(KeyError::Unknown)), action, state.refresh.running())
            };
            match action {
                Action::Serve { start } => {
                    self.start(start);
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
                (Action::Serve { start }, _) => {
                    self.start(start);
                    return Ok(());
                }
                (Action::Wait { .. }, running) => _ = self.wait(running, FETCH_LIMIT).await,
                (Action::Pause { .. } | Action::Refuse | Action::Unavailable, _) => break,
            }
        }
        Err(self.unavailable())
    }

    /// Starts a fetch in the background if one is due. Without this, an idle server that fails its readiness probe would
    /// get no traffic, and without traffic no keys.
    pub(crate) fn start_fetch_if_due(&self) {
        // Outside a runtime, a fetch that cannot start would count as a failure of the issuer.
        if tokio::runtime::Handle::try_current().is_ok()
            && let (Action::Serve { start } | Action::Wait { start, .. }, _) = self.ask_any()
        {
            self.start(start);
        }
    }

    fn ask_any(&self) -> (Action, Option<Fetch>) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let action = state.refresh.ask_any(now.into_std());
        self.shared.publish_quiet(&state, now);
        (action, state.refresh.running())
    }

    /// Starts a fetch in the background.
    fn start(&self, fetch: Option<Fetch>) {
        if let Some(fetch) = fetch {
            self.flights.start(fetch, || self.shared.run(fetch));
        }
    }

    /// Waits for the end of a fetch, which the first caller starts. `false` if that takes longer than `limit`.
    async fn wait(&self, fetch: Option<Fetch>, limit: Duration) -> bool {
        let Some(fetch) = fetch else { return false };
        self.flights.join(fetch, limit, || self.shared.run(fetch)).await.is_some()
    }

    /// Whether there is a key set that may be used.
    pub(crate) fn is_usable(&self) -> bool {
        self.shared.lock().refresh.is_usable(Instant::now().into_std())
    }

    /// How long until the next fetch is allowed.
    pub(crate) fn back_off(&self) -> Duration {
        self.shared.lock().refresh.back_off(Instant::now().into_std())
    }

    /// How many keys the set has.
    pub(crate) fn key_count(&self) -> usize {
        self.shared.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.keys.keys().len())
    }

    /// How many published keys cannot be used.
    pub(crate) fn unusable_key_count(&self) -> usize {
        self.shared.fetcher.unusable_key_count()
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        self.shared.lock().last_error.clone()
    }

    fn unavailable(&self) -> KeyError {
        let source = self.last_error();
        KeyError::Unavailable { retry_after: source.as_ref().and_then(|error| error.retry_after()), source }
    }
}

impl SharedKeys {
    fn lock(&self) -> MutexGuard<'_, KeysState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a known key may be used without asking `state`.
    fn is_quiet(&self, snapshot: &Snapshot, now: Instant) -> bool {
        // Relaxed: no other memory is read because of this value.
        self.nanos(now) < snapshot.quiet_until.load(Ordering::Relaxed)
    }

    /// `state` is locked, so the snapshot is the one that it knows of.
    fn publish_quiet(&self, state: &KeysState, now: Instant) {
        if let Some(snapshot) = self.snapshot.load().as_ref() {
            let quiet_until = state.refresh.quiet_until(now.into_std());
            snapshot.quiet_until.store(self.nanos(Instant::from_std(quiet_until)), Ordering::Relaxed);
        }
    }

    /// Performs a fetch and commits its result. A fetch that is interrupted, even before its first poll, counts as failed.
    fn run(self: &Arc<Self>, fetch: Fetch) -> impl Future<Output = ()> + Send + 'static {
        let interruption = Interruption { shared: Arc::clone(self), fetch: Some(fetch) };
        async move {
            let shared = Arc::clone(&interruption.shared);
            // A caller may join a fetch that has just ended.
            if shared.lock().refresh.running() == Some(fetch) {
                let validators = shared.snapshot.load().as_ref().and_then(|snapshot| snapshot.validators.clone());
                let request = FetchRequest { forced: fetch.forced, validators };
                let result = tokio::time::timeout(FETCH_LIMIT, shared.fetcher.fetch(request)).await;
                shared.commit(fetch, result.unwrap_or_else(|_| Err(shared.interrupted())));
            }
            interruption.disarm();
        }
    }

    fn interrupted(&self) -> Arc<FetchError> {
        FetchError::new(FetchErrorKind::Interrupted, self.fetcher.issuer()).into()
    }

    fn commit(&self, fetch: Fetch, result: Result<Fetched, Arc<FetchError>>) {
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
            let snapshot = Snapshot { keys, validators, generation, quiet_until: AtomicU64::new(0) };
            self.snapshot.store(Some(Arc::new(snapshot)));
        }
        self.publish_quiet(&state, now);
        drop(state);
        self.log(&result, had_failed);
    }

    fn log(&self, result: &Result<Fetched, Arc<FetchError>>, had_failed: bool) {
        let issuer = self.fetcher.issuer();
        if result.is_ok() && had_failed {
            tracing::info!(target: "mcp_bearer::keys", issuer, "key set available again");
        }
        match result {
            Ok(Fetched { modified: Some((keys, _)), .. }) => {
                let (count, skipped) = (keys.keys().len(), keys.skipped().len());
                tracing::debug!(target: "mcp_bearer::keys", issuer, keys = count, skipped, "key set fetched");
            }
            Ok(_) => tracing::debug!(target: "mcp_bearer::keys", issuer, "key set not modified"),
            Err(error) => {
                let cause = Cause::new(error);
                let owned: Box<str> = issuer.into();
                let is_shown = is_shown(&self.events, "key_set", move |EventSummary { cause, events, hidden }| {
                    tracing::warn!(target: "mcp_bearer::keys", issuer = &*owned, cause, count = events, hidden,
                    "the key set could not be fetched many times within a minute: only the first appear above `debug`");
                });
                limited!(is_shown, warn, target: "mcp_bearer::keys", issuer, %cause, "key set not available");
            }
        }
    }
}

/// Reports a fetch that a panic or the end of its runtime has interrupted.
struct Interruption {
    shared: Arc<SharedKeys>,
    /// `None` if the fetch was not interrupted.
    fetch: Option<Fetch>,
}

impl Interruption {
    fn disarm(mut self) {
        self.fetch = None;
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        if let Some(fetch) = self.fetch {
            self.shared.commit(fetch, Err(self.shared.interrupted()));
        }
    }
}

/// The name of an unknown key of a token: its `kid`, else its thumbprints, else the algorithm.
fn missing_key(algorithm: Algorithm, name: KeyName<'_>) -> Cow<'static, str> {
    match (name.kid, name.x5t_s256, name.x5t) {
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
