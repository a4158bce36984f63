//! An authorization server that introspects tokens, behind a network that delays, loses and corrupts responses. It
//! records all events for the oracle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Request, Response};
use mcp_bearer::ResourceServer;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use serde_json::json;
use tokio::time::Instant;
use url::form_urlencoded;

use super::network::{self, Server};
use super::trouble::{Fate, page};
use crate::support::RESOURCE;

/// The longest delay of a regular response.
pub const LONGEST: Duration = Duration::from_millis(2500);

/// Clones share their state.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub struct State {
    rng: Rng,
    /// The percentage of requests that fail.
    fault_rate: u32,
    tokens: Vec<Token>,
    pub introspections: Vec<Introspection>,
    /// The tokens passed to `ResourceServer::forget`, with the time of the call.
    pub forgotten: Vec<(String, Instant)>,
    /// Whether two requests for the same token were ever in flight at once, without a call of `forget` in between.
    pub had_concurrent_requests: bool,
}

struct Token {
    name: String,
    is_active: bool,
    expires_at: Option<u64>,
}

/// One received introspection request.
pub struct Introspection {
    pub about: String,
    pub started: Instant,
    /// When the first attempt was received, if this request may be a retry.
    pub first_started: Instant,
    pub fate: Fate,
    /// Whether the regular response is active.
    pub is_active: bool,
    /// When the regular response was delivered.
    pub delivered: Option<Instant>,
    /// When the request ended, with or without a response.
    pub ended: Option<Instant>,
}

impl World {
    /// All tokens are active at first. Some have an `exp`, in seconds of the wall clock.
    pub fn new(rng: Rng, fault_rate: u32, tokens: impl IntoIterator<Item = (String, Option<u64>)>) -> Self {
        let token = |(name, expires_at)| Token { name, is_active: true, expires_at };
        let tokens = tokens.into_iter().map(token).collect();
        let state = State {
            rng,
            fault_rate,
            tokens,
            introspections: Vec::new(),
            forgotten: Vec::new(),
            had_concurrent_requests: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Revokes a token, or makes it active again. `None` toggles its state.
    pub fn set(&self, name: &str, is_active: Option<bool>) {
        let mut state = self.lock();
        let token = state.tokens.iter_mut().find(|token| token.name == name).unwrap();
        token.is_active = is_active.unwrap_or(!token.is_active);
    }

    pub fn forget(&self, server: &ResourceServer, name: &str) {
        server.forget(name);
        self.lock().forgotten.push((name.to_owned(), Instant::now()));
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
        let mut form = form_urlencoded::parse(request.body());
        let about = form.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned()).unwrap();
        // An unknown token is a probe by the crate itself, which checks whether the endpoint works again.
        let token = self.tokens.iter().find(|token| token.name == about);
        let is_active = token.is_some_and(|token| token.is_active);
        let answer = match token {
            Some(Token { is_active: true, expires_at: Some(at), .. }) => {
                json!({ "active": true, "aud": RESOURCE, "exp": at })
            }
            Some(Token { is_active: true, .. }) => json!({ "active": true, "aud": RESOURCE }),
            _ => json!({ "active": false }),
        };
        let repeats = |introspection: &&Introspection| {
            let is_after = |ended: Instant| now.duration_since(ended) <= Duration::from_millis(160);
            introspection.about == about && introspection.fate.is_retried() && introspection.ended.is_some_and(is_after)
        };
        let first_started = self.introspections.iter().find(repeats).map_or(now, |first| first.first_started);
        let last_forgotten = self.forgotten.iter().rfind(|(name, _)| *name == about).map(|(_, at)| *at);
        let mut open = self
            .introspections
            .iter()
            .filter(|introspection| introspection.about == about && introspection.ended.is_none());
        // The flag is asserted later, since a panic here would count as a fault.
        self.had_concurrent_requests |= first_started == now
            && !open.all(|introspection| last_forgotten.is_some_and(|at| introspection.first_started <= at));
        let fate = Fate::draw(&mut self.rng, LONGEST, self.fault_rate);
        let (delivered, ended) = (None, None);
        self.introspections.push(Introspection {
            about,
            started: now,
            first_started,
            fate,
            is_active,
            delivered,
            ended,
        });
        (self.introspections.len() - 1, fate, page(200, answer.to_string(), HeaderMap::new()))
    }
}

impl Introspection {
    /// Describes the request in a failed test, with times in seconds before `now`.
    pub fn describe(&self, now: Instant) -> String {
        let ago = |at| network::ago(at, now);
        let Self { about, started, first_started: _, fate, is_active, delivered, ended } = self;
        let (started, delivered, ended) = (ago(*started), delivered.map(ago), ended.map(ago));
        format!("{about}: {started:.3} to {ended:?}, {fate:?}, active {is_active} at {delivered:?}")
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
        self.lock().introspections[number].delivered = Some(Instant::now());
    }

    fn end(&self, number: usize) {
        self.lock().introspections[number].ended = Some(Instant::now());
    }
}
