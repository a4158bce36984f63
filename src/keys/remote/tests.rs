use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, header};
use serde_json::json;
use tokio::time::{advance, sleep};

use super::*;
use crate::discovery::{EndpointSource, EndpointUrl};
use crate::events::IssuerEvents;
use crate::http_client::{AddressPolicy, HttpClient, HttpFuture, RequestLimits};
use crate::keys::KeySetLimits;

const POLICY: RefreshPolicy =
    RefreshPolicy { lifetime: Duration::from_secs(300), last_known_good: Duration::from_secs(3600) };

/// A key set with these key ids. The key is the one of RFC 8037, appendix A.2.
fn key_set(kids: &[&str]) -> Bytes {
    let keys = kids.iter().map(
        |kid| json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": kid}),
    );
    json!({"keys": keys.collect::<Vec<_>>()}).to_string().into()
}

/// The key set of `https://as`, fetched through this client.
pub(super) fn remote_keys(client: impl HttpClient, policy: RefreshPolicy) -> RemoteKeys {
    let (url, addresses) = ("https://as/jwks".parse().unwrap(), AddressPolicy::Any);
    let endpoint = EndpointSource::Configured(EndpointUrl { url, addresses });
    let limits = KeySetLimits { keys: 100, bytes: 64 * 1024 };
    RemoteKeys::new(
        KeySetFetcher::new(IssuerEvents::new("https://as"), Arc::new(client), endpoint, limits),
        policy,
        None,
    )
}

/// The name of the key of a token with this `kid`.
pub(super) fn named(kid: &str) -> KeyName<'_> {
    KeyName { kid: Some(kid.into()), ..KeyName::default() }
}

enum ScriptedResponse {
    Keys(&'static [&'static str]),
    Fail,
    Panic,
    Hang,
}

#[derive(Clone, Default)]
struct Script {
    responses: Arc<Mutex<VecDeque<ScriptedResponse>>>,
    fetches: Arc<AtomicUsize>,
    forced: Arc<AtomicUsize>,
}

impl Script {
    fn new(responses: impl IntoIterator<Item = ScriptedResponse>) -> Self {
        Self { responses: Arc::new(Mutex::new(responses.into_iter().collect())), ..Self::default() }
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl HttpClient for Script {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let forced = request.headers().get(header::CACHE_CONTROL).is_some_and(|value| value == "no-cache");
        self.forced.fetch_add(usize::from(forced), Ordering::SeqCst);
        Box::pin(async move {
            sleep(Duration::from_millis(100)).await;
            // The last response is repeated.
            let response = {
                let mut responses = self.responses.lock().unwrap();
                if responses.len() > 1 { responses.pop_front().unwrap() } else { copy(responses.front().unwrap()) }
            };
            match response {
                ScriptedResponse::Keys(kids) => Ok(Response::new(key_set(kids))),
                ScriptedResponse::Fail => Ok(Response::builder().status(500).body(Bytes::new()).unwrap()),
                ScriptedResponse::Panic => panic!("a fetch that panics"),
                ScriptedResponse::Hang => std::future::pending().await,
            }
        })
    }
}

fn copy(response: &ScriptedResponse) -> ScriptedResponse {
    match response {
        ScriptedResponse::Keys(kids) => ScriptedResponse::Keys(kids),
        ScriptedResponse::Fail => ScriptedResponse::Fail,
        ScriptedResponse::Panic => ScriptedResponse::Panic,
        ScriptedResponse::Hang => ScriptedResponse::Hang,
    }
}

fn source(script: &Script) -> Arc<RemoteKeys> {
    Arc::new(remote_keys(script.clone(), POLICY))
}

async fn find(keys: &RemoteKeys, kid: &str) -> Result<(), KeyError> {
    match keys.find_now(Algorithm::EdDSA, &named(kid)) {
        Some(result) => result.map(drop),
        None => {
            keys.find(Algorithm::EdDSA, &named(kid), SeededKeys::Accepted, VerificationPurpose::Request).await.map(drop)
        }
    }
}

async fn find_all(keys: &Arc<RemoteKeys>, kids: impl IntoIterator<Item = String>) -> Vec<Result<(), KeyError>> {
    let tasks: Vec<_> = kids
        .into_iter()
        .map(|kid| {
            let keys = Arc::clone(keys);
            tokio::spawn(async move { find(&keys, &kid).await })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn is_unavailable(result: &Result<(), KeyError>) -> bool {
    matches!(result, Err(KeyError::Unavailable { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_cause_one_fetch() {
    let script = Script::new([ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    let results = find_all(&keys, (0..1000).map(|_| "a".to_owned())).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_to_a_broken_issuer_cause_one_fetch() {
    let script = Script::new([ScriptedResponse::Fail]);
    let keys = source(&script);
    let results = find_all(&keys, (0..1000).map(|_| "a".to_owned())).await;
    assert!(results.iter().all(is_unavailable));
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_after_an_outage_is_accepted() {
    for downtime in [1, 7, 47, 300] {
        let down = Script::new(
            std::iter::repeat_with(|| ScriptedResponse::Fail).take(downtime).chain([ScriptedResponse::Keys(&["a"])]),
        );
        let keys = source(&down);
        // A request each second: each starts an attempt.
        for _ in 0..downtime {
            assert!(is_unavailable(&find(&keys, "a").await));
            advance(Duration::from_millis(999)).await;
        }
        assert_eq!(down.fetches(), downtime);
        find(&keys, "a").await.unwrap();
        assert_eq!(down.fetches(), downtime + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_key_rotation_two_hundred_requests_cause_one_fetch() {
    let script = Script::new([ScriptedResponse::Keys(&["old"]), ScriptedResponse::Keys(&["new"])]);
    let keys = source(&script);
    find(&keys, "old").await.unwrap();
    advance(Duration::from_secs(10)).await;
    let results = find_all(&keys, (0..200).map(|_| "new".to_owned())).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(script.fetches(), 2);
    assert_eq!(script.forced.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nothing() {
    let script = Script::new([ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    let leader = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { find(&keys, "a").await }
    });
    sleep(Duration::from_millis(50)).await;
    leader.abort();
    find(&keys, "a").await.unwrap();
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_fetch_counts_as_a_failed_fetch() {
    let script = Script::new([ScriptedResponse::Panic, ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    assert!(is_unavailable(&find(&keys, "a").await));
    advance(Duration::from_secs(1)).await;
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_runtime_ends_in_a_fetch_the_next_request_fetches() {
    let script = Script::new([ScriptedResponse::Hang, ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    let other = Arc::clone(&keys);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            _ = tokio::time::timeout(Duration::from_millis(300), find(&other, "a")).await;
        });
    })
    .join()
    .unwrap();
    advance(Duration::from_secs(2)).await;
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fetch_on_an_idle_runtime_is_given_up_after_thirty_seconds() {
    let script = Script::new([ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    // Spawned, but never driven again.
    let idle = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let other = Arc::clone(&keys);
    let idle = std::thread::spawn(move || {
        idle.block_on(async move { other.warm_up().now_or_never() });
        idle
    });
    let idle = idle.join().unwrap();
    assert!(is_unavailable(&find(&keys, "a").await));
    advance(Duration::from_secs(30)).await;
    assert!(is_unavailable(&find(&keys, "a").await), "the lost fetch counts as a failure");
    advance(Duration::from_secs(1)).await;
    find(&keys, "a").await.unwrap();
    // The end of the lost fetch changes nothing.
    std::thread::spawn(move || drop(idle)).join().unwrap();
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unforced_fetch_does_not_show_that_a_key_is_missing() {
    // An HTTP cache responds to the first fetch with an old set.
    let script = Script::new([ScriptedResponse::Keys(&["old"]), ScriptedResponse::Keys(&["old", "new"])]);
    let keys = source(&script);
    find(&keys, "new").await.unwrap();
    assert_eq!((script.fetches(), script.forced.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_runtime_the_key_set_is_unavailable_and_there_is_no_panic() {
    let script = Script::new([ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    let result = std::thread::spawn(move || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(find(&keys, "a")).poll(&mut context).map(|result| is_unavailable(&result))
    });
    assert_eq!(result.join().unwrap(), std::task::Poll::Ready(true));
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_is_unknown_after_the_next_successful_fetch() {
    let script = Script::new([ScriptedResponse::Keys(&["a", "b"]), ScriptedResponse::Keys(&["b"])]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    advance(Duration::from_secs(301)).await;
    find(&keys, "b").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(find(&keys, "a").await, Err(KeyError::Unknown)));
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_used_for_an_hour_while_the_issuer_is_down() {
    let script = Script::new([ScriptedResponse::Keys(&["a"]), ScriptedResponse::Fail]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    // The lifetime is 300 s, less a jitter of up to 30 s.
    for _ in 0..3860 {
        advance(Duration::from_secs(1)).await;
        let before = Instant::now();
        find(&keys, "a").await.unwrap();
        assert_eq!(before, Instant::now(), "the request does not wait");
    }
    advance(Duration::from_secs(60)).await;
    assert!(is_unavailable(&find(&keys, "a").await));
    // The back-off grows to a minute.
    assert!((60..200).contains(&script.fetches()), "{}", script.fetches());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_key_ids_do_not_affect_known_keys() {
    let script = Script::new([ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    let results = find_all(&keys, (0..10_000).map(|n| format!("random {n}"))).await;
    assert!(results.iter().all(|result| matches!(result, Err(KeyError::Unknown))));
    assert!(script.fetches() <= 3, "{}", script.fetches());
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_while_the_issuer_hangs_is_unavailable_within_five_seconds() {
    let script = Script::new([ScriptedResponse::Keys(&["a"]), ScriptedResponse::Hang]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    advance(Duration::from_secs(1)).await;
    let before = Instant::now();
    assert!(is_unavailable(&find(&keys, "new").await));
    assert!(before.elapsed() <= Duration::from_secs(5));
    find(&keys, "a").await.unwrap();
    // The fetch ends at its time limit, and the next one may start.
    advance(Duration::from_secs(60)).await;
    assert_eq!(script.fetches(), 2);
    assert!(is_unavailable(&find(&keys, "new").await));
    advance(Duration::from_secs(60)).await;
    _ = find(&keys, "new").await;
    assert!(script.fetches() > 2);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_algorithm_for_a_known_key_causes_no_fetch() {
    let script = Script::new([ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    for _ in 0..100 {
        let result = keys.find_now(Algorithm::RS256, &named("a")).unwrap();
        assert!(matches!(result, Err(KeyError::Unknown)));
    }
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn warming_up_reports_the_first_failure_and_then_succeeds() {
    let script = Script::new([ScriptedResponse::Fail, ScriptedResponse::Keys(&["a"])]);
    let keys = source(&script);
    assert!(keys.warm_up().await.is_err());
    assert!(keys.last_error().is_some());
    advance(Duration::from_secs(1)).await;
    keys.warm_up().await.unwrap();
    assert!(keys.is_usable());
    assert_eq!(keys.key_count(), 1);
}
