use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::json;
use tokio::time::{advance, sleep};

use super::*;
use crate::discovery::{EndpointSource, EndpointUrl};
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
    RemoteKeys::new(KeySetFetcher::new("https://as", Arc::new(client), endpoint, limits), policy)
}

/// What a token with this `kid` says of its key.
pub(super) fn named(kid: &str) -> KeyName<'_> {
    KeyName { kid: Some(kid.into()), ..KeyName::default() }
}

enum Answer {
    Keys(&'static [&'static str]),
    Fail,
    Panic,
    Hang,
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    fetches: Arc<AtomicUsize>,
    forced: Arc<AtomicUsize>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
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
            // The last answer is given for ever.
            let answer = {
                let mut answers = self.answers.lock().unwrap();
                if answers.len() > 1 { answers.pop_front().unwrap() } else { copy(answers.front().unwrap()) }
            };
            match answer {
                Answer::Keys(kids) => Ok(Response::new(key_set(kids))),
                Answer::Fail => Ok(Response::builder().status(500).body(Bytes::new()).unwrap()),
                Answer::Panic => panic!("a fetch that panics"),
                Answer::Hang => std::future::pending().await,
            }
        })
    }
}

fn copy(answer: &Answer) -> Answer {
    match answer {
        Answer::Keys(kids) => Answer::Keys(kids),
        Answer::Fail => Answer::Fail,
        Answer::Panic => Answer::Panic,
        Answer::Hang => Answer::Hang,
    }
}

fn source(script: &Script) -> Arc<RemoteKeys> {
    Arc::new(remote_keys(script.clone(), POLICY))
}

async fn find(keys: &RemoteKeys, kid: &str) -> Result<(), KeyError> {
    match keys.find_now(Algorithm::EdDSA, &named(kid)) {
        Some(answer) => answer.map(drop),
        None => keys.find(Algorithm::EdDSA, &named(kid)).await.map(drop),
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
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

fn is_unavailable(answer: &Result<(), KeyError>) -> bool {
    matches!(answer, Err(KeyError::Unavailable { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_cause_one_fetch() {
    let script = Script::new([Answer::Keys(&["a"])]);
    let keys = source(&script);
    let answers = find_all(&keys, (0..1000).map(|_| "a".to_owned())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_to_a_broken_issuer_cause_one_fetch() {
    let script = Script::new([Answer::Fail]);
    let keys = source(&script);
    let answers = find_all(&keys, (0..1000).map(|_| "a".to_owned())).await;
    assert!(answers.iter().all(is_unavailable));
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_after_an_outage_finds_its_key() {
    for downtime in [1, 7, 47, 300] {
        let down = Script::new(std::iter::repeat_with(|| Answer::Fail).take(downtime).chain([Answer::Keys(&["a"])]));
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
async fn two_hundred_requests_survive_a_rotation() {
    let script = Script::new([Answer::Keys(&["old"]), Answer::Keys(&["new"])]);
    let keys = source(&script);
    find(&keys, "old").await.unwrap();
    advance(Duration::from_secs(10)).await;
    let answers = find_all(&keys, (0..200).map(|_| "new".to_owned())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(script.fetches(), 2);
    assert_eq!(script.forced.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nothing() {
    let script = Script::new([Answer::Keys(&["a"])]);
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
async fn a_panic_inside_a_fetch_is_a_failure_like_any_other() {
    let script = Script::new([Answer::Panic, Answer::Keys(&["a"])]);
    let keys = source(&script);
    assert!(is_unavailable(&find(&keys, "a").await));
    advance(Duration::from_secs(1)).await;
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_ends_in_a_fetch_does_not_block_the_next() {
    let script = Script::new([Answer::Hang, Answer::Keys(&["a"])]);
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
async fn a_runtime_that_stands_still_in_a_fetch_does_not_block_the_source_for_ever() {
    let script = Script::new([Answer::Keys(&["a"])]);
    let keys = source(&script);
    // Spawned, but never driven again.
    let idle = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let other = Arc::clone(&keys);
    let idle = std::thread::spawn(move || {
        idle.block_on(async move { other.start_fetch_if_due() });
        idle
    });
    let idle = idle.join().unwrap();
    assert!(is_unavailable(&find(&keys, "a").await));
    advance(Duration::from_secs(30)).await;
    assert!(is_unavailable(&find(&keys, "a").await), "the lost flight counts as a failure");
    advance(Duration::from_secs(1)).await;
    find(&keys, "a").await.unwrap();
    // What the lost flight brings in the end is no news.
    std::thread::spawn(move || drop(idle)).join().unwrap();
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unforced_fetch_proves_nothing_about_a_missing_key() {
    // A cache on the way answers the first fetch with what it has kept.
    let script = Script::new([Answer::Keys(&["old"]), Answer::Keys(&["old", "new"])]);
    let keys = source(&script);
    find(&keys, "new").await.unwrap();
    assert_eq!((script.fetches(), script.forced.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_runtime_there_is_no_answer_and_no_panic() {
    let script = Script::new([Answer::Keys(&["a"])]);
    let keys = source(&script);
    let answer = std::thread::spawn(move || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(find(&keys, "a")).poll(&mut context).map(|answer| is_unavailable(&answer))
    });
    assert_eq!(answer.join().unwrap(), std::task::Poll::Ready(true));
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_is_gone_after_the_next_successful_fetch() {
    let script = Script::new([Answer::Keys(&["a", "b"]), Answer::Keys(&["b"])]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    advance(Duration::from_secs(301)).await;
    find(&keys, "b").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(find(&keys, "a").await, Err(KeyError::Unknown)));
}

#[tokio::test(start_paused = true)]
async fn known_keys_work_for_an_hour_while_the_issuer_is_down() {
    let script = Script::new([Answer::Keys(&["a"]), Answer::Fail]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    // The lifetime is 300 s, less a jitter of up to 30 s.
    for _ in 0..3860 {
        advance(Duration::from_secs(1)).await;
        let before = Instant::now();
        find(&keys, "a").await.unwrap();
        assert_eq!(before, Instant::now(), "nobody waits");
    }
    advance(Duration::from_secs(60)).await;
    assert!(is_unavailable(&find(&keys, "a").await));
    // At most a minute apart, and never a storm.
    assert!((60..200).contains(&script.fetches()), "{}", script.fetches());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_key_ids_leave_known_keys_alone() {
    let script = Script::new([Answer::Keys(&["a"])]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    let answers = find_all(&keys, (0..10_000).map(|n| format!("random {n}"))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(KeyError::Unknown))));
    assert!(script.fetches() <= 3, "{}", script.fetches());
    find(&keys, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_while_the_issuer_hangs_is_unavailable_within_five_seconds() {
    let script = Script::new([Answer::Keys(&["a"]), Answer::Hang]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    advance(Duration::from_secs(1)).await;
    let before = Instant::now();
    assert!(is_unavailable(&find(&keys, "new").await));
    assert!(before.elapsed() <= Duration::from_secs(5));
    find(&keys, "a").await.unwrap();
    // The flight is cut off in the end, and the next one may start.
    advance(Duration::from_secs(60)).await;
    assert_eq!(script.fetches(), 2);
    assert!(is_unavailable(&find(&keys, "new").await));
    advance(Duration::from_secs(60)).await;
    _ = find(&keys, "new").await;
    assert!(script.fetches() > 2);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_algorithm_for_a_known_key_never_fetches() {
    let script = Script::new([Answer::Keys(&["a"])]);
    let keys = source(&script);
    find(&keys, "a").await.unwrap();
    for _ in 0..100 {
        let answer = keys.find_now(Algorithm::RS256, &named("a")).unwrap();
        assert!(matches!(answer, Err(KeyError::Unknown)));
    }
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn warming_up_reports_the_first_failure_and_then_succeeds() {
    let script = Script::new([Answer::Fail, Answer::Keys(&["a"])]);
    let keys = source(&script);
    assert!(keys.warm_up().await.is_err());
    assert!(keys.last_error().is_some());
    advance(Duration::from_secs(1)).await;
    keys.warm_up().await.unwrap();
    assert!(keys.is_usable());
    assert_eq!(keys.key_count(), 1);
}
