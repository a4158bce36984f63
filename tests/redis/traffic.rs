//! How many round trips a request needs.

use crate::program::RedisServer;
use crate::replica::{World, becomes_current};

#[tokio::test]
async fn a_proof_needs_one_round_trip_and_a_bearer_token_none() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let replica = world.replica(&redis).await;
    becomes_current(&replica).await;
    let commands = ["set", "get", "zadd", "zscan", "publish", "exists", "eval", "info", "hello"];
    let counts = || commands.map(|command| redis.count(command));
    let before = counts();
    for _ in 0..100 {
        assert_eq!(replica.bearer(&world.token().sign()).await, 200);
    }
    assert_eq!(replica.bearer("invalid").await, 401);
    let difference = |before: [u64; 9]| counts().into_iter().zip(before).map(|(after, before)| after - before);
    // Counting sends `INFO` itself, and a handshake with `HELLO` or without.
    let of_requests = |difference: Vec<u64>| difference[..7].to_vec();
    assert_eq!(of_requests(difference(before).collect()), [0; 7]);
    let (before, client) = (counts(), world.client());
    let token = world.bound_to(&client);
    for _ in 0..100 {
        assert_eq!(replica.with_proof(&client, &token).await, 200);
    }
    assert_eq!(of_requests(difference(before).collect()), [100, 100, 0, 0, 0, 0, 0]);
    // A stranger without a valid token cannot write.
    let before = counts();
    for token in ["invalid", &world.token().bound_to(world.client().key()).sign(), &world.token().sign()] {
        assert_eq!(replica.with_proof(&client, token).await, 401);
    }
    assert_eq!(of_requests(difference(before).collect()), [0; 7]);
}
