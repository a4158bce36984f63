use std::error::Error as _;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::clock::Clock as _;
use crate::revocation::{
    Revocation, RevocationEntry, RevocationList, RevokeErrorKind, SharedFuture, SharedRevocations, SharedStateError,
};
use crate::server::ResourceServer;
use crate::testing::{TestClock, TestIssuer};

const ISSUER: &str = "https://auth.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";
const HOUR: Duration = Duration::from_secs(3600);

/// A store in memory that replicas share, and that can fail.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<StoreState>>);

#[derive(Default)]
struct StoreState {
    entries: Vec<RevocationEntry>,
    lists: Vec<Weak<RevocationList>>,
    is_down: bool,
    hangs: bool,
}

impl SharedRevocations for Store {
    fn publish(&self, entry: RevocationEntry) -> SharedFuture<'_, Result<(), SharedStateError>> {
        Box::pin(async move {
            let hangs = self.0.lock().unwrap().hangs;
            if hangs {
                std::future::pending::<()>().await;
            }
            let mut state = self.0.lock().unwrap();
            if state.is_down {
                return Err("the store is down".into());
            }
            state.entries.push(entry);
            let now = TestClock::new().since_epoch();
            state.lists.iter().filter_map(Weak::upgrade).for_each(|list| list.add(&entry, now).unwrap());
            Ok(())
        })
    }

    fn follow(&self, list: Weak<RevocationList>) -> SharedFuture<'static, ()> {
        let store = self.clone();
        Box::pin(async move {
            let mut is_followed = false;
            while store.read_into(&list, &mut is_followed) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    }
}

impl Store {
    /// Whether the list still exists.
    fn read_into(&self, list: &Weak<RevocationList>, is_followed: &mut bool) -> bool {
        let Some(known) = list.upgrade() else { return false };
        let clock = TestClock::new();
        let mut state = self.0.lock().unwrap();
        if state.is_down {
            *is_followed = false;
            known.set_outdated("the store is down".into(), clock.now());
        } else if !std::mem::replace(is_followed, true) {
            state.entries.iter().for_each(|entry| known.add(entry, clock.since_epoch()).unwrap());
            state.lists.push(list.clone());
            known.set_current();
        }
        true
    }
}

async fn replica(store: &Store, issuer: &TestIssuer) -> ResourceServer {
    let mut builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(TestClock::new());
    builder.shared_revocations = Some(Arc::new(store.clone()));
    builder.build().await.unwrap()
}

fn token(issuer: &TestIssuer, subject: &str) -> String {
    issuer.token().audience(RESOURCE).subject(subject).expires_in(HOUR).sign()
}

async fn is_accepted(server: &ResourceServer, token: &str) -> bool {
    server.explain(token).await.is_accepted()
}

async fn pause() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_share_revocations() {
    let (store, issuer) = (Store::default(), TestIssuer::builder(ISSUER).clock(TestClock::new()).build());
    let (one, two) = (replica(&store, &issuer).await, replica(&store, &issuer).await);
    let (alice, bob) = (token(&issuer, "alice"), token(&issuer, "bob"));
    pause().await;
    assert!(one.health().revocations().is_current() && one.health().revocations().is_shared());
    let until = TestClock::new().now() + HOUR;
    one.revoke(Revocation::subject(ISSUER, "alice"), until).await.unwrap();
    two.revoke(Revocation::token(&*bob), until).await.unwrap();
    for server in [&one, &two] {
        assert!(!is_accepted(server, &alice).await && !is_accepted(server, &bob).await);
    }
    // A replica that starts later reads what it has missed.
    let three = replica(&store, &issuer).await;
    pause().await;
    assert!(!is_accepted(&three, &alice).await);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_is_not_stored_is_an_error_and_has_its_effect_here() {
    let (store, issuer) = (Store::default(), TestIssuer::builder(ISSUER).clock(TestClock::new()).build());
    let (one, two) = (replica(&store, &issuer).await, replica(&store, &issuer).await);
    pause().await;
    store.0.lock().unwrap().is_down = true;
    let (alice, until) = (token(&issuer, "alice"), TestClock::new().now() + HOUR);
    let error = one.revoke(Revocation::subject(ISSUER, "alice"), until).await.unwrap_err();
    assert_eq!(error.kind(), RevokeErrorKind::NotShared);
    assert_eq!(error.source().unwrap().to_string(), "the store is down");
    assert!(error.to_string().starts_with("the tokens are revoked on this server"), "{error}");
    assert!(!is_accepted(&one, &alice).await && is_accepted(&two, &alice).await);
    // The same call is repeated when the store works again.
    pause().await;
    store.0.lock().unwrap().is_down = false;
    one.revoke(Revocation::subject(ISSUER, "alice"), until).await.unwrap();
    pause().await;
    assert!(!is_accepted(&two, &alice).await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_wait_for_the_store_has_revoked_here() {
    let (store, issuer) = (Store::default(), TestIssuer::builder(ISSUER).clock(TestClock::new()).build());
    let one = replica(&store, &issuer).await;
    store.0.lock().unwrap().hangs = true;
    let (alice, until) = (token(&issuer, "alice"), TestClock::new().now() + HOUR);
    let revoking = one.revoke(Revocation::subject(ISSUER, "alice"), until);
    assert!(tokio::time::timeout(Duration::from_secs(1), revoking).await.is_err());
    assert!(!is_accepted(&one, &alice).await);
}

#[tokio::test(start_paused = true)]
async fn health_says_since_when_the_list_is_not_current() {
    let (store, issuer) = (Store::default(), TestIssuer::builder(ISSUER).clock(TestClock::new()).build());
    store.0.lock().unwrap().is_down = true;
    let started = TestClock::new().now();
    let one = replica(&store, &issuer).await;
    // Before the first attempt.
    let health = one.health();
    let revocations = health.revocations();
    assert_eq!((revocations.is_current(), revocations.last_error()), (false, None));
    pause().await;
    let health = one.health();
    let revocations = health.revocations();
    // Readiness does not depend on the store: the replica judges by the list that it knows.
    assert!(health.is_ready() && revocations.is_shared());
    assert_eq!((revocations.is_current(), revocations.last_error()), (false, Some("the store is down")));
    assert_eq!(revocations.outdated_since(), Some(started));
    store.0.lock().unwrap().is_down = false;
    pause().await;
    let health = one.health();
    let revocations = health.revocations();
    assert_eq!((revocations.is_current(), revocations.last_error(), revocations.outdated_since()), (true, None, None));
}

#[tokio::test(start_paused = true)]
async fn the_task_that_follows_the_store_ends_with_the_server() {
    let (store, issuer) = (Store::default(), TestIssuer::builder(ISSUER).clock(TestClock::new()).build());
    let one = replica(&store, &issuer).await;
    pause().await;
    let list = Arc::downgrade(one.verifier.revocations());
    drop(one);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(list.upgrade().is_none());
    assert_eq!(Arc::strong_count(&store.0), 1);
}
