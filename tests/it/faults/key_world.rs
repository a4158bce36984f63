//! An issuer whose key set changes, behind a network that delays, loses and corrupts responses. It records all events
//! for the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::network::{self, Server};
use super::trouble::{Fate, page};

/// The longest delay of a regular response.
pub const LONGEST: Duration = Duration::from_millis(4500);
/// The greatest age of a response from a shared cache.
const CACHED: Duration = Duration::from_secs(60);

/// Clones share their state.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub struct State {
    rng: Rng,
    /// The percentage of requests that fail.
    fault_rate: u32,
    max_age: Option<u64>,
    keys: BTreeMap<String, Value>,
    pub revisions: Vec<Revision>,
    pub fetches: Vec<Fetch>,
    /// Whether a fetch ever began while another one was in flight.
    pub had_concurrent_fetches: bool,
}

/// A key set and the time of its publication.
pub struct Revision {
    pub from: Instant,
    pub kids: BTreeSet<String>,
}

/// One received request.
pub struct Fetch {
    pub started: Instant,
    /// The request contains `Cache-Control: no-cache`, so shared caches must not answer it.
    pub is_forced: bool,
    /// It is the second attempt of a fetch.
    pub is_retry: bool,
    pub fate: Fate,
    /// The key set of the regular response.
    pub revision: usize,
    /// When the regular response was delivered.
    pub delivered: Option<Instant>,
    /// When the request ended, with or without a response.
    pub ended: Option<Instant>,
}

impl World {
    /// `keys` contains all keys that are ever published, by their key ids.
    pub fn new(rng: Rng, fault_rate: u32, max_age: Option<u64>, keys: BTreeMap<String, Value>) -> Self {
        let state = State {
            rng,
            fault_rate,
            max_age,
            keys,
            revisions: Vec::new(),
            fetches: Vec::new(),
            had_concurrent_fetches: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn publish(&self, kids: impl IntoIterator<Item = String>) {
        let revision = Revision { from: Instant::now(), kids: kids.into_iter().collect() };
        self.lock().revisions.push(revision);
    }

    /// Changes the published set.
    pub fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut kids = self.lock().revisions.last().unwrap().kids.clone();
        change(&mut kids);
        self.publish(kids);
    }

    /// From now on, no request fails.
    pub fn heal(&self) {
        self.lock().fault_rate = 0;
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // The planned panics happen outside of the lock. A failing test can still read the state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, request: &Request<Bytes>) -> (usize, Fate, Response<Bytes>) {
        let now = Instant::now();
        let is_forced = request.headers().get(header::CACHE_CONTROL).is_some_and(|value| value == "no-cache");
        // The flag is asserted later, since a panic here would count as a fault.
        self.had_concurrent_fetches |= self.fetches.iter().any(|fetch| fetch.ended.is_none());
        let is_retry = self
            .fetches
            .last()
            .is_some_and(|last| !last.is_retry && last.fate.is_retried() && last.is_followed_at(now));
        let newest = self.revisions.len() - 1;
        let is_cached = !is_forced && self.fault_rate > 0 && self.rng.u32(0..100) < 25;
        let was_current = |revision: &Revision| now.saturating_duration_since(revision.from) >= CACHED;
        let revision = if is_cached { self.revisions.iter().rposition(was_current).unwrap_or(newest) } else { newest };
        let fate = Fate::draw(&mut self.rng, LONGEST, self.fault_rate);
        let (delivered, ended) = (None, None);
        self.fetches.push(Fetch { started: now, is_forced, is_retry, fate, revision, delivered, ended });
        (self.fetches.len() - 1, fate, self.regular_response(request, revision))
    }

    fn regular_response(&self, request: &Request<Bytes>, revision: usize) -> Response<Bytes> {
        let tag = HeaderValue::try_from(format!("\"{revision}\"")).unwrap();
        let is_held = request.headers().get(header::IF_NONE_MATCH) == Some(&tag);
        let mut headers = HeaderMap::from_iter([(header::ETAG, tag)]);
        if let Some(max_age) = self.max_age {
            headers.insert(header::CACHE_CONTROL, format!("max-age={max_age}").try_into().unwrap());
        }
        if is_held {
            return page(304, "", headers);
        }
        let keys: Vec<&Value> = self.revisions[revision].kids.iter().map(|kid| &self.keys[kid]).collect();
        page(200, json!({ "keys": keys }).to_string(), headers)
    }
}

impl Fetch {
    /// Describes the fetch in a failed test, with times in seconds before `now`.
    pub fn describe(&self, now: Instant) -> String {
        let ago = |at| network::ago(at, now);
        let Self { started, is_forced, is_retry, fate, revision, delivered, ended } = self;
        let (started, delivered, ended) = (ago(*started), delivered.map(ago), ended.map(ago));
        format!(
            "{started:.3} to {ended:?}, forced {is_forced}, retry {is_retry}, {fate:?}, {revision} at {delivered:?}"
        )
    }

    /// Whether a request at `now` would be a retry of this one. The pause before a retry is 50 to 150 ms.
    fn is_followed_at(&self, now: Instant) -> bool {
        self.ended.is_some_and(|ended| now.duration_since(ended) <= Duration::from_millis(160))
    }
}

impl HttpClient for World {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        network::send(self, &request)
    }
}

impl Server for World {
    fn admit(&self, request: &Request<Bytes>) -> (usize, Fate, Response<Bytes>) {
        self.lock().admit(request)
    }

    fn deliver(&self, number: usize) {
        self.lock().fetches[number].delivered = Some(Instant::now());
    }

    fn end(&self, number: usize) {
        self.lock().fetches[number].ended = Some(Instant::now());
    }
}
