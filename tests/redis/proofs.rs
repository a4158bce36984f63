//! A proof is accepted once by all replicas together.

use futures_util::future::join_all;
use mcp_bearer::shared::RedisState;

use crate::program::RedisServer;
use crate::replica::{DOUBT, RESOURCE, Replica, World, state};

#[tokio::test]
async fn a_proof_is_accepted_by_one_replica_once() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let (one, other) = (world.replica(&redis).await, world.replica(&redis).await);
    let client = world.client();
    let token = world.bound_to(&client);
    for _ in 0..20 {
        let headers = client.headers("GET", RESOURCE, &token);
        let statuses =
            [one.status(headers.clone()).await, other.status(headers.clone()).await, one.status(headers.clone()).await];
        assert_eq!(statuses, [200, 401, 401]);
    }
    assert_eq!(other.with_proof(&client, &token).await, 200);
}

#[tokio::test]
async fn of_many_requests_with_one_proof_one_passes() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replicas = [world.replica(&redis).await, world.replica(&redis).await];
    let client = world.client();
    let token = world.bound_to(&client);
    for _ in 0..10 {
        let headers = client.headers("GET", RESOURCE, &token);
        let requests = (0..50).map(|number| replicas[number % 2].status(headers.clone()));
        let statuses = join_all(requests).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 49, "{statuses:?}");
    }
}

#[tokio::test]
async fn the_entry_expires_when_no_replica_accepts_the_proof() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replica = world.replica(&redis).await;
    let client = world.client();
    assert_eq!(replica.with_proof(&client, &world.bound_to(&client)).await, 200);
    let keys: Vec<String> = redis.call("KEYS mcp-bearer:proof:*");
    assert_eq!(keys.len(), 1);
    let lifetime: i64 = redis.call(&format!("PTTL {}", keys[0]));
    // Another replica may accept a proof for 300 s, and the clocks of replicas may differ by 10 s.
    assert!((300_000..=311_000).contains(&lifetime), "{lifetime}");
}

#[tokio::test]
async fn servers_with_different_prefixes_and_databases_do_not_share_state() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let states = [state(&redis), state(&redis).key_prefix("other:"), RedisState::new(format!("{}/1", redis.url()))];
    let mut replicas = Vec::new();
    for state in states {
        replicas.push(Replica::new(world.builder(state).build().await.unwrap()));
    }
    world.clock.advance(DOUBT);
    let client = world.client();
    let headers = client.headers("GET", RESOURCE, &world.bound_to(&client));
    for replica in &replicas {
        assert_eq!(replica.status(headers.clone()).await, 200);
        assert_eq!(replica.status(headers.clone()).await, 401);
    }
    let keys: Vec<String> = redis.call("KEYS *");
    assert_eq!(keys.len(), 2, "{keys:?}");
}
