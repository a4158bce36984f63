//! H: fetching key sets while the issuer fails or behaves unexpectedly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault, TestHttpClient};
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::canned::{Canned, KEYS, Page};
use super::trial::{self, Trial, bearer, with};
use crate::support::{Answer, ISSUER, RESOURCE};

/// Lets background tasks finish. Tokio's time is paused, so this takes no time.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

fn lasting(trial: &Trial) -> String {
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools");
    token.expires_in(Duration::from_secs(86_400)).sign()
}

#[tokio::test(start_paused = true)]
async fn a_status_other_than_200_is_a_failed_fetch() {
    for (id, status, headers, retry_after) in [
        ("H01", 401, &[][..], "1"),
        ("H01", 403, &[], "1"),
        ("H01", 404, &[], "1"),
        ("H01", 429, &[("retry-after", "17")], "17"),
        ("H01", 429, &[("retry-after", "999999")], "60"),
        ("H01", 429, &[("retry-after", "soon")], "1"),
        ("H01", 500, &[], "1"),
        ("H01", 503, &[("retry-after", "0")], "1"),
        ("H01", 304, &[("etag", "\"x\"")], "1"),
        ("H01", 204, &[], "1"),
        ("H01", 206, &[("content-range", "bytes 0-9/100")], "1"),
        ("H02", 301, &[("location", "https://evil.example.com/keys")], "1"),
        ("H02", 302, &[("location", "https://auth.example.com/other")], "1"),
        ("H02", 303, &[("location", "/other")], "1"),
        ("H02", 307, &[("location", "//evil.example.com/keys")], "1"),
        ("H02", 308, &[("location", "http://169.254.169.254/")], "1"),
    ] {
        let canned = Canned::default();
        let trial = canned.trial();
        let keys = trial.fixture.issuer.jwk_set().to_string();
        // The status decides, even if the body is a valid key set.
        let page = Page { status, headers: headers.to_vec(), body: keys.clone().into() };
        canned.set(KEYS, page.clone());
        let answer = trial.token(id, &status.to_string(), &trial.fixture.token(), "R503").await;
        assert_eq!(answer.header("retry-after"), Some(retry_after), "{id} {status}");
        // No other URL was requested.
        assert!(canned.urls().iter().all(|url| url == KEYS), "{id} {status} {:?}", canned.urls());
        // A failed fetch does not replace the cached key set.
        let trial = canned.trial();
        canned.set(KEYS, Page::ok(trial.fixture.issuer.jwk_set().to_string()));
        let token = lasting(&trial);
        trial.token(id, "before", &token, "OK").await;
        canned.set(KEYS, page);
        advance(Duration::from_secs(1800)).await;
        trial.token(id, &format!("after {status}"), &token, "OK").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_does_not_replace_the_cached_keys() {
    let trial = Trial::warm().await;
    let valid = lasting(&trial);
    for (id, fault) in
        [("H05", Fault::Status(500)), ("H05", Fault::Drop), ("H05", Fault::Document(json!({"keys": []})))]
    {
        trial.fixture.issuer.heal();
        advance(Duration::from_secs(400)).await;
        trial.token(id, "healed", &valid, "OK").await;
        trial.fixture.issuer.fault(Endpoint::KeySet, fault.clone());
        let unknown = with(trial.header(), json!({"kid": format!("{fault:?}").chars().take(9).collect::<String>()}));
        // The server cannot know whether this key exists, so the response is 503 and not 401.
        trial.token(id, &format!("unknown {fault:?}"), &trial.with_header(unknown.to_string()), "R503").await;
        trial.token(id, &format!("known {fault:?}"), &valid, "OK").await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_key_ids_at_once_cause_two_fetches() {
    let trial = Trial::warm().await;
    trial.fixture.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_millis(300)));
    let before = trial.fixture.issuer.requests(Endpoint::KeySet);
    let valid = trial.fixture.token();
    let [_, payload, signature] = trial::parts(&valid);
    let token = |number: usize| {
        let header = with(trial.header(), json!({"kid": format!("random {number}")}));
        format!("{}.{payload}.{signature}", trial::base64url(header.to_string()))
    };
    let answers = join_all((0..10_000).map(|number| trial.app.send(bearer(&token(number))))).await;
    for answer in answers {
        assert_eq!(answer.verdict(), "R401", "H06");
    }
    assert_eq!(trial.app.reached(), 0, "H06");
    // The first fetch began before the other requests arrived, so its key set may be too old for them. They share a
    // second one.
    assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), before + 2, "H06");
    for number in 10_000..10_100 {
        trial.token("H06", "one more", &token(number), "R401").await;
    }
    assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), before + 2, "H06");
    trial.token("H06", "a known key", &valid, "OK").await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_does_not_cancel_the_shared_fetch() {
    let trial = Trial::cold();
    trial.fixture.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_secs(2)));
    let token = trial.fixture.token();
    let leader = start_and_wait_for_fetch(&trial, &token).await;
    let waiters: Vec<_> = (0..10).map(|_| start(&trial, &token)).collect();
    advance(Duration::from_secs(1)).await;
    leader.abort();
    for answer in waiters {
        let answer = answer.await.unwrap();
        assert_eq!(answer.verdict(), "OK", "H10");
    }
    assert_eq!(trial.requests(), (2, 0), "H10: one discovery, one fetch");
    // The fetch continues without a waiting request, and the next request uses its keys.
    let trial = Trial::cold();
    trial.fixture.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_secs(2)));
    start_and_wait_for_fetch(&trial, &token).await.abort();
    sleep(Duration::from_secs(3)).await;
    let before = trial.requests();
    trial.accept_a_valid_token().await;
    assert_eq!((trial.requests(), before), ((2, 0), (2, 0)), "H10");
}

fn start(trial: &Trial, token: &str) -> JoinHandle<Answer> {
    let (app, request) = (trial.app.clone(), bearer(token));
    tokio::spawn(async move { app.send(request).await })
}

/// Starts a request, and waits until it has caused a fetch.
async fn start_and_wait_for_fetch(trial: &Trial, token: &str) -> JoinHandle<Answer> {
    let leader = start(trial, token);
    while trial.requests() == (0, 0) {
        tokio::task::yield_now().await;
    }
    leader
}

/// Counts the fetches that are in flight at the same time.
struct Overlap {
    inner: TestHttpClient,
    in_flight: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl HttpClient for Overlap {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        Box::pin(async move {
            let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.peak.fetch_max(in_flight, Ordering::SeqCst);
            let answer = self.inner.send(request, limits).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_key_set_cannot_replace_a_newer_one() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let peak = Arc::new(AtomicUsize::new(0));
    let client = Overlap { inner: issuer.http_client(), in_flight: Arc::default(), peak: Arc::clone(&peak) };
    let accepted = Issuer::discover(ISSUER).http_client(client);
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
    // The response to the first fetch takes four seconds. The keys change in the meantime.
    trial.fixture.issuer.fault_times(Endpoint::KeySet, Fault::Delay(Duration::from_secs(4)), 1);
    let old = trial.fixture.token();
    let first = trial.app.send(bearer(&old));
    let second = async {
        sleep(Duration::from_secs(1)).await;
        trial.fixture.issuer.rotate();
        let new = trial.fixture.token();
        (trial.app.send(bearer(&new)).await, new)
    };
    let (first, (second, new)) = tokio::join!(first, second);
    assert_eq!((first.verdict(), second.verdict()), ("OK".to_owned(), "OK".to_owned()), "H12");
    assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), 2, "H12");
    assert_eq!(peak.load(Ordering::SeqCst), 1, "H12: fetches never overlap");
    trial.token("H12", "the newer set", &new, "OK").await;
    trial.token("H12", "the older set", &old, "R401").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_key_under_an_old_key_id_is_used_after_the_next_refresh() {
    // An invalid signature under a known `kid` never causes a fetch, since anybody can create one.
    let trial = Trial::warm().await;
    let issuer = &trial.fixture.issuer;
    let (old, new) = (issuer.key_id(), issuer.add_key(Algorithm::ES256));
    let jwk = issuer.jwk_set()["keys"][1].clone();
    issuer.publish_key_set(json!({"keys": [with(jwk, json!({"kid": old}))]}));
    let claims = with(trial.claims(), json!({"exp": 1_800_100_000})).to_string();
    let token = issuer.sign_raw(&new, trial.header().to_string(), claims);
    for _ in 0..100 {
        trial.reject("H13", "before the refresh", &token).await;
    }
    advance(Duration::from_secs(400)).await;
    trial.token("H13", "after the refresh", &token, "OK").await;
}

#[tokio::test(start_paused = true)]
async fn cache_headers_are_respected_within_limits() {
    // A refresh is due at 80 % of the lifetime, minus up to a tenth. The test looks every ten seconds.
    for (id, headers, lifetime) in [
        ("H14", &[("cache-control", "max-age=0")][..], 60),
        ("H14", &[("cache-control", "max-age=1")], 60),
        ("H14", &[("cache-control", "no-store")], 300),
        ("H14", &[("cache-control", "no-cache, max-age=1")], 300),
        ("H14", &[("cache-control", "max-age=99999999")], 3600),
        ("H14", &[("cache-control", "max-age=99999999999999999999999")], 300),
        ("H14", &[("cache-control", "max-age=600"), ("age", "400")], 200),
        ("H14", &[("cache-control", "max-age=600"), ("age", "99999")], 60),
        ("H14", &[("cache-control", "max-age=-5")], 300),
        ("H14", &[("cache-control", "\u{1}garbage;;==")], 300),
        ("H14", &[("expires", "0")], 300),
        ("H14", &[], 300),
    ] {
        // A header value cannot contain a control character.
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.trim_start_matches('\u{1}'))).collect();
        let trial = Trial::cold();
        trial.fixture.issuer.fault(Endpoint::KeySet, Fault::headers(headers.clone()));
        trial.fixture.server.warm_up().await.unwrap();
        let token = lasting(&trial);
        let mut elapsed = 0;
        while trial.fixture.issuer.requests(Endpoint::KeySet) == 1 {
            advance(Duration::from_secs(10)).await;
            elapsed += 10;
            trial.token(id, &format!("{headers:?} {elapsed}"), &token, "OK").await;
            settle().await;
            assert!(elapsed <= lifetime, "{id} {headers:?}: not fetched for {elapsed} s");
        }
        assert!(elapsed * 100 >= lifetime * 72, "{id} {headers:?}: fetched after {elapsed} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_set_during_a_rotation_changes_nothing() {
    let trial = Trial::warm().await;
    let old = lasting(&trial);
    trial.fixture.issuer.publish_key_set(json!({"keys": []}));
    advance(Duration::from_secs(301)).await;
    for second in 0..30 {
        trial.token("H16", &second.to_string(), &old, "OK").await;
        advance(Duration::from_secs(1)).await;
    }
    trial.fixture.issuer.rotate();
    trial.fixture.issuer.heal();
    // The back-off after failures is at most a minute.
    advance(Duration::from_secs(60)).await;
    trial.token("H16", "the new key", &trial.fixture.token(), "OK").await;
    trial.token("H16", "the old key", &old, "R401").await;
}

#[tokio::test(start_paused = true)]
async fn refreshes_use_the_monotonic_clock_and_claims_the_wall_clock() {
    const YEAR: u64 = 365 * 24 * 3600;
    let trial = Trial::warm().await;
    let (before, old) = (trial.requests(), trial.fixture.token());
    trial.fixture.clock.advance(Duration::from_secs(YEAR));
    trial.reject("H17", "the wall clock leapt", &old).await;
    trial.accept_a_valid_token().await;
    let future = trial.fixture.token();
    trial.fixture.clock.set(1_800_000_000 - YEAR);
    trial.reject("H17", "the wall clock fell back", &future).await;
    trial.accept_a_valid_token().await;
    assert_eq!(trial.requests(), before, "H17: a change of the wall clock must not cause a fetch");
    // The reverse: time passes, and the wall clock does not change.
    let token = lasting(&trial);
    advance(Duration::from_secs(280)).await;
    trial.fixture.clock.set(1_800_000_000 - YEAR);
    trial.token("H17", "a while later", &token, "OK").await;
    settle().await;
    assert_eq!(trial.requests().0, before.0 + 1, "H17: the set was refreshed in advance");
}

#[tokio::test(start_paused = true)]
async fn a_key_set_has_an_https_url() {
    for (id, uri) in [
        ("H20", "http://auth.example.com/jwks"),
        ("H20", "http://127.0.0.1.example.com/jwks"),
        ("H20", "file:///etc/passwd"),
        ("H20", "data:application/json,{}"),
        ("H20", "ftp://auth.example.com/jwks"),
        ("H20", "unix:/var/run/x"),
        ("H20", "/jwks"),
        ("H20", "jwks"),
        ("H20", "//auth.example.com/jwks"),
        ("H20", ""),
        ("H20", "https://user@auth.example.com/jwks"),
        ("H20", "https://user:secret@auth.example.com/jwks"),
        ("H20", "https://auth.example.com/jwks#x"),
        ("H20", "https://auth.example.com/a/../jwks"),
        ("H20", "https:///jwks"),
    ] {
        let issuer = Issuer::discover(ISSUER).jwks_uri(uri);
        let error = trial::server(ResourceServer::builder(RESOURCE).issuer(issuer)).unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Issuer, "{id} configured {uri}");
        let trial = Trial::cold();
        trial.fixture.issuer.set_metadata_member("jwks_uri", uri);
        trial.token(id, &format!("discovered {uri}"), &trial.fixture.token(), "R503").await;
        assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), 0, "{id} {uri}");
        assert_eq!(trial.fixture.issuer.stray_requests(), 0, "{id} {uri}");
    }
    for (id, uri) in [("H20", json!(1)), ("H20", json!(["https://auth.example.com/jwks"])), ("H20", json!(null))] {
        let trial = Trial::cold();
        trial.fixture.issuer.set_metadata_member("jwks_uri", uri.clone());
        trial.token(id, &uri.to_string(), &trial.fixture.token(), "R503").await;
        assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), 0, "{id} {uri}");
    }
}
