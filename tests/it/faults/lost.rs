//! A response that arrives after a newer one. The first runtime is paused, like a suspended process, while the second
//! one keeps running.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::trouble::page;
use crate::support::{App, ISSUER, RESOURCE};

const SECOND: Duration = Duration::from_secs(1);

/// A client that delays its first response, and sends all others at once.
struct DelayedFirst {
    first: Mutex<Option<oneshot::Receiver<String>>>,
    others: String,
}

impl HttpClient for DelayedFirst {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let first = self.first.lock().unwrap().take();
        Box::pin(async move {
            let body = match first {
                Some(first) => first.await.unwrap(),
                None => self.others.clone(),
            };
            Ok(page(200, body, HeaderMap::new()))
        })
    }
}

/// Two runtimes, each with its own time, and one server for both.
struct TwoRuntimes {
    paused: Runtime,
    running: Runtime,
    app: App,
    release: oneshot::Sender<String>,
}

impl TwoRuntimes {
    fn new(others: String, configure: impl FnOnce(Issuer) -> Issuer) -> (Self, TestClock) {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (release, first) = oneshot::channel();
        let trusted = Issuer::discover(ISSUER).http_client(DelayedFirst { first: Mutex::new(Some(first)), others });
        // Built within a runtime, the server would fetch at once.
        let clock = TestClock::new();
        let server = ResourceServer::builder(RESOURCE).issuer(configure(trusted)).clock(clock.clone());
        let app = App::new(server.build_lazy().unwrap().bearer_layer());
        (Self { paused: runtime(), running: runtime(), app, release }, clock)
    }

    /// Sends a request and pauses its runtime.
    fn start_and_pause(&self, token: &str) {
        let has_answered = self.paused.block_on(async { timeout(SECOND, self.app.with_token(token)).await.is_ok() });
        assert!(!has_answered, "the response is delayed");
    }

    fn verdict_after(&self, pause: Duration, token: &str) -> String {
        self.running.block_on(async {
            sleep(pause).await;
            self.app.with_token(token).await.verdict()
        })
    }

    /// The paused runtime continues and receives its response.
    fn resume(self, answer: String) -> impl Fn(&str) -> String {
        self.release.send(answer).unwrap();
        self.paused.block_on(async {
            // Runs all tasks that are ready, without an advance of time.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(self.paused.metrics().num_alive_tasks(), 0, "the response has not arrived");
        move |token| self.running.block_on(self.app.with_token(token)).verdict()
    }
}

#[test]
fn an_older_key_set_that_arrives_late_is_ignored() {
    let issuer = TestIssuer::new(ISSUER);
    let (old_set, old_key) = (issuer.jwk_set().to_string(), issuer.key_id());
    let new_key = issuer.add_key(Algorithm::ES256);
    issuer.remove_key(&old_key);
    let (runtimes, clock) =
        TwoRuntimes::new(issuer.jwk_set().to_string(), |trusted| trusted.jwks_uri("https://auth.example.com/keys"));
    clock.set(0);
    let token = |kid: &str| issuer.token().audience(RESOURCE).key(kid).claim("iat", 0).expires_at(100_000).sign();
    let (old, new) = (token(&old_key), token(&new_key));
    runtimes.start_and_pause(&old);
    // The fetch in flight counts as failed after its time limit, and the next request starts a new one.
    assert_eq!(runtimes.verdict_after(SECOND * 40, &new), "R503");
    assert_eq!(runtimes.verdict_after(SECOND, &new), "OK");
    assert_eq!(runtimes.verdict_after(SECOND, &old), "R401");
    let verdict = runtimes.resume(old_set);
    // The old token comes first, since the new one could cause another fetch.
    assert_eq!((verdict(&old).as_str(), verdict(&new).as_str()), ("R401", "OK"));
}

#[test]
fn an_older_introspection_response_that_arrives_late_is_ignored() {
    for negative in [10, 0] {
        let introspection = Introspection::new(ClientCredentials::basic("id", "secret"));
        let introspection = introspection.positive_cache(SECOND * 300).negative_cache(SECOND * negative);
        let (runtimes, _) = TwoRuntimes::new(json!({ "active": false }).to_string(), |trusted| {
            trusted.introspect_all(introspection).introspection_endpoint("https://auth.example.com/introspect")
        });
        runtimes.start_and_pause("revoked");
        assert_eq!(runtimes.verdict_after(SECOND * 61, "revoked"), "R401");
        let verdict = runtimes.resume(json!({ "active": true, "sub": "alice", "aud": RESOURCE }).to_string());
        assert_eq!(verdict("revoked"), "R401", "{negative}");
    }
}
