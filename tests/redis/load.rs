//! Requests and replays at two replicas, while Redis is killed and loses everything.

use std::time::Duration;

use fastrand::Rng;
use http::HeaderMap;

use crate::program::RedisServer;
use crate::replica::{RESOURCE, World};

/// In seconds of the replicas' clock.
const RUN: u64 = 170;
const KILLED_AT: u64 = 60;
const RESTARTED_AT: u64 = 70;
/// The clocks of replicas may differ by 10 s, a nonce has whole seconds, and the restart is noticed by a request.
const RECOVERED_AT: u64 = RESTARTED_AT + 13;
const REQUESTS_PER_SECOND: usize = 10;

#[tokio::test]
async fn no_replay_passes_and_valid_requests_fail_only_while_redis_is_away() {
    let Some(mut redis) = RedisServer::start() else { return };
    let world = World::new();
    let replicas = [world.replica(&redis).await, world.replica(&redis).await];
    let clients: Vec<_> = (0..4).map(|_| world.client()).collect();
    let mut rng = Rng::with_seed(18);
    let mut used: Vec<HeaderMap> = Vec::new();
    let (mut accepted, mut unavailable, mut with_nonce) = (0, 0, 0);
    for second in 0..RUN {
        match second {
            KILLED_AT => redis.kill(),
            RESTARTED_AT => redis.restart(),
            _ => {}
        }
        for _ in 0..REQUESTS_PER_SECOND {
            let replica = &replicas[rng.usize(..2)];
            if !used.is_empty() && rng.u8(..10) == 0 {
                // Mostly a recent one, because older ones have expired.
                let recent = used.len().min(1_500);
                let replayed = &used[used.len() - 1 - rng.usize(..recent)];
                let status = replica.status(replayed.clone()).await;
                assert!([401, 503].contains(&status), "a replay at {second} s got {status}");
            }
            let client = &clients[rng.usize(..clients.len())];
            let token = world.bound_to(client);
            let mut headers = client.headers("GET", RESOURCE, &token);
            let (mut status, mut response) = replica.get(headers.clone()).await;
            // As each client does (RFC 9449, section 9).
            if status == 401 && client.accept_nonce(&response) {
                assert!(second >= RESTARTED_AT, "a nonce was needed at {second} s");
                with_nonce += 1;
                headers = client.headers("GET", RESOURCE, &token);
                (status, response) = replica.get(headers.clone()).await;
            }
            match status.as_u16() {
                200 => {
                    accepted += 1;
                    used.push(headers);
                }
                503 => {
                    assert!((KILLED_AT..RECOVERED_AT).contains(&second), "503 at {second} s");
                    assert!(response.contains_key("retry-after"));
                    unavailable += 1;
                }
                status => panic!("a valid request at {second} s got {status}: {response:?}"),
            }
        }
        world.clock.advance(Duration::from_secs(1));
    }
    assert!(accepted > 1_000 && unavailable > 100, "{accepted} {unavailable}");
    // Each client needs about one nonce.
    assert!((1..=50).contains(&with_nonce), "{with_nonce}");
}
