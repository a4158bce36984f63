//! A fake authorization server whose responses are given byte by byte. It counts its requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use mcp_bearer::http_client::{HttpClient, HttpError, HttpErrorKind, HttpFuture, RequestLimits};
use mcp_bearer::introspection::Introspection;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{credentials, server_of};
use crate::support::{App, ISSUER, RESOURCE};

pub const ENDPOINT: &str = "https://auth.example.com/introspect";

/// The response for a valid token.
pub fn active() -> Value {
    json!({ "active": true, "sub": "alice", "aud": RESOURCE, "scope": "mcp:tools" })
}

/// A response, or an error in its place.
#[derive(Clone, Default)]
pub struct Page {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
    error: Option<HttpErrorKind>,
    delay: Duration,
}

impl Page {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::status(200).body(body)
    }

    pub fn json(document: &Value) -> Self {
        Self::ok(document.to_string())
    }

    pub fn error(kind: HttpErrorKind) -> Self {
        Self { error: Some(kind), ..Self::default() }
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Delays the response.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn response(self) -> Result<Response<Bytes>, HttpError> {
        if let Some(kind) = self.error {
            return Err(HttpError::new(kind));
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status.try_into().unwrap();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

/// An HTTP client that answers every request, by the token in the form.
#[derive(Clone)]
pub struct Stub(Arc<Shared>);

struct Shared {
    reply: Mutex<Reply>,
    requests: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    last: Mutex<Option<(Request<Bytes>, RequestLimits)>>,
}

type Reply = Arc<dyn Fn(&str) -> Page + Send + Sync>;

impl Stub {
    pub fn new(reply: impl Fn(&str) -> Page + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            reply: Mutex::new(Arc::new(reply)),
            requests: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            last: Mutex::new(None),
        }))
    }

    /// A stub with the same response for all tokens.
    pub fn with_page(page: Page) -> Self {
        Self::new(move |_| page.clone())
    }

    /// Sets the response for all tokens.
    pub fn set_page(&self, page: Page) {
        self.set_reply(move |_| page.clone());
    }

    /// Sets the responses by token.
    pub fn set_reply(&self, reply: impl Fn(&str) -> Page + Send + Sync + 'static) {
        *self.0.reply.lock().unwrap() = Arc::new(reply);
    }

    /// The number of requests received.
    pub fn introspections(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// The greatest number of requests in flight at the same time.
    pub fn most_open(&self) -> usize {
        self.0.most_open.load(Ordering::SeqCst)
    }

    /// The last request.
    pub fn last(&self) -> (Request<Bytes>, RequestLimits) {
        self.0.last.lock().unwrap().clone().unwrap()
    }

    /// An issuer with introspection of every token, at a configured endpoint.
    pub fn issuer(&self, introspection: impl Into<Introspection>) -> Issuer {
        let issuer = Issuer::discover(ISSUER).introspect_all(introspection).introspection_endpoint(ENDPOINT);
        issuer.http_client(self.clone())
    }

    /// A server that introspects every token, with default settings.
    pub fn server(&self) -> ResourceServer {
        server_of(self.issuer(credentials()))
    }

    pub fn app(&self) -> App {
        App::new(self.server().bearer_layer())
    }
}

impl HttpClient for Stub {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        Box::pin(async move {
            let _open = Open::new(&self.0);
            self.0.requests.fetch_add(1, Ordering::SeqCst);
            let mut form = form_urlencoded::parse(request.body());
            let token = form.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned());
            *self.0.last.lock().unwrap() = Some((request, limits));
            let reply = Arc::clone(&self.0.reply.lock().unwrap());
            let page = reply(&token.unwrap_or_default());
            if !page.delay.is_zero() {
                tokio::time::sleep(page.delay).await;
            }
            page.response()
        })
    }
}

/// An endpoint where every response costs CPU time, like a server that hashes client secrets with bcrypt. Two workers
/// share their time among all requests in flight.
#[derive(Clone)]
pub struct Busy(Arc<BusyState>);

struct BusyState {
    cost: Duration,
    /// More concurrent requests than this get 503.
    limit: usize,
    running: AtomicUsize,
    answered: AtomicUsize,
    abandoned: AtomicUsize,
}

impl Busy {
    pub fn new(cost: Duration) -> Self {
        Self::shedding_load_above(usize::MAX, cost)
    }

    /// An endpoint that answers 503 while this many requests are in flight.
    pub fn shedding_load_above(limit: usize, cost: Duration) -> Self {
        let state = BusyState { cost, limit, running: 0.into(), answered: 0.into(), abandoned: 0.into() };
        Self(Arc::new(state))
    }

    /// The number of requests that the caller cancelled.
    pub fn abandoned(&self) -> usize {
        self.0.abandoned.load(Ordering::SeqCst)
    }

    pub fn answered(&self) -> usize {
        self.0.answered.load(Ordering::SeqCst)
    }

    /// The time for this many responses without other load.
    pub fn needs(&self, answers: u32) -> Duration {
        self.0.cost * answers / WORKERS
    }

    pub fn app(&self, introspection: impl Into<Introspection>) -> App {
        let issuer = Issuer::discover(ISSUER).introspect_all(introspection).introspection_endpoint(ENDPOINT);
        App::new(server_of(issuer.http_client(self.clone())).bearer_layer())
    }
}

const WORKERS: u32 = 2;
const TICK: Duration = Duration::from_millis(5);

impl HttpClient for Busy {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        Box::pin(async move {
            if self.0.running.load(Ordering::SeqCst) >= self.0.limit {
                return Page::status(503).response();
            }
            self.0.running.fetch_add(1, Ordering::SeqCst);
            let mut job = Job { state: &self.0, is_done: false };
            let mut rest = self.0.cost;
            while !rest.is_zero() {
                tokio::time::sleep(TICK).await;
                let running = u32::try_from(self.0.running.load(Ordering::SeqCst)).unwrap();
                rest = rest.saturating_sub(TICK.min(TICK * WORKERS / running));
            }
            job.is_done = true;
            drop(job);
            Page::json(&active()).response()
        })
    }
}

struct Job<'s> {
    state: &'s BusyState,
    is_done: bool,
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.state.running.fetch_sub(1, Ordering::SeqCst);
        let count = if self.is_done { &self.state.answered } else { &self.state.abandoned };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts a request while it is in flight.
struct Open<'s>(&'s Shared);

impl<'s> Open<'s> {
    fn new(shared: &'s Shared) -> Self {
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_open.fetch_max(open, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
