//! Sessions and streams of callers with API keys.

use std::time::Duration;

use axum::response::IntoResponse as _;
use http::StatusCode;
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::TestClock;
use mcp_bearer::{Clock as _, ResourceServerBuilder};

use super::Keyed;
use super::file::KeyFile;
use crate::mcp::server::{McpServer, tools};
use crate::mcp::stream::{EVENTS, Stream, feeding};
use crate::support::RESOURCE;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_the_identity_of_the_key_and_not_to_a_user_of_that_name() {
    let keys: Vec<_> = (0..3).map(|_| ApiKey::generate().unwrap()).collect();
    let stored = ["alice", "alice", "bob"].iter().zip(&keys).enumerate();
    let all = stored.fold(ApiKeys::new(), |all, (number, (identity, key))| {
        all.key(key.stored_as(format!("key {number}")).identity(*identity).scopes(["mcp:tools"]))
    });
    let keyed = Keyed::new(all).await;
    let layer = keyed.server.mcp_layer(McpScopes::new()).bind_sessions();
    let server = McpServer::with(tools(layer), |_| ([("mcp-session-id", "inner")], "ok").into_response());
    let answer = server.post(keys[0].expose(), &[], INITIALIZE).await;
    let session = answer.header("mcp-session-id").unwrap().to_owned();
    let user = keyed.issuer.token().audience(RESOURCE).subject("alice").scope("mcp:tools").sign();
    for (token, expected) in [
        (keys[0].expose(), StatusCode::OK),
        // The other key of the same identity, during a rotation.
        (keys[1].expose(), StatusCode::OK),
        (keys[2].expose(), StatusCode::NOT_FOUND),
        (&user, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(server.post(token, &[("mcp-session-id", &session)], LIST).await.status, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_soon_after_its_key_was_removed() {
    let key = ApiKey::generate().unwrap();
    let mut file = KeyFile::new(&key.stored_as("ci").scopes(["mcp:tools", "notes:read"]).to_line());
    let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
    let scopes = McpScopes::new().tool("watch", ["notes:read"]);
    let layer = keyed.server.mcp_layer(scopes).revalidate_streams(Duration::from_secs(100));
    let (server, feed) = feeding(tools(layer), EVENTS);
    let mut stream = Stream::open(&server, key.expose()).await;
    feed.send("data: a\n\n");
    assert_eq!(stream.next().await.as_deref(), Some("data: a\n\n"));
    file.write("");
    let (rest, ended) = stream.rest().await;
    assert!(rest.is_empty() && (90..=100).contains(&ended), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_the_expiry_of_its_key_without_clock_skew() {
    let key = ApiKey::generate().unwrap();
    let expiry = TestClock::new().now() + Duration::from_secs(20);
    let stored = key.stored_as("ci").scopes(["mcp:tools", "notes:read"]).expires_at(expiry);
    let configure = |builder: ResourceServerBuilder| builder.clock_skew(Duration::from_secs(60));
    let keyed = Keyed::with(ApiKeys::new().key(stored), configure).await;
    let layer = keyed.server.mcp_layer(McpScopes::new().tool("watch", ["notes:read"]));
    let (server, feed) = feeding(tools(layer), EVENTS);
    let mut stream = Stream::open(&server, key.expose()).await;
    feed.send("data: a\n\n");
    assert_eq!(stream.next().await.as_deref(), Some("data: a\n\n"));
    let (rest, ended) = stream.rest().await;
    assert!(rest.is_empty() && (19..=21).contains(&ended), "{ended}");
}
