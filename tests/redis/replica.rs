//! Replicas of one resource server.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, Request, StatusCode};
use mcp_bearer::sender::{Dpop, NonceKey, SenderConstraint};
use mcp_bearer::shared::RedisState;
use mcp_bearer::testing::{TestClient, TestClock, TestIssuer, TestToken};
use mcp_bearer::{AuthInfo, ResourceServer, ResourceServerBuilder};
use tower::ServiceExt as _;

use crate::program::RedisServer;

pub const ISSUER: &str = "https://auth.example.com";
pub const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The time after a start of Redis in which proofs need a fresh nonce, or are rejected.
pub const DOUBT: Duration = Duration::from_secs(315);

/// An issuer, and the clock that all replicas have.
pub struct World {
    pub issuer: TestIssuer,
    pub clock: TestClock,
}

/// One replica.
pub struct Replica {
    pub server: ResourceServer,
    app: Router,
}

impl World {
    pub fn new() -> Self {
        let clock = TestClock::new();
        Self { issuer: TestIssuer::builder(ISSUER).clock(clock.clone()).build(), clock }
    }

    pub fn builder(&self, state: RedisState) -> ResourceServerBuilder {
        ResourceServer::builder(RESOURCE)
            .issuer(self.issuer.issuer())
            .clock(self.clock.clone())
            .sender_constraint(SenderConstraint::Optional)
            .dpop(Dpop::new().nonce_key(NonceKey::new([7; 32])))
            .replicas_share_state()
            .shared_state(state)
    }

    /// A replica that knows Redis since long ago.
    pub async fn replica(&self, redis: &RedisServer) -> Replica {
        let replica = Replica::new(self.builder(state(redis)).build().await.unwrap());
        self.clock.advance(DOUBT);
        replica
    }

    pub fn client(&self) -> TestClient {
        TestClient::with_key(self.issuer.dpop_key())
    }

    pub fn token(&self) -> TestToken<'_> {
        self.issuer.token().audience(RESOURCE).expires_in(Duration::from_secs(3600))
    }

    pub fn bound_to(&self, client: &TestClient) -> String {
        self.token().bound_to(client.key()).sign()
    }
}

impl Replica {
    pub fn new(server: ResourceServer) -> Self {
        let whoami = async |auth: AuthInfo| auth.sender().label();
        let app = Router::new().route("/mcp", get(whoami)).route_layer(server.bearer_layer());
        Self { server, app }
    }

    pub async fn get(&self, headers: HeaderMap) -> (StatusCode, HeaderMap) {
        let mut request = Request::get("/mcp").body(Body::empty()).unwrap();
        *request.headers_mut() = headers;
        let response = self.app.clone().oneshot(request).await.unwrap();
        (response.status(), response.headers().clone())
    }

    pub async fn status(&self, headers: HeaderMap) -> u16 {
        self.get(headers).await.0.as_u16()
    }

    /// The status of a request with a new proof.
    pub async fn with_proof(&self, client: &TestClient, token: &str) -> u16 {
        self.status(client.headers("GET", RESOURCE, token)).await
    }

    pub async fn bearer(&self, token: &str) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        self.status(headers).await
    }
}

/// Short time limits, so that tests of outages are fast.
pub fn state(redis: &RedisServer) -> RedisState {
    RedisState::new(redis.url()).timeout(Duration::from_secs(2))
}

/// The end of revocations: in an hour.
pub fn until_time(world: &World) -> SystemTime {
    UNIX_EPOCH + world.clock.since_epoch() + Duration::from_secs(3600)
}

/// Waits until the replica has all revocations.
pub async fn becomes_current(replica: &Replica) {
    until("the list", async || replica.server.health().revocations().is_current()).await;
}

/// Waits until the condition is true. Fails after 20 s.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started_at = Instant::now();
    while !condition().await {
        assert!(started_at.elapsed() < Duration::from_secs(20), "{what} takes too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
