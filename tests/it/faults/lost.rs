//! An answer that comes after a newer one: on a runtime that stood still, as a process does that is suspended, while
//! another went on.

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

/// Holds its first answer back; gives all others at once.
struct Held {
    first: Mutex<Option<oneshot::Receiver<String>>>,
    others: String,
}

impl HttpClient for Held {
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

/// Two runtimes with a time each, and one server for both.
struct Two {
    still: Runtime,
    moving: Runtime,
    app: App,
    release: oneshot::Sender<String>,
}

impl Two {
    fn new(others: String, configure: impl FnOnce(Issuer) -> Issuer) -> (Self, TestClock) {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (release, first) = oneshot::channel();
        let trusted = Issuer::discover(ISSUER).http_client(Held { first: Mutex::new(Some(first)), others });
        // With a runtime at hand it would ask at once.
        let clock = TestClock::new();
        let server = ResourceServer::builder(RESOURCE).issuer(configure(trusted)).clock(clock.clone());
        let app = App::new(server.build_lazy().unwrap().bearer_layer());
        (Self { still: runtime(), moving: runtime(), app, release }, clock)
    }

    /// Somebody asks, and from then on this runtime stands still.
    fn ask_and_stand_still(&self, token: &str) {
        let asked = self.still.block_on(async { timeout(SECOND, self.app.with_token(token)).await.is_ok() });
        assert!(!asked, "the answer is held back");
    }

    fn verdict_after(&self, pause: Duration, token: &str) -> String {
        self.moving.block_on(async {
            sleep(pause).await;
            self.app.with_token(token).await.verdict()
        })
    }

    /// The runtime that stood still gets its answer.
    fn go_on(self, answer: String) -> impl Fn(&str) -> String {
        self.release.send(answer).unwrap();
        self.still.block_on(async {
            // As often as it takes, without an advance of its time.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(self.still.metrics().num_alive_tasks(), 0, "the answer has not arrived");
        move |token| self.moving.block_on(self.app.with_token(token)).verdict()
    }
}

#[test]
fn a_key_set_that_comes_after_a_newer_one_changes_nothing() {
    let issuer = TestIssuer::new(ISSUER);
    let (old_set, old_key) = (issuer.jwk_set().to_string(), issuer.key_id());
    let new_key = issuer.add_key(Algorithm::ES256);
    issuer.remove_key(&old_key);
    let (two, clock) =
        Two::new(issuer.jwk_set().to_string(), |trusted| trusted.jwks_uri("https://auth.example.com/keys"));
    clock.set(0);
    let token = |kid: &str| issuer.token().audience(RESOURCE).key(kid).claim("iat", 0).expires_at(100_000).sign();
    let (old, new) = (token(&old_key), token(&new_key));
    two.ask_and_stand_still(&old);
    // The flight is given up as lost, which is a failure, and then made anew.
    assert_eq!(two.verdict_after(SECOND * 40, &new), "R503");
    assert_eq!(two.verdict_after(SECOND, &new), "OK");
    assert_eq!(two.verdict_after(SECOND, &old), "R401");
    let verdict = two.go_on(old_set);
    // The old one first: a token with the new key would have the set fetched anew.
    assert_eq!((verdict(&old).as_str(), verdict(&new).as_str()), ("R401", "OK"));
}

#[test]
fn an_introspection_answer_that_comes_after_a_newer_one_changes_nothing() {
    for negative in [10, 0] {
        let introspection = Introspection::new(ClientCredentials::basic("id", "secret"));
        let introspection = introspection.positive_cache(SECOND * 300).negative_cache(SECOND * negative);
        let (two, _) = Two::new(json!({ "active": false }).to_string(), |trusted| {
            trusted.introspect_all(introspection).introspection_endpoint("https://auth.example.com/introspect")
        });
        two.ask_and_stand_still("revoked");
        assert_eq!(two.verdict_after(SECOND * 61, "revoked"), "R401");
        let verdict = two.go_on(json!({ "active": true, "sub": "alice", "aud": RESOURCE }).to_string());
        assert_eq!(verdict("revoked"), "R401", "{negative}");
    }
}
