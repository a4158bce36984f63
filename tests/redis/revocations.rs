//! A revocation reaches all replicas.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::routing::get;
use futures_util::stream;
use http::Request;
use mcp_bearer::revocation::RevokeErrorKind;
use mcp_bearer::shared::RedisState;
use mcp_bearer::{McpScopes, Revocation};
use tower::ServiceExt as _;

use crate::program::RedisServer;
use crate::replica::{ISSUER, Replica, World, becomes_current, state, until, until_time};

#[tokio::test]
async fn a_revocation_reaches_the_other_replicas() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let (one, other) = (world.replica(&redis).await, world.replica(&redis).await);
    becomes_current(&one).await;
    becomes_current(&other).await;
    let token = || world.token().subject("alice").claim("sid", "s1").claim("jti", "j1").sign();
    let (token, kept) = (token(), world.token().subject("bob").sign());
    let kinds = [
        Revocation::token(token.as_str()),
        Revocation::token_id(ISSUER, "j1"),
        Revocation::session(ISSUER, "s1"),
        Revocation::subject(ISSUER, "alice").issued_before(until_time(&world)),
    ];
    assert_eq!((one.bearer(&token).await, other.bearer(&token).await), (200, 200));
    for (count, revocation) in kinds.into_iter().enumerate() {
        one.server.revoke(revocation, until_time(&world)).await.unwrap();
        until("the message", async || other.server.health().revocations().entry_count() == count + 1).await;
        assert_eq!((one.bearer(&token).await, other.bearer(&token).await), (401, 401));
    }
    assert_eq!((one.bearer(&kept).await, other.bearer(&kept).await), (200, 200));
    let entries: u64 = redis.call("ZCARD mcp-bearer:revocations");
    let lifetime: i64 = redis.call("TTL mcp-bearer:revocations");
    assert_eq!(entries, 4);
    assert!(lifetime > 0, "{lifetime}");
}

#[tokio::test]
async fn a_replica_that_was_away_catches_up() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let one = world.replica(&redis).await;
    let token = world.token().subject("alice").sign();
    one.server.revoke(Revocation::subject(ISSUER, "alice"), until_time(&world)).await.unwrap();
    // It starts afterwards.
    let other = world.replica(&redis).await;
    becomes_current(&other).await;
    assert_eq!(other.bearer(&token).await, 401);
    // It loses its connection for a while.
    let token = world.token().subject("bob").sign();
    assert_eq!(other.bearer(&token).await, 200);
    redis.call::<u64>("CLIENT KILL TYPE pubsub");
    one.server.revoke(Revocation::subject(ISSUER, "bob"), until_time(&world)).await.unwrap();
    until("the revocation", async || other.bearer(&token).await == 401).await;
}

#[tokio::test]
async fn a_revocation_does_not_reach_other_prefixes_and_databases() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let one = world.replica(&redis).await;
    let mut others = vec![world.replica(&redis).await];
    for state in [state(&redis).key_prefix("other:"), RedisState::new(format!("{}/1", redis.url()))] {
        others.push(Replica::new(world.builder(state).build().await.unwrap()));
    }
    for replica in &others {
        becomes_current(replica).await;
    }
    one.server.revoke(Revocation::subject(ISSUER, "alice"), until_time(&world)).await.unwrap();
    until("the message", async || others[0].server.health().revocations().entry_count() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let counts: Vec<_> = others.iter().map(|other| other.server.health().revocations().entry_count()).collect();
    assert_eq!(counts, [1, 0, 0]);
}

#[tokio::test]
async fn many_revocations_are_read_page_by_page() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let one = world.replica(&redis).await;
    for number in 0..2_500 {
        one.server.revoke(Revocation::subject(ISSUER, format!("user {number}")), until_time(&world)).await.unwrap();
    }
    let other = world.replica(&redis).await;
    becomes_current(&other).await;
    assert_eq!(other.server.health().revocations().entry_count(), 2_500);
    assert_eq!(other.bearer(&world.token().subject("user 2499").sign()).await, 401);
}

#[tokio::test]
async fn revocations_survive_a_restart_that_loses_everything() {
    let Some(mut redis) = RedisServer::start() else { return };
    let world = World::new();
    let one = world.replica(&redis).await;
    becomes_current(&one).await;
    one.server.revoke(Revocation::subject(ISSUER, "alice"), until_time(&world)).await.unwrap();
    redis.kill();
    until("the notice", async || !one.server.health().revocations().is_current()).await;
    let health = serde_json::to_value(one.server.health()).unwrap();
    assert!(health["revocations"]["last_error"].as_str().unwrap().contains("Redis"), "{health}");
    assert_eq!(health["ready"], true);
    // It fails loudly, and the token is rejected here all the same.
    let error = one.server.revoke(Revocation::subject(ISSUER, "bob"), until_time(&world)).await.unwrap_err();
    assert_eq!(error.kind(), RevokeErrorKind::NotShared);
    let (alice, bob) = (world.token().subject("alice").sign(), world.token().subject("bob").sign());
    assert_eq!((one.bearer(&alice).await, one.bearer(&bob).await), (401, 401));
    redis.restart();
    becomes_current(&one).await;
    assert_eq!(redis.call::<u64>("ZCARD mcp-bearer:revocations"), 2);
    let new = world.replica(&redis).await;
    becomes_current(&new).await;
    assert_eq!((new.bearer(&alice).await, new.bearer(&bob).await), (401, 401));
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_does_not_hide_the_others() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let one = world.replica(&redis).await;
    becomes_current(&one).await;
    one.server.revoke(Revocation::subject(ISSUER, "alice"), until_time(&world)).await.unwrap();
    let score = (world.clock.since_epoch().as_secs() + 3600).to_string();
    redis.call::<u64>(&format!("ZADD mcp-bearer:revocations {score} planet:AAAA:"));
    redis.call::<u64>("PUBLISH mcp-bearer:revocations:new:0 nonsense");
    until("the notice", async || !one.server.health().revocations().is_current()).await;
    let other = world.replica(&redis).await;
    until("the load", async || other.server.health().revocations().entry_count() == 1).await;
    assert!(!other.server.health().revocations().is_current());
    assert_eq!(other.bearer(&world.token().subject("alice").sign()).await, 401);
    // It still gets new entries.
    one.server.revoke(Revocation::subject(ISSUER, "bob"), until_time(&world)).await.unwrap();
    until("the message", async || other.server.health().revocations().entry_count() == 2).await;
}

#[tokio::test]
async fn entries_that_have_ended_are_removed() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    redis.call::<u64>("ZADD mcp-bearer:revocations 1 token:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE:");
    let one = world.replica(&redis).await;
    becomes_current(&one).await;
    assert_eq!(redis.call::<u64>("ZCARD mcp-bearer:revocations"), 0);
}

#[tokio::test]
async fn a_stream_of_another_replica_ends_at_once() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    let (one, other) = (world.replica(&redis).await, world.replica(&redis).await);
    becomes_current(&other).await;
    let events = async || {
        let events = stream::pending::<Result<Bytes, Infallible>>();
        ([("content-type", "text/event-stream")], Body::from_stream(events))
    };
    let layer = other.server.mcp_layer(McpScopes::new());
    let app = Router::new().route("/mcp", get(events)).route_layer(layer);
    let token = world.token().subject("alice").sign();
    let request = Request::get("/mcp").header("accept", "text/event-stream");
    let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let reader = tokio::spawn(to_bytes(response.into_body(), usize::MAX));
    one.server.revoke(Revocation::subject(ISSUER, "alice"), until_time(&world)).await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(10), reader).await.expect("the stream ends").unwrap();
    assert!(rest.unwrap().is_empty());
}
