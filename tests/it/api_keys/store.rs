//! Keys in a store of the application: results, outages, and floods of made-up keys.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use mcp_bearer::Clock as _;
use mcp_bearer::api_key::{ApiKey, ApiKeyStore, ApiKeys, StoredKey};
use mcp_bearer::introspection::LookupLimits;
use mcp_bearer::testing::TestClock;
use mcp_bearer::verify::TokenCheck;
use tokio::time::Instant;

use super::{Keyed, with_another_secret};
use crate::capture::Capture;
use crate::support::App;

/// How long a query takes.
const QUERY: Duration = Duration::from_millis(50);

/// A table in memory in place of a database.
#[derive(Clone, Default)]
struct Rows(Arc<State>);

#[derive(Default)]
struct State {
    keys: Mutex<HashMap<String, StoredKey>>,
    fault: Mutex<Fault>,
    queries: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
enum Fault {
    #[default]
    None,
    Fails,
    Panics,
    Hangs,
}

impl ApiKeyStore for Rows {
    async fn find(&self, id: &str) -> Result<Option<StoredKey>, Box<dyn Error + Send + Sync>> {
        let state = &self.0;
        state.queries.fetch_add(1, Ordering::SeqCst);
        let in_flight = state.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        tokio::time::sleep(QUERY).await;
        state.in_flight.fetch_sub(1, Ordering::SeqCst);
        let fault = *state.fault.lock().unwrap();
        match fault {
            Fault::None => Ok(state.keys.lock().unwrap().get(id).cloned()),
            Fault::Fails => Err("the database is down".into()),
            Fault::Panics => panic!("as planned"),
            Fault::Hangs => std::future::pending().await,
        }
    }
}

impl Rows {
    fn insert(&self, id: &str, key: StoredKey) {
        self.0.keys.lock().unwrap().insert(id.to_owned(), key);
    }

    /// Stores a new key with the scope `notes:read`.
    fn new_key(&self) -> ApiKey {
        let key = ApiKey::generate().unwrap();
        self.insert(key.id(), key.stored_as("ci").scopes(["notes:read"]));
        key
    }

    fn queries(&self) -> usize {
        self.0.queries.load(Ordering::SeqCst)
    }

    fn set(&self, fault: Fault) {
        *self.0.fault.lock().unwrap() = fault;
    }
}

async fn keyed(rows: &Rows) -> Keyed {
    Keyed::new(ApiKeys::from_store(rows.clone())).await
}

async fn status(app: &App, key: &str) -> StatusCode {
    app.with_token(key).await.status
}

#[tokio::test(start_paused = true)]
async fn each_result_of_a_store_has_its_response_and_is_cached() {
    let rows = Rows::default();
    let (key, expired, wrong, other) = (rows.new_key(), rows.new_key(), rows.new_key(), rows.new_key());
    let fixed = ApiKey::generate().unwrap();
    rows.insert(expired.id(), expired.stored_as("old").expires_at(TestClock::new().now()));
    rows.insert(wrong.id(), wrong.stored_as("wrong").scopes(["two words"]));
    // A store that finds another key than the one that was looked up.
    rows.insert(other.id(), key.stored_as("ci").scopes(["notes:read"]));
    let keys = ApiKeys::from_store(rows.clone()).key(fixed.stored_as("fixed").scopes(["notes:read"]));
    let keyed = Keyed::new(keys).await;
    let app = keyed.app();
    for (key, expected, cause) in [
        (key.expose(), 200, None),
        (&with_another_secret(&key), 401, Some("api_key_unknown")),
        (ApiKey::generate().unwrap().expose(), 401, Some("api_key_unknown")),
        (other.expose(), 401, Some("api_key_unknown")),
        (expired.expose(), 401, Some("api_key_expired")),
    ] {
        let before = rows.queries();
        for _ in 0..3 {
            assert_eq!(status(&app, key).await, expected, "{cause:?}");
        }
        assert_eq!(rows.queries(), before + 1, "{cause:?}");
        let explanation = keyed.server.explain(key).await;
        let failed = explanation.failed().map(|row| (row.check(), row.cause()));
        assert_eq!(failed, cause.map(|cause| (TokenCheck::ApiKey, Some(cause))));
    }
    // A stored key that breaks the rules is a mistake of the operator.
    let capture = Capture::of_this_thread();
    assert_eq!(status(&app, wrong.expose()).await, 503);
    let log: Vec<_> = capture.take().into_iter().map(|(_, line)| line).collect();
    let expected =
        "the API key store is misconfigured issuer=\"api_keys\" cause=the API key store returned a key with mistakes: ";
    assert!(log.iter().any(|line| line.contains(expected) && line.contains("is not a scope")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("verifier")), "{log:?}");
    // No look-up for a key in the code, or without a valid checksum.
    let before = rows.queries();
    for (key, expected) in [(fixed.expose(), 200), ("mcpk_short", 401), (&key.expose().replace('_', "_0"), 401)] {
        assert_eq!(status(&app, key).await, expected);
    }
    assert_eq!(rows.queries(), before);
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_is_rejected_after_the_cached_result_or_at_once_when_it_is_forgotten() {
    let rows = Rows::default();
    let key = rows.new_key();
    let keyed = keyed(&rows).await;
    let app = keyed.app();
    assert_eq!(status(&app, key.expose()).await, 200);
    rows.0.keys.lock().unwrap().clear();
    assert_eq!(status(&app, key.expose()).await, 200);
    keyed.server.forget(key.expose());
    assert_eq!(status(&app, key.expose()).await, 401);
    rows.insert(key.id(), key.stored_as("ci").scopes(["notes:read"]));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(status(&app, key.expose()).await, 200);
    rows.0.keys.lock().unwrap().clear();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(status(&app, key.expose()).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_cached_key_is_rejected_from_its_expiry() {
    let rows = Rows::default();
    let key = rows.new_key();
    let expiry = TestClock::new().now() + Duration::from_secs(5);
    rows.insert(key.id(), key.stored_as("ci").scopes(["notes:read"]).expires_at(expiry));
    let keyed = keyed(&rows).await;
    let app = keyed.app();
    keyed.clock.advance(Duration::from_secs(4));
    assert_eq!(status(&app, key.expose()).await, 200);
    keyed.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&app, key.expose()).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_panics_or_hangs_gives_503_within_the_limit() {
    for (fault, cause) in [
        (Fault::Fails, "the API key store failed: the database is down"),
        (Fault::Panics, "the API key store failed: the API key store panicked"),
        (Fault::Hangs, "the API key store failed: it took longer than 3s"),
    ] {
        let rows = Rows::default();
        let (cached, key) = (rows.new_key(), rows.new_key());
        let keyed = keyed(&rows).await;
        let app = keyed.app();
        assert_eq!(status(&app, cached.expose()).await, 200);
        rows.set(fault);
        let started_at = Instant::now();
        let capture = Capture::of_this_thread();
        let answer = app.with_token(key.expose()).await;
        assert_eq!(answer.status, 503);
        let log: Vec<_> = capture.take().into_iter().map(|(_, line)| line).collect();
        assert!(log.iter().any(|line| line.contains(cause)), "{cause}: {log:?}");
        assert!(!log.iter().any(|line| line.contains("verifier")), "{log:?}");
        assert!(answer.header("retry-after").is_some() && started_at.elapsed() < Duration::from_secs(4));
        // A cached key and access tokens are not affected.
        assert_eq!(status(&app, cached.expose()).await, 200);
        let token = keyed.issuer.token().audience(crate::support::RESOURCE).scope("notes:read").sign();
        assert_eq!(status(&app, &token).await, 200);
        rows.set(Fault::None);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(status(&app, key.expose()).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_with_one_key_share_a_look_up() {
    let rows = Rows::default();
    let key = rows.new_key();
    let keyed = keyed(&rows).await;
    let app = keyed.app();
    let statuses = join_all((0..200).map(|_| status(&app, key.expose()))).await;
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(rows.queries(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_made_up_keys_does_not_make_the_store_slow() {
    let rows = Rows::default();
    let (known, new) = (rows.new_key(), rows.new_key());
    let limits = LookupLimits::new().max_in_flight(4).positive_cache(Duration::ZERO);
    let keyed = Keyed::new(ApiKeys::from_store(rows.clone()).store_limits(limits)).await;
    let app = keyed.app();
    assert_eq!(status(&app, known.expose()).await, 200);
    // Each has a valid checksum.
    let made_up: Vec<_> = (0..1_000).map(|_| ApiKey::generate().unwrap()).collect();
    let flood = join_all(made_up.iter().map(|key| status(&app, key.expose())));
    let valid = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let started_at = Instant::now();
        let status_of_known = status(&app, known.expose()).await;
        (status_of_known, started_at.elapsed())
    };
    let (statuses, (status_of_known, took)) = tokio::join!(flood, valid);
    assert!(statuses.iter().all(|status| *status == 401 || *status == 503), "{statuses:?}");
    // A quarter of the limit is reserved for keys that were valid before.
    assert_eq!(status_of_known, 200);
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(rows.0.most_in_flight.load(Ordering::SeqCst) <= 4);
    // Sent again, the same keys cause no look-up, because unknown keys are cached too.
    let rejected: Vec<_> =
        made_up.iter().zip(&statuses).filter(|(_, status)| **status == 401).map(|(key, _)| key).collect();
    let (before, last) = (rows.queries(), &rejected[rejected.len() - 50..]);
    join_all(last.iter().map(|key| status(&app, key.expose()))).await;
    assert_eq!(rows.queries(), before);
    assert_eq!(status(&app, new.expose()).await, 200);
}

#[test]
fn a_wrong_limit_fails_at_build() {
    let keys = ApiKeys::from_store(Rows::default()).store_limits(LookupLimits::new().max_in_flight(1_000));
    let error = mcp_bearer::ResourceServer::builder(crate::support::RESOURCE).api_keys(keys).build_lazy().unwrap_err();
    assert!(error.to_string().contains("`max_in_flight` is 1000"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_longer_prefix_is_not_looked_up_in_a_shared_store() {
    let rows = Rows::default();
    let other = ApiKey::generate_with_prefix("mcpk_live").unwrap();
    rows.insert(other.id(), other.stored_as("live").scopes(["notes:read"]));
    let keyed = Keyed::new(ApiKeys::from_store(rows.clone())).await;
    let capture = Capture::of_this_thread();
    assert_eq!(keyed.app().with_token(other.expose()).await.status, StatusCode::UNAUTHORIZED);
    let log = capture.take();
    assert!(log.iter().any(|(_, line)| line.contains("it does not have the prefix of the API keys")), "{log:?}");
    assert_eq!(rows.queries(), 0);
    assert_eq!(keyed.app().with_token(rows.new_key().expose()).await.status, StatusCode::OK);
}
