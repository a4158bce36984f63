//! An issuer whose key set changes, as seen through a network that delays, loses and forges answers. It writes down
//! everything that happened, for the oracle.

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

/// The longest that an answer takes which is not late.
pub const LONGEST: Duration = Duration::from_millis(4500);
/// How old an answer of a cache on the way can be.
const CACHED: Duration = Duration::from_secs(60);

/// Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub struct State {
    rng: Rng,
    /// How often in a hundred something goes wrong.
    trouble: u32,
    max_age: Option<u64>,
    keys: BTreeMap<String, Value>,
    pub revisions: Vec<Revision>,
    pub fetches: Vec<Fetch>,
    /// Whether a fetch ever began while another was under way.
    pub had_two_at_once: bool,
}

/// A key set, published from a moment on.
pub struct Revision {
    pub from: Instant,
    pub kids: BTreeSet<String>,
}

/// One request that came.
pub struct Fetch {
    pub asked: Instant,
    /// Caches on the way must not answer it.
    pub is_forced: bool,
    /// It is the second attempt of one fetch.
    pub is_retry: bool,
    pub fate: Fate,
    /// What it is answered with, if it is.
    pub revision: usize,
    /// When its right answer was handed over.
    pub delivered: Option<Instant>,
    /// When it was over, in one way or another.
    pub ended: Option<Instant>,
}

impl World {
    /// `keys` are all that will ever be published, by their ids.
    pub fn new(rng: Rng, trouble: u32, max_age: Option<u64>, keys: BTreeMap<String, Value>) -> Self {
        let state =
            State { rng, trouble, max_age, keys, revisions: Vec::new(), fetches: Vec::new(), had_two_at_once: false };
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

    /// From now on nothing goes wrong any more.
    pub fn heal(&self) {
        self.lock().trouble = 0;
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic as planned happens outside; a test that fails looks on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, request: &Request<Bytes>) -> (usize, Fate, Response<Bytes>) {
        let now = Instant::now();
        let is_forced = request.headers().get(header::CACHE_CONTROL).is_some_and(|value| value == "no-cache");
        // A panic here would be one more fault.
        self.had_two_at_once |= self.fetches.iter().any(|fetch| fetch.ended.is_none());
        let is_retry = self
            .fetches
            .last()
            .is_some_and(|last| !last.is_retry && last.fate.is_retried() && last.is_followed_at(now));
        let newest = self.revisions.len() - 1;
        let is_cached = !is_forced && self.trouble > 0 && self.rng.u32(0..100) < 25;
        let was_current = |revision: &Revision| now.saturating_duration_since(revision.from) >= CACHED;
        let revision = if is_cached { self.revisions.iter().rposition(was_current).unwrap_or(newest) } else { newest };
        let fate = Fate::draw(&mut self.rng, LONGEST, self.trouble);
        let (delivered, ended) = (None, None);
        self.fetches.push(Fetch { asked: now, is_forced, is_retry, fate, revision, delivered, ended });
        (self.fetches.len() - 1, fate, self.right_answer(request, revision))
    }

    fn right_answer(&self, request: &Request<Bytes>, revision: usize) -> Response<Bytes> {
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
    /// For who looks for the reason of a failure: in seconds before `now`.
    pub fn describe(&self, now: Instant) -> String {
        let ago = |at| network::ago(at, now);
        let Self { asked, is_forced, is_retry, fate, revision, delivered, ended } = self;
        let (asked, delivered, ended) = (ago(*asked), delivered.map(ago), ended.map(ago));
        format!("{asked:.3} to {ended:?}, forced {is_forced}, retry {is_retry}, {fate:?}, {revision} at {delivered:?}")
    }

    /// Whether a second attempt now would be one that follows this: the pause is 50 to 150 ms.
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
