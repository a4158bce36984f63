//! Application code that panics or hangs: the response is 503 within a time limit, and the connection is not dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::keys::{KeySetFuture, KeySource};
use mcp_bearer::testing::{TestClock, TestHttpClient, TestIssuer};
use mcp_bearer::verify::{TokenVerifier, Verified, VerifyError};
use mcp_bearer::{BuildErrorKind, Clock, Issuer, ResourceServer, ResourceServerBuilder};
use tokio::time::Instant;
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE};

/// The behavior of application code when it is called.
#[derive(Clone, Default)]
struct Behavior(Arc<AtomicUsize>);

const WORKS: usize = 0;
const PANICS_WHEN_CALLED: usize = 1;
const PANICS_WHEN_POLLED: usize = 2;
const HANGS: usize = 3;
const FAULTS: [usize; 3] = [PANICS_WHEN_CALLED, PANICS_WHEN_POLLED, HANGS];
/// The message of the panic, which must not appear anywhere.
const PANIC_MESSAGE: &str = "said-by-the-panic";

impl Behavior {
    fn set(&self, behavior: usize) {
        self.0.store(behavior, Ordering::SeqCst);
    }

    fn call(&self) {
        assert_ne!(self.0.load(Ordering::SeqCst), PANICS_WHEN_CALLED, "{PANIC_MESSAGE}");
    }

    async fn poll(&self) {
        match self.0.load(Ordering::SeqCst) {
            HANGS => std::future::pending().await,
            behavior => assert_ne!(behavior, PANICS_WHEN_POLLED, "{PANIC_MESSAGE}"),
        }
    }
}

struct OwnVerifier(Behavior);

impl TokenVerifier for OwnVerifier {
    fn verify(&self, _: &str) -> impl Future<Output = Result<Verified, VerifyError>> + Send {
        self.0.call();
        async {
            self.0.poll().await;
            Ok(Verified::for_this_resource("alice"))
        }
    }
}

struct OwnKeys(Behavior, Arc<JwkSet>);

impl KeySource for OwnKeys {
    fn key_set<'a>(&'a self, _: Option<&'a str>) -> KeySetFuture<'a> {
        self.0.call();
        Box::pin(async {
            self.0.poll().await;
            Ok(Arc::clone(&self.1))
        })
    }
}

struct OwnClient(Behavior, TestHttpClient);

impl HttpClient for OwnClient {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        self.0.call();
        let client = self.1.clone();
        Box::pin(async move {
            self.0.poll().await;
            client.send(request, limits).await
        })
    }
}

/// A server with application code, and a token that needs this code.
struct Part {
    name: &'static str,
    builder: ResourceServerBuilder,
    token: String,
}

fn parts(behavior: &Behavior) -> Vec<Part> {
    let issuer = TestIssuer::new(ISSUER);
    let keys = Arc::new(JwkSet::from_json(issuer.jwk_set().to_string()).unwrap());
    let jwt = || issuer.token().audience(RESOURCE).subject("alice").sign();
    let opaque = TestIssuer::builder(ISSUER).introspection_client("client", "secret").build();
    let opaque_token = opaque.token().audience(RESOURCE).subject("alice").opaque();
    let client =
        |issuer: &TestIssuer| Issuer::discover(ISSUER).http_client(OwnClient(behavior.clone(), issuer.http_client()));
    let introspected = client(&opaque).introspect_opaque(ClientCredentials::basic("client", "secret"));
    let builder = |issuer: Issuer| ResourceServer::builder(RESOURCE).issuer(issuer);
    let part = |name, issuer: Issuer, token| Part { name, builder: builder(issuer), token };
    vec![
        part("verifier", Issuer::with_verifier(ISSUER, OwnVerifier(behavior.clone())), "opaque".to_owned()),
        part("key source", Issuer::with_key_source(ISSUER, OwnKeys(behavior.clone(), keys)), jwt()),
        part("HTTP client for keys", client(&issuer), jwt()),
        part("HTTP client for introspection", introspected, opaque_token),
    ]
}

/// Built outside of a Tokio runtime, so that nothing is fetched in the background.
fn built(builder: ResourceServerBuilder) -> ResourceServer {
    std::thread::spawn(move || builder.build_lazy()).join().unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn application_code_that_panics_or_hangs_gets_503_within_ten_seconds() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    for fault in FAULTS {
        let behavior = Behavior::default();
        for part in parts(&behavior) {
            let what = format!("{} {fault}", part.name);
            let app = App::new(built(part.builder).bearer_layer());
            behavior.set(fault);
            for _ in 0..3 {
                capture.take();
                let sent = Instant::now();
                let answer = app.with_token(&part.token).await;
                assert_eq!(answer.verdict(), "R503", "{what}");
                assert!(answer.header("retry-after").is_some(), "{what}");
                assert!(sent.elapsed() <= Duration::from_secs(10), "{what}: {:?}", sent.elapsed());
                let events = capture.take();
                assert!(!format!("{events:?}").contains(PANIC_MESSAGE), "{events:?}");
                let of_rejection = |(_, line): &&(Level, String)| line.starts_with("mcp_bearer::rejection");
                assert_eq!(events.iter().filter(of_rejection).count(), 1, "{what}: {events:?}");
            }
            behavior.set(WORKS);
            tokio::time::advance(Duration::from_secs(90)).await;
            assert_eq!(app.with_token(&part.token).await.body, "alice", "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_verification_timeout_is_configurable() {
    let behavior = Behavior::default();
    for part in parts(&behavior).into_iter().take(3) {
        let app = App::new(built(part.builder.verification_timeout(Duration::from_millis(1500))).bearer_layer());
        behavior.set(HANGS);
        let sent = Instant::now();
        assert_eq!(app.with_token(&part.token).await.verdict(), "R503", "{}", part.name);
        assert!(sent.elapsed() <= Duration::from_millis(1510), "{}: {:?}", part.name, sent.elapsed());
    }
    for (limit, is_valid) in [(99, false), (100, true), (60_000, true), (60_001, false)] {
        let limit = Duration::from_millis(limit);
        let part = parts(&behavior).swap_remove(0);
        match part.builder.verification_timeout(limit).build_lazy() {
            Ok(_) => assert!(is_valid, "{limit:?}"),
            Err(error) => {
                assert!(!is_valid && error.kind() == BuildErrorKind::Setting, "{error}");
                let shown = format!("is {} s", limit.as_secs_f64());
                assert!(error.to_string().contains(&shown), "{error}");
            }
        }
    }
}

#[derive(Debug)]
struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> SystemTime {
        panic!("{PANIC_MESSAGE}")
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_or_a_clock_that_panics_gets_503() {
    let issuer = TestIssuer::new(ISSUER);
    let credentials = || ClientCredentials::basic("client", "secret");
    let jwt = issuer.token().audience(RESOURCE).sign();
    let builder = |issuer: Issuer| ResourceServer::builder(RESOURCE).issuer(issuer);
    let routed = builder(issuer.issuer().introspect_opaque(credentials()))
        .route_opaque(|_| -> Option<&str> { panic!("{PANIC_MESSAGE}") });
    let mapped = builder(issuer.issuer().map_metadata(|_| panic!("{PANIC_MESSAGE}")));
    let clocked = builder(issuer.issuer()).clock(BrokenClock);
    for (what, builder, token) in
        [("route_opaque", routed, "opaque"), ("map_metadata", mapped, &jwt), ("a clock", clocked, &jwt)]
    {
        let app = App::new(built(builder).bearer_layer());
        for _ in 0..2 {
            assert_eq!(app.with_token(token).await.verdict(), "R503", "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_response_is_sent_if_on_rejection_panics() {
    let issuer = TestIssuer::new(ISSUER);
    let server =
        ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(TestClock::new()).build().await.unwrap();
    let plain = App::new(server.bearer_layer());
    let broken = App::new(server.bearer_layer().on_rejection(|_| panic!("{PANIC_MESSAGE}")));
    let capture = Capture::of_this_thread();
    for authorization in ["Bearer", "Bearer garbage", "Basic x"] {
        let (expected, answer) = (plain.get(authorization).await, broken.get(authorization).await);
        assert_eq!((answer.status, answer.headers, answer.body), (expected.status, expected.headers, expected.body));
    }
    // Clients can cause this panic with each request, so its log lines are limited.
    for _ in 0..20 {
        broken.get("Bearer").await;
    }
    let errors = capture.take().into_iter().filter(|(level, _)| *level == Level::ERROR).count();
    assert!((1..=3).contains(&errors), "{errors} lines");
}
