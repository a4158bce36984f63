//! Introspection results that replicas share.

use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::shared::{RedisState, ResultKey};
use mcp_bearer::testing::Endpoint;
use mcp_bearer::{Issuer, ResourceServer, ResourceServerBuilder, Revocation};

use crate::program::RedisServer;
use crate::replica::{RESOURCE, Replica, World, becomes_current, state, until, until_time};

fn introspection() -> Introspection {
    ClientCredentials::basic("mcp-server", "secret").into()
}

fn sharing(redis: &RedisServer) -> RedisState {
    state(redis).share_introspection_results(ResultKey::new([9; 32]))
}

fn builder(world: &World, issuer: Issuer, state: RedisState) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(issuer).clock(world.clock.clone()).shared_state(state)
}

async fn replica(world: &World, redis: &RedisServer) -> Replica {
    let issuer = world.issuer.issuer().introspect_opaque(introspection());
    Replica::new(builder(world, issuer, sharing(redis)).build().await.unwrap())
}

/// The number of introspections since the last call.
fn counter(world: &World) -> impl FnMut() -> usize {
    let mut before = world.issuer.requests(Endpoint::Introspection);
    move || {
        let now = world.issuer.requests(Endpoint::Introspection);
        now - std::mem::replace(&mut before, now)
    }
}

#[tokio::test]
async fn replicas_introspect_an_active_token_once() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replicas = [replica(&world, &redis).await, replica(&world, &redis).await, replica(&world, &redis).await];
    let mut introspections = counter(&world);
    for _ in 0..10 {
        let token = world.token().opaque();
        for replica in &replicas {
            assert_eq!(replica.bearer(&token).await, 200);
        }
        assert_eq!(introspections(), 1);
    }
    let keys: Vec<String> = redis.call("KEYS mcp-bearer:introspection:*");
    assert_eq!(keys.len(), 10);
    let lifetime: i64 = redis.call(&format!("PTTL {}", keys[0]));
    assert!((1..=30_000).contains(&lifetime), "{lifetime}");
}

#[tokio::test]
async fn jwts_that_are_introspected_are_shared_too() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let issuer = || world.issuer.issuer().introspect_all(introspection());
    let one = Replica::new(builder(&world, issuer(), sharing(&redis)).build().await.unwrap());
    let other = Replica::new(builder(&world, issuer(), sharing(&redis)).build().await.unwrap());
    let mut introspections = counter(&world);
    let token = world.token().sign();
    assert_eq!([one.bearer(&token).await, other.bearer(&token).await], [200, 200]);
    assert_eq!(introspections(), 1);
}

/// Anybody could fill Redis with results for made-up tokens.
#[tokio::test]
async fn only_results_of_active_tokens_are_stored() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replicas = [replica(&world, &redis).await, replica(&world, &redis).await];
    let mut introspections = counter(&world);
    for replica in &replicas {
        assert_eq!(replica.bearer("made-up").await, 401);
        assert_eq!(introspections(), 1);
    }
    let keys: Vec<String> = redis.call("KEYS mcp-bearer:introspection:*");
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn a_forgotten_token_is_introspected_again_although_another_replica_stored_its_result() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let [one, other, third] =
        [replica(&world, &redis).await, replica(&world, &redis).await, replica(&world, &redis).await];
    let token = world.token().opaque();
    assert_eq!([one.bearer(&token).await, other.bearer(&token).await], [200, 200]);
    world.issuer.revoke(&token);
    one.server.forget(&token);
    assert_eq!(one.bearer(&token).await, 401);
    // The result is removed for replicas that did not have it.
    assert_eq!(third.bearer(&token).await, 401);
}

#[tokio::test]
async fn a_revoked_token_is_rejected_although_its_result_is_stored() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let (one, other) = (replica(&world, &redis).await, replica(&world, &redis).await);
    let token = world.token().opaque();
    assert_eq!(one.bearer(&token).await, 200);
    becomes_current(&other).await;
    one.server.revoke(Revocation::token(token.as_str()), until_time(&world)).await.unwrap();
    until("the revocation", async || other.bearer(&token).await == 401).await;
    assert_eq!(one.bearer(&token).await, 401);
}

#[tokio::test]
async fn while_redis_is_down_each_replica_introspects() {
    let Some(mut redis) = RedisServer::start() else { return };
    let world = World::new();
    let (one, other) = (replica(&world, &redis).await, replica(&world, &redis).await);
    let mut introspections = counter(&world);
    redis.kill();
    let token = world.token().opaque();
    assert_eq!([one.bearer(&token).await, other.bearer(&token).await], [200, 200]);
    assert_eq!(introspections(), 2);
    redis.restart();
    until("the recovery", async || {
        let (token, before) = (world.token().opaque(), world.issuer.requests(Endpoint::Introspection));
        assert_eq!([one.bearer(&token).await, other.bearer(&token).await], [200, 200]);
        world.issuer.requests(Endpoint::Introspection) == before + 1
    })
    .await;
}

#[tokio::test]
async fn replicas_with_different_keys_do_not_share_results() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let issuer = world.issuer.issuer().introspect_opaque(introspection());
    let state = state(&redis).share_introspection_results(ResultKey::new([8; 32]));
    let replicas = [replica(&world, &redis).await, Replica::new(builder(&world, issuer, state).build().await.unwrap())];
    let mut introspections = counter(&world);
    let token = world.token().opaque();
    assert_eq!([replicas[0].bearer(&token).await, replicas[1].bearer(&token).await], [200, 200]);
    assert_eq!(introspections(), 2);
}

#[tokio::test]
async fn a_cached_result_needs_no_round_trip() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replica = replica(&world, &redis).await;
    let token = world.token().opaque();
    assert_eq!(replica.bearer(&token).await, 200);
    let counts = || ["getrange", "set", "del"].map(|command| redis.count(command));
    let before = counts();
    assert_eq!(before, [1, 1, 0]);
    for _ in 0..100 {
        assert_eq!(replica.bearer(&token).await, 200);
    }
    assert_eq!(counts(), before);
}

#[tokio::test]
async fn a_server_without_introspection_cannot_share_results() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let error = builder(&world, world.issuer.issuer(), sharing(&redis)).build().await.unwrap_err();
    assert!(error.to_string().contains("no issuer has an introspection endpoint"), "{error}");
}
