//! Runs [`refresh`](super::refresh) over a fetch: one flight at a time, detached from whoever caused it.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::Instant;

use super::refresh::{Action, FLIGHT_LIMIT, Flight, Refresh};
use super::{FoundKeys, KeyError, RefreshPolicy};
use crate::event_limit::{EventLimit, Summary};
use crate::http_client::{FetchError, FetchErrorKind};
use crate::jose::{Algorithm, JwkSet, KeyName, Selection};
use crate::log::{Cause, is_shown, limited};

/// Brings the key set of one issuer.
pub(crate) trait FetchKeySet: Send + Sync + 'static {
    fn fetch(&self, request: FetchRequest) -> FetchFuture<'_>;

    /// What the log calls it.
    fn issuer(&self) -> &str;

    /// How many keys of the last document cannot be used.
    fn unusable_keys(&self) -> usize {
        0
    }
}

pub(crate) type FetchFuture<'a> = Pin<Box<dyn Future<Output = Result<Fetched, Arc<FetchError>>> + Send + 'a>>;

#[derive(Debug, Clone, Default)]
pub(crate) struct FetchRequest {
    /// Caches on the way must not answer.
    pub(crate) forced: bool,
    /// Those of the set at hand.
    pub(crate) validators: Option<Validators>,
}

/// What a conditional request carries (RFC 9110, section 13.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// They belong to the document at this URL only.
    pub(crate) url: Box<str>,
    pub(crate) etag: Option<http::HeaderValue>,
    pub(crate) last_modified: Option<http::HeaderValue>,
}

#[derive(Debug)]
pub(crate) enum Fetched {
    Modified { keys: Arc<JwkSet>, validators: Option<Validators>, lifetime: Option<Duration> },
    NotModified { lifetime: Option<Duration> },
}

/// A key set that is fetched, kept and refreshed.
pub(crate) struct RemoteKeys {
    shared: Arc<Shared>,
}

struct Shared {
    fetch: Box<dyn FetchKeySet>,
    /// Replaced as a whole, under the lock of `state`; reading it waits for nobody.
    snapshot: ArcSwapOption<Snapshot>,
    epoch: Instant,
    /// Held for a few instructions, never across a wait.
    state: Mutex<State>,
    /// Counts the flights that ended.
    landed: watch::Sender<u64>,
    /// Bounds the log lines of failures.
    events: Arc<EventLimit>,
}

struct Snapshot {
    keys: Arc<JwkSet>,
    validators: Option<Validators>,
    /// Counts the sets; one that is confirmed (304) is no other.
    generation: u64,
    /// Until when, in nanoseconds after `epoch`, a known key may be used without asking `state`; 0 before that is known.
    ///
    /// It stands here and not beside the snapshot, so that who reads loads one pointer and can only find the
    /// time of the very set that it holds. It never exceeds the set's own death: whatever is stored between a reader's two
    /// loads, the answer is one that was right while it was worked out. Of two values beside each other a reader could take
    /// the set from before a swap and the time from after it, and accept a token by a set that is long dead.
    quiet_until: AtomicU64,
}

struct State {
    refresh: Refresh,
    /// How many sets have been brought.
    generations: u64,
    last_error: Option<Arc<FetchError>>,
}

impl RemoteKeys {
    pub(crate) fn new(fetch: impl FetchKeySet, policy: RefreshPolicy) -> Self {
        let now = Instant::now();
        let shared = Shared {
            fetch: Box::new(fetch),
            snapshot: ArcSwapOption::empty(),
            epoch: now,
            state: Mutex::new(State {
                refresh: Refresh::new(policy, now.into_std()),
                generations: 0,
                last_error: None,
            }),
            landed: watch::Sender::new(0),
            events: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The answer, if it takes no waiting: the path of nearly every request, without a lock.
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

    /// Which set serves at `now` without a question.
    pub(super) fn generation(&self, now: Instant) -> Option<u64> {
        let snapshot = self.shared.snapshot.load();
        snapshot.as_ref().filter(|snapshot| self.shared.is_quiet(snapshot, now)).map(|snapshot| snapshot.generation)
    }

    pub(super) async fn find(&self, algorithm: Algorithm, name: KeyName<'_>) -> Result<FoundKeys, KeyError> {
        // Timers need the runtime that tower servers run on.
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(self.unavailable());
        }
        let mut asker = self.shared.lock().refresh.asker(Instant::now().into_std());
        for _ in 0..MAX_ROUNDS {
            let mut landed = self.shared.landed.subscribe();
            // Decided under the lock, so that no flight lands between the look at the set and the question.
            let (found, action) = {
                let mut state = self.shared.lock();
                let snapshot = self.shared.snapshot.load();
                let selection = snapshot.as_ref().map(|snapshot| snapshot.keys.select(algorithm, name));
                let now = Instant::now();
                let action = match &selection {
                    None | Some(Selection::Unknown) => {
                        state.refresh.ask_unknown(&missing_key(algorithm, name), asker, now.into_std())
                    }
                    // A key that cannot be used is known, too: it does not cause a fetch.
                    Some(Selection::Keys(_) | Selection::Unusable | Selection::Unfit) => {
                        state.refresh.ask_known(asker, now.into_std())
                    }
                };
                self.shared.publish_quiet(&state, now);
                let generation = snapshot.as_ref().map(|snapshot| snapshot.generation);
                let found = selection.as_ref().map(|selection| FoundKeys::new(selection, generation));
                (found.unwrap_or(Err(KeyError::Unknown)), action)
            };
            match action {
                Action::Serve { start } => {
                    self.launch(start);
                    return found;
                }
                Action::Wait { start, limit } => {
                    self.launch(start);
                    asker.waited = tokio::time::timeout(limit, landed.changed()).await.is_err();
                }
                Action::Pause { limit } => _ = tokio::time::timeout(limit, landed.changed()).await,
                Action::Refuse => return Err(KeyError::Unknown),
                Action::Unavailable => return Err(self.unavailable()),
            }
        }
        Err(self.unavailable())
    }

    /// Waits until there is a set that may serve, or one attempt failed.
    pub(crate) async fn warm_up(&self) -> Result<(), KeyError> {
        for _ in 0..MAX_ROUNDS {
            let mut landed = self.shared.landed.subscribe();
            match self.ask_any() {
                Action::Serve { start } => {
                    self.launch(start);
                    return Ok(());
                }
                Action::Wait { start, .. } => {
                    self.launch(start);
                    _ = tokio::time::timeout(FLIGHT_LIMIT, landed.changed()).await;
                }
                Action::Pause { .. } | Action::Refuse | Action::Unavailable => break,
            }
        }
        Err(self.unavailable())
    }

    /// Starts a fetch behind the caller's back if one is due. Without this an idle server that fails its readiness
    /// probe would get no traffic, and without traffic no keys.
    pub(crate) fn nudge(&self) {
        // A flight that cannot take off would count as a failure of the issuer.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        if let Action::Serve { start } | Action::Wait { start, .. } = self.ask_any() {
            self.launch(start);
        }
    }

    fn ask_any(&self) -> Action {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let action = state.refresh.ask_any(now.into_std());
        self.shared.publish_quiet(&state, now);
        action
    }

    /// Whether a set is there that may serve.
    pub(crate) fn is_usable(&self) -> bool {
        self.shared.lock().refresh.is_usable(Instant::now().into_std())
    }

    /// How long until the next fetch is allowed.
    pub(crate) fn back_off(&self) -> Duration {
        self.shared.lock().refresh.back_off(Instant::now().into_std())
    }

    /// How many keys are at hand.
    pub(crate) fn key_count(&self) -> usize {
        self.shared.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.keys.keys().len())
    }

    /// How many published keys cannot be used.
    pub(crate) fn unusable_key_count(&self) -> usize {
        self.shared.fetch.unusable_keys()
    }

    pub(crate) fn last_error(&self) -> Option<Arc<FetchError>> {
        self.shared.lock().last_error.clone()
    }

    fn unavailable(&self) -> KeyError {
        let source = self.last_error();
        KeyError::Unavailable { retry_after: source.as_ref().and_then(|error| error.retry_after()), source }
    }

    /// Starts a flight on a task of its own: a caller that goes away cancels nothing.
    fn launch(&self, flight: Option<Flight>) {
        let Some(flight) = flight else { return };
        let landing = Landing { shared: Arc::clone(&self.shared), flight, outcome: None };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(landing.fly())),
            // Outside a runtime nothing can fly; the landing says so.
            Err(_) => drop(landing),
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing under the lock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a known key may be used without asking `state`.
    fn is_quiet(&self, snapshot: &Snapshot, now: Instant) -> bool {
        // Nothing else is read because of this value, so that its order among other memory does not matter.
        self.nanos(now) < snapshot.quiet_until.load(Ordering::Relaxed)
    }

    /// `state` is locked: the snapshot of this moment is the one that it knows of.
    fn publish_quiet(&self, state: &State, now: Instant) {
        if let Some(snapshot) = self.snapshot.load().as_ref() {
            let quiet_until = state.refresh.quiet_until(now.into_std());
            snapshot.quiet_until.store(self.nanos(Instant::from_std(quiet_until)), Ordering::Relaxed);
        }
    }
}

/// The name of an unknown key of a token: its `kid`, else its thumbprints, else the kind of key that it needs.
fn missing_key(algorithm: Algorithm, name: KeyName<'_>) -> Cow<'static, str> {
    match (name.kid, name.x5t_s256, name.x5t) {
        (Some(kid), ..) => Cow::Owned(["kid ", kid].concat()),
        (None, None, None) => Cow::Borrowed(algorithm.name()),
        (None, sha256, sha1) => {
            Cow::Owned(["x5t#S256 ", sha256.unwrap_or_default(), " x5t ", sha1.unwrap_or_default()].concat())
        }
    }
}

/// A flight that lands in every case: with what it brought, or, if it was cut off by a panic or by the end of its
/// runtime, as a failure. A refresher that dies of its first accident is a common defect.
struct Landing {
    shared: Arc<Shared>,
    flight: Flight,
    outcome: Option<Result<Fetched, Arc<FetchError>>>,
}

impl Landing {
    async fn fly(mut self) {
        let validators = self.shared.snapshot.load().as_ref().and_then(|snapshot| snapshot.validators.clone());
        let request = FetchRequest { forced: self.flight.forced, validators };
        let fetch = self.shared.fetch.fetch(request);
        let outcome = tokio::time::timeout(FLIGHT_LIMIT, fetch).await;
        self.outcome = outcome.ok();
    }

    fn interrupted(&self) -> FetchError {
        FetchError::new(FetchErrorKind::Interrupted, self.shared.fetch.issuer())
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err(self.interrupted().into()));
        let has_failed = self.shared.lock().last_error.is_some();
        self.shared.log(&outcome, has_failed);
        let now = Instant::now();
        let mut state = self.shared.lock();
        match outcome {
            Ok(fetched) => {
                let (snapshot, lifetime) = match fetched {
                    Fetched::Modified { keys, validators, lifetime } => {
                        state.generations = state.generations.wrapping_add(1);
                        let (generation, quiet_until) = (state.generations, AtomicU64::new(0));
                        (Some(Arc::new(Snapshot { keys, validators, generation, quiet_until })), lifetime)
                    }
                    Fetched::NotModified { lifetime } => (None, lifetime),
                };
                if state.refresh.succeeded(self.flight, lifetime, fastrand::f64(), now.into_std()) {
                    state.last_error = None;
                    if snapshot.is_some() {
                        self.shared.snapshot.store(snapshot);
                    }
                }
            }
            Err(error) => {
                if state.refresh.failed(self.flight, error.retry_after(), fastrand::f64(), now.into_std()) {
                    state.last_error = Some(error);
                }
            }
        }
        self.shared.publish_quiet(&state, now);
        drop(state);
        self.shared.landed.send_modify(|landed| *landed = landed.wrapping_add(1));
    }
}

impl Shared {
    fn log(&self, outcome: &Result<Fetched, Arc<FetchError>>, has_failed: bool) {
        let issuer = self.fetch.issuer();
        if outcome.is_ok() && has_failed {
            tracing::info!(target: "mcp_bearer::keys", issuer, "key set available again");
        }
        match outcome {
            Ok(Fetched::Modified { keys, .. }) => {
                let (count, skipped) = (keys.keys().len(), keys.skipped().len());
                tracing::debug!(target: "mcp_bearer::keys", issuer, keys = count, skipped, "key set fetched");
            }
            Ok(Fetched::NotModified { .. }) => {
                tracing::debug!(target: "mcp_bearer::keys", issuer, "key set not modified");
            }
            Err(error) => {
                let cause = Cause::new(error);
                let of: Box<str> = issuer.into();
                let is_shown = is_shown(&self.events, "key_set", move |Summary { cause, events, hidden }| {
                    tracing::warn!(target: "mcp_bearer::keys", issuer = &*of, cause, count = events, hidden,
                    "the key set could not be fetched many times within a minute: only the first appear above `debug`");
                });
                limited!(is_shown, warn, target: "mcp_bearer::keys", issuer, %cause, "key set not available");
            }
        }
    }
}

/// How often a request is told to wait: for a flight that was under way, until the next is allowed, for that, and once more.
const MAX_ROUNDS: usize = 4;

#[cfg(test)]
mod swap_tests;
#[cfg(test)]
mod tests;
