//! Redis is killed, restarted or slow.

use std::time::{Duration, Instant};

use http::StatusCode;
use mcp_bearer::shared::RedisState;

use crate::program::RedisServer;
use crate::replica::{DOUBT, RESOURCE, Replica, World, until};

#[tokio::test]
async fn requests_with_proofs_get_503_while_redis_is_down_and_others_pass() {
    let Some(mut redis) = RedisServer::start() else { return };
    let world = World::new();
    let replica = world.replica(&redis).await;
    let client = world.client();
    let (token, bearer) = (world.bound_to(&client), world.token().sign());
    assert_eq!(replica.with_proof(&client, &token).await, 200);
    redis.kill();
    for _ in 0..3 {
        let (status, headers) = replica.get(client.headers("GET", RESOURCE, &token)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(headers.contains_key("retry-after") && !headers.contains_key("www-authenticate"), "{headers:?}");
        assert_eq!(replica.bearer(&bearer).await, 200);
    }
    redis.restart();
    // The server notices the restart. Then proofs need a fresh nonce.
    until("the recovery", async || replica.server.health().revocations().is_current()).await;
    world.clock.advance(DOUBT);
    assert_eq!(replica.with_proof(&client, &token).await, 200);
}

#[tokio::test]
async fn a_restart_that_loses_everything_does_not_allow_a_replay() {
    let Some(mut redis) = RedisServer::start() else { return };
    let world = World::new();
    let (one, other) = (world.replica(&redis).await, world.replica(&redis).await);
    let client = world.client();
    let token = world.bound_to(&client);
    let used = client.headers("GET", RESOURCE, &token);
    assert_eq!(one.status(used.clone()).await, 200);
    redis.kill();
    redis.restart();
    let keys: Vec<String> = redis.call("KEYS *proof*");
    assert!(keys.is_empty());
    // A replica that has just started knows the restart from the uptime only.
    let new = Replica::new(world.builder(RedisState::new(redis.url())).build().await.unwrap());
    let replicas = [&one, &other, &new];
    for replica in replicas {
        assert_eq!(replica.status(used.clone()).await, 503);
        assert_eq!(replica.with_proof(&client, &token).await, 503);
    }
    // As soon as a nonce of any replica is certainly newer than the restart, a client needs one more request.
    world.clock.advance(Duration::from_secs(15));
    for replica in replicas {
        assert_eq!(replica.status(used.clone()).await, 401);
    }
    let (status, headers) = one.get(client.headers("GET", RESOURCE, &token)).await;
    assert_eq!(status, 401);
    assert!(headers["www-authenticate"].to_str().unwrap().contains("use_dpop_nonce"), "{headers:?}");
    assert!(client.accept_nonce(&headers));
    for replica in replicas {
        assert_eq!(replica.with_proof(&client, &token).await, 200);
        assert_eq!(replica.status(used.clone()).await, 401);
    }
    // Afterwards, nothing is special, and the used proof has expired.
    world.clock.advance(DOUBT);
    let without_nonce = world.client();
    let token = world.bound_to(&without_nonce);
    for replica in replicas {
        assert_eq!(replica.with_proof(&without_nonce, &token).await, 200);
        assert_eq!(replica.status(used.clone()).await, 401);
    }
}

#[tokio::test]
async fn a_slow_redis_costs_a_request_two_time_limits() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let state = RedisState::new(redis.url()).timeout(Duration::from_millis(200));
    let replica = Replica::new(world.builder(state).build().await.unwrap());
    world.clock.advance(DOUBT);
    let client = world.client();
    let token = world.bound_to(&client);
    redis.call::<()>("CLIENT PAUSE 3000 ALL");
    let started_at = Instant::now();
    assert_eq!(replica.with_proof(&client, &token).await, 503);
    let time = started_at.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_millis(2000)).contains(&time), "{time:?}");
    assert_eq!(replica.bearer(&world.token().sign()).await, 200);
    redis.call::<()>("CLIENT UNPAUSE");
    until("the recovery", async || replica.with_proof(&client, &token).await == 200).await;
}

#[tokio::test]
async fn redis_without_memory_gives_503() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replica = world.replica(&redis).await;
    redis.call::<()>("CONFIG SET maxmemory 1");
    let client = world.client();
    let token = world.bound_to(&client);
    let (status, headers) = replica.get(client.headers("GET", RESOURCE, &token)).await;
    assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (503, "5"));
    redis.call::<()>("CONFIG SET maxmemory 0");
    assert_eq!(replica.with_proof(&client, &token).await, 200);
}
