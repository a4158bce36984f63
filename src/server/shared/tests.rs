//! Introspection results in a store in memory, with the clock of tokio.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use http::Request;
use tokio::time::{Instant, advance};

use super::*;
use crate::introspection::{
    ClientCredentials, FoundResult, Introspection, NewResult, SharedToken, StoreAnswer, StoreFuture,
};
use crate::server::ResourceServer;
use crate::testing::{Endpoint, Fault, TestClock, TestIssuer};

const RESOURCE: &str = "https://mcp.example.com/mcp";

/// A store whose clock is that of tokio.
struct Store {
    started_at: Instant,
    results: Mutex<HashMap<String, StoredResult>>,
}

struct StoredResult {
    response: String,
    requested_at: Duration,
    lifetime: Duration,
}

impl SharedResults for Store {
    fn find<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, Option<StoreAnswer>> {
        let time = self.started_at.elapsed();
        let found = self.results.lock().unwrap().get(token.token).map(|result| FoundResult {
            response: result.response.clone().into_bytes(),
            age: time.saturating_sub(result.requested_at),
        });
        Box::pin(async move { Some(StoreAnswer { time, found }) })
    }

    fn store<'a>(&'a self, token: &'a SharedToken<'a>, result: NewResult<'a>) -> StoreFuture<'a, ()> {
        let NewResult { response, requested_at, lifetime } = result;
        let result = StoredResult { response: response.to_owned(), requested_at: requested_at.by_store, lifetime };
        self.results.lock().unwrap().insert(token.token.to_owned(), result);
        Box::pin(async {})
    }

    fn remove<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, ()> {
        self.results.lock().unwrap().remove(token.token);
        Box::pin(async {})
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// An authorization server, and a store of its resource servers.
struct World {
    issuer: TestIssuer,
    clock: TestClock,
    store: Arc<Store>,
}

impl World {
    fn new() -> Self {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder("https://auth.example.com").clock(clock.clone()).build();
        let store = Store { started_at: Instant::now(), results: Mutex::default() };
        Self { issuer, clock, store: Arc::new(store) }
    }

    fn builder(&self, issuer: crate::Issuer) -> ResourceServerBuilder {
        let mut builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(self.clock.clone());
        builder.shared_results = Some(Arc::<Store>::clone(&self.store));
        builder
    }

    /// A replica, which introspects opaque tokens.
    async fn replica(&self, set: impl FnOnce(Introspection) -> Introspection) -> ResourceServer {
        let introspection = Introspection::new(ClientCredentials::basic("mcp-server", "secret"));
        let issuer = self.issuer.issuer().introspect_opaque(set(introspection));
        self.builder(issuer).build().await.unwrap()
    }

    async fn replicas(&self) -> [ResourceServer; 2] {
        [self.replica(|default| default).await, self.replica(|default| default).await]
    }

    fn token(&self) -> String {
        self.issuer.token().audience(RESOURCE).expires_in(Duration::from_secs(3_600)).opaque()
    }

    async fn pass(&self, seconds: u64) {
        let time = Duration::from_secs(seconds);
        self.clock.advance(time);
        advance(time).await;
    }

    /// The number of introspections while `work` runs.
    async fn introspections(&self, work: impl Future<Output = bool>) -> (bool, usize) {
        let before = self.issuer.requests(Endpoint::Introspection);
        let result = work.await;
        (result, self.issuer.requests(Endpoint::Introspection).saturating_sub(before))
    }
}

async fn accepts(server: &ResourceServer, token: &str) -> bool {
    let request = Request::get("/mcp").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    server.authenticate(&request.into_parts().0).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn no_replica_uses_a_result_for_longer_than_its_lifetime() {
    let world = World::new();
    let [one, two] = world.replicas().await;
    let token = world.token();
    assert_eq!(world.introspections(accepts(&one, &token)).await, (true, 1));
    world.pass(20).await;
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 0));
    // At most a tenth of the lifetime of 30 s less.
    world.pass(6).await;
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 0));
    world.issuer.revoke(&token);
    world.pass(4).await;
    assert_eq!(world.introspections(accepts(&two, &token)).await, (false, 1));
    // The result is removed for the other replicas.
    assert!(world.store.results.lock().unwrap().is_empty());
    assert_eq!(world.introspections(accepts(&one, &token)).await, (false, 1));
}

#[tokio::test(start_paused = true)]
async fn a_replica_follows_its_own_lifetime() {
    let world = World::new();
    let [one, _] = world.replicas().await;
    let short = world.replica(|introspection| introspection.positive_cache(Duration::from_secs(10))).await;
    let token = world.token();
    assert!(accepts(&one, &token).await);
    world.pass(8).await;
    assert_eq!(world.introspections(accepts(&short, &token)).await, (true, 0));
    world.pass(2).await;
    assert_eq!(world.introspections(accepts(&short, &token)).await, (true, 1));
}

#[tokio::test(start_paused = true)]
async fn a_result_is_not_shared_for_longer_than_its_token_is_valid() {
    let world = World::new();
    let [one, two] = world.replicas().await;
    let token = world.issuer.token().audience(RESOURCE).expires_in(Duration::from_secs(10)).opaque();
    assert!(accepts(&one, &token).await && accepts(&two, &token).await);
    assert_eq!(world.store.results.lock().unwrap()[&token].lifetime, Duration::from_secs(10));
    world.pass(71).await;
    assert!(!accepts(&two, &token).await);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_token_is_introspected_although_a_result_is_stored() {
    let world = World::new();
    let [one, two] = world.replicas().await;
    let (token, other) = (world.token(), world.token());
    assert!(accepts(&one, &token).await);
    world.pass(5).await;
    two.forget(&token);
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 1));
    two.forget(&token);
    world.pass(11).await;
    // A result that was requested just after it may be an older one, by the clocks of other replicas.
    one.forget(&token);
    assert!(accepts(&one, &token).await);
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 1));
    two.forget(&token);
    world.pass(15).await;
    one.forget(&token);
    assert!(accepts(&one, &token).await);
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 0));
    assert!(accepts(&one, &other).await && accepts(&two, &other).await);
}

/// The response was on its way when the token was revoked and forgotten.
#[tokio::test(start_paused = true)]
async fn a_result_that_is_out_of_date_is_not_stored() {
    let world = World::new();
    let [one, two] = world.replicas().await;
    let token = world.token();
    world.issuer.fault_times(Endpoint::Introspection, Fault::Delay(Duration::from_secs(2)), 1);
    let slow = tokio::spawn({
        let (one, token) = (one.clone(), token.clone());
        async move { accepts(&one, &token).await }
    });
    advance(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    world.issuer.revoke(&token);
    one.forget(&token);
    assert!(!accepts(&one, &token).await);
    assert!(slow.await.unwrap(), "the request that waited gets the result of its time");
    assert!(world.store.results.lock().unwrap().is_empty());
    assert!(!accepts(&two, &token).await);
}

#[tokio::test(start_paused = true)]
async fn while_introspection_is_suspended_the_result_of_another_replica_is_used() {
    let world = World::new();
    let [one, two] = world.replicas().await;
    let token = world.token();
    assert!(accepts(&one, &token).await);
    world.issuer.stop();
    for _ in 0..10 {
        assert!(!accepts(&two, &world.token()).await);
    }
    assert!(!two.health().is_ready());
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 0));
}

/// The shared result has the `cnf` of the token too.
#[tokio::test(start_paused = true)]
async fn a_sender_constrained_token_is_not_a_bearer_token_with_a_shared_result() {
    let world = World::new();
    let [one, two] = world.replicas().await;
    let key = world.issuer.dpop_key();
    let token = world.issuer.token().audience(RESOURCE).bound_to(&key).opaque();
    assert_eq!(world.introspections(accepts(&one, &token)).await, (false, 1));
    assert_eq!(world.introspections(accepts(&two, &token)).await, (false, 0));
}

/// The result says whether a JWT that is verified locally was revoked.
#[tokio::test(start_paused = true)]
async fn results_of_the_revocation_check_are_shared_for_its_interval() {
    let world = World::new();
    let issuer = || {
        let credentials = ClientCredentials::basic("mcp-server", "secret");
        world.issuer.issuer().introspect_opaque(credentials).revocation_check(Duration::from_secs(120))
    };
    let one = world.builder(issuer()).build().await.unwrap();
    let two = world.builder(issuer()).build().await.unwrap();
    let token = world.issuer.token().audience(RESOURCE).expires_in(Duration::from_secs(3_600)).sign();
    assert_eq!(world.introspections(accepts(&one, &token)).await, (true, 1));
    world.pass(100).await;
    assert_eq!(world.introspections(accepts(&two, &token)).await, (true, 0));
    world.issuer.revoke(&token);
    world.pass(20).await;
    assert_eq!(world.introspections(accepts(&two, &token)).await, (false, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_cached_result_of_an_endpoint_nothing_can_be_shared() {
    let world = World::new();
    let credentials = ClientCredentials::basic("mcp-server", "secret");
    let uncached = Introspection::new(credentials.clone()).positive_cache(Duration::ZERO);
    for issuer in [world.issuer.issuer(), world.issuer.issuer().introspect_opaque(uncached.clone())] {
        let error = world.builder(issuer).build().await.unwrap_err();
        assert!(error.to_string().contains("`share_introspection_results` has no effect"), "{error}");
    }
    let checked = world.issuer.issuer().introspect_opaque(uncached).revocation_check(Duration::from_secs(60));
    world.builder(checked).build().await.unwrap();
}
