//! An authorization server that is asked about tokens, through a network that delays, loses and forges answers. It writes
//! down everything that happened, for the oracle.

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

/// The longest that an answer takes which is not late.
pub const LONGEST: Duration = Duration::from_millis(2500);

/// Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub struct State {
    rng: Rng,
    /// How often in a hundred something goes wrong.
    trouble: u32,
    tokens: Vec<Token>,
    pub asks: Vec<Ask>,
    /// What the server was told to forget, and when.
    pub forgotten: Vec<(String, Instant)>,
    /// Whether a token was ever asked about while an answer was under way that was still good for it.
    pub had_two_at_once: bool,
}

struct Token {
    name: String,
    is_active: bool,
    expires_at: Option<u64>,
}

/// One request that came.
pub struct Ask {
    pub about: String,
    pub asked: Instant,
    /// When it was asked first, if this may be a repetition.
    pub begun: Instant,
    pub fate: Fate,
    /// What it is answered with, if it is.
    pub is_active: bool,
    /// When its right answer was handed over.
    pub delivered: Option<Instant>,
    /// When it was over, in one way or another.
    pub ended: Option<Instant>,
}

impl World {
    /// All tokens are active at first; some expire at a second of the wall clock.
    pub fn new(rng: Rng, trouble: u32, tokens: impl IntoIterator<Item = (String, Option<u64>)>) -> Self {
        let token = |(name, expires_at)| Token { name, is_active: true, expires_at };
        let tokens = tokens.into_iter().map(token).collect();
        let state = State { rng, trouble, tokens, asks: Vec::new(), forgotten: Vec::new(), had_two_at_once: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Revokes a token, or makes it good again.
    pub fn set(&self, name: &str, is_active: Option<bool>) {
        let mut state = self.lock();
        let token = state.tokens.iter_mut().find(|token| token.name == name).unwrap();
        token.is_active = is_active.unwrap_or(!token.is_active);
    }

    pub fn forget(&self, server: &ResourceServer, name: &str) {
        server.forget(name);
        self.lock().forgotten.push((name.to_owned(), Instant::now()));
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
        let mut form = form_urlencoded::parse(request.body());
        let about = form.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned()).unwrap();
        // A made-up one is of the server's own making: it wants to know whether anybody is there.
        let token = self.tokens.iter().find(|token| token.name == about);
        let is_active = token.is_some_and(|token| token.is_active);
        let answer = match token {
            Some(Token { is_active: true, expires_at: Some(at), .. }) => {
                json!({ "active": true, "aud": RESOURCE, "exp": at })
            }
            Some(Token { is_active: true, .. }) => json!({ "active": true, "aud": RESOURCE }),
            _ => json!({ "active": false }),
        };
        let repeats = |ask: &&Ask| {
            let is_after = |ended: Instant| now.duration_since(ended) <= Duration::from_millis(160);
            ask.about == about && ask.fate.is_retried() && ask.ended.is_some_and(is_after)
        };
        let begun = self.asks.iter().find(repeats).map_or(now, |first| first.begun);
        let last_forgotten = self.forgotten.iter().rfind(|(name, _)| *name == about).map(|(_, at)| *at);
        let mut open = self.asks.iter().filter(|ask| ask.about == about && ask.ended.is_none());
        // A panic here would be one more fault.
        self.had_two_at_once |= begun == now && !open.all(|ask| last_forgotten.is_some_and(|at| ask.begun <= at));
        let fate = Fate::draw(&mut self.rng, LONGEST, self.trouble);
        let (delivered, ended) = (None, None);
        self.asks.push(Ask { about, asked: now, begun, fate, is_active, delivered, ended });
        (self.asks.len() - 1, fate, page(200, answer.to_string(), HeaderMap::new()))
    }
}

impl Ask {
    /// For who looks for the reason of a failure: in seconds before `now`.
    pub fn describe(&self, now: Instant) -> String {
        let ago = |at| network::ago(at, now);
        let Self { about, asked, begun: _, fate, is_active, delivered, ended } = self;
        let (asked, delivered, ended) = (ago(*asked), delivered.map(ago), ended.map(ago));
        format!("{about}: {asked:.3} to {ended:?}, {fate:?}, active {is_active} at {delivered:?}")
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
        self.lock().asks[number].delivered = Some(Instant::now());
    }

    fn end(&self, number: usize) {
        self.lock().asks[number].ended = Some(Instant::now());
    }
}
