//! Sends bursts of new valid tokens to a server whose introspection endpoint needs CPU time for every response.
//!
//! Each client retries after the `Retry-After` of its response. In the end all tokens must be accepted. The server must
//! not abandon any request to the endpoint: an abandoned request costs the endpoint the full CPU time for nothing, so a
//! burst could lock out all clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use mcp_bearer::Issuer;
use mcp_bearer::introspection::ClientCredentials;
use reqwest::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{RESOURCE, SCOPE, serve};

/// The CPU time of one response. A real endpoint needs this much if it hashes the client secret with bcrypt.
const COST: Duration = Duration::from_millis(150);
/// The endpoint's CPU cores. All requests in flight share them.
const WORKERS: u32 = 2;
const TICK: Duration = Duration::from_millis(5);
const TOKENS: usize = 40;
const ATTEMPTS: usize = 10;

#[derive(Default)]
struct Endpoint {
    running: AtomicUsize,
    answered: AtomicUsize,
    abandoned: AtomicUsize,
}

/// Sends at least one burst, and further bursts until `length` has passed.
pub async fn bursts(length: Duration) {
    let endpoint = Arc::new(Endpoint::default());
    let issuer = listen(&endpoint).await;
    let trusted = Issuer::discover(&*issuer).introspect_all(ClientCredentials::basic("soak", "secret"));
    let url = serve(trusted.introspection_endpoint(format!("{issuer}/introspect"))).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let (started, mut accepted) = (Instant::now(), 0);
    for round in 0.. {
        let mut tokens = JoinSet::new();
        for number in 0..TOKENS {
            tokens.spawn(accepted_after(client.clone(), url.clone(), format!("token-{round}-{number}")));
        }
        while let Some(attempts) = tokens.join_next().await {
            assert!(attempts.unwrap().is_some(), "a valid token got {ATTEMPTS} responses with status 503");
            accepted += 1;
        }
        if started.elapsed() >= length {
            break;
        }
    }
    let (answered, abandoned) = (endpoint.answered.load(Ordering::SeqCst), endpoint.abandoned.load(Ordering::SeqCst));
    eprintln!(
        "bursts of {TOKENS}: {accepted} accepted in {:?}, {answered} responses, {abandoned} abandoned",
        started.elapsed()
    );
    assert_eq!((answered, abandoned), (accepted, 0));
}

/// Returns the number of attempts until the token is accepted, or `None` if it is never accepted.
async fn accepted_after(client: Client, url: String, token: String) -> Option<usize> {
    for attempt in 1..=ATTEMPTS {
        let response = client.get(&url).bearer_auth(&token).send().await.unwrap();
        if response.status() == 200 {
            return Some(attempt);
        }
        assert_eq!(response.status(), 503);
        let seconds = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        sleep(Duration::from_secs(seconds)).await;
    }
    None
}

/// Serves the endpoint on a loopback port and returns its URL.
async fn listen(endpoint: &Arc<Endpoint>) -> String {
    let app = Router::new().route("/introspect", post(introspect)).with_state(Arc::clone(endpoint));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn introspect(State(endpoint): State<Arc<Endpoint>>, form: String) -> String {
    // The server checks its credentials once, with a made-up token.
    if !form.contains("token=token-") {
        return r#"{"active":false}"#.to_owned();
    }
    endpoint.running.fetch_add(1, Ordering::SeqCst);
    let mut job = Job { endpoint: &endpoint, is_done: false };
    let mut rest = COST;
    while !rest.is_zero() {
        sleep(TICK).await;
        let running = u32::try_from(endpoint.running.load(Ordering::SeqCst)).unwrap();
        rest = rest.saturating_sub(TICK.min(TICK * WORKERS / running));
    }
    job.is_done = true;
    format!(r#"{{"active":true,"aud":"{RESOURCE}","scope":"{SCOPE}","token_type":"Bearer"}}"#)
}

/// One request in flight.
struct Job<'e> {
    endpoint: &'e Endpoint,
    is_done: bool,
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.endpoint.running.fetch_sub(1, Ordering::SeqCst);
        let count = if self.is_done { &self.endpoint.answered } else { &self.endpoint.abandoned };
        count.fetch_add(1, Ordering::SeqCst);
    }
}
