//! Scope hierarchies: a broad scope includes narrow ones, and challenges contain the narrowest sufficient scope (MCP
//! 2026-07-28).

use axum::response::IntoResponse as _;
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::{AuthInfo, BuildErrorKind, ResourceServer, ResourceServerBuilder};
use serde_json::json;

use super::server::McpServer;
use super::verdict::verdict;
use crate::support::{Answer, App, Fixture, ISSUER, RESOURCE};

/// `admin` implies `notes:write`, which implies `notes:read`; `mcp:full` implies `mcp:tools`.
async fn fixture() -> Fixture {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let server = implying(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock.clone()));
    let server = server.build_lazy().unwrap();
    server.warm_up().await.unwrap();
    Fixture { issuer, clock, server }
}

fn implying(builder: ResourceServerBuilder) -> ResourceServerBuilder {
    builder
        .scope_implies("notes:write", ["notes:read"])
        .scope_implies("admin", ["notes:write"])
        .scope_implies("mcp:full", ["mcp:tools"])
}

fn add() -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "add" } }).to_string()
}

#[tokio::test]
async fn broader_scopes_satisfy_the_layer_and_the_rules() {
    let fixture = fixture().await;
    let scopes = McpScopes::new().tool("add", ["notes:write"]).any_tool(["notes:read"]).method("ping", ["admin"]);
    let server = McpServer::new(&fixture, scopes);
    let list = json!({ "id": 7, "method": "tools/call", "params": { "name": "list" } }).to_string();
    let ping = json!({ "id": 7, "method": "ping" }).to_string();
    for (granted, expected) in [
        ("mcp:tools admin", ["OK", "OK", "OK"]),
        ("mcp:full admin", ["OK", "OK", "OK"]),
        ("mcp:tools notes:write", ["OK", "OK", "403 mcp:tools admin"]),
        ("mcp:full notes:read", ["403 mcp:tools notes:write", "OK", "403 mcp:tools admin"]),
        ("mcp:full", ["403 mcp:tools notes:write", "403 mcp:tools notes:read", "403 mcp:tools admin"]),
        // The outer layer comes first, and it does not know the operation.
        ("admin", ["403 mcp:tools"; 3]),
        // Scopes are compared exactly: a prefix or another case implies nothing.
        (
            "mcp:tools notes Admin notes:*",
            ["403 mcp:tools notes:write", "403 mcp:tools notes:read", "403 mcp:tools admin"],
        ),
    ] {
        let token = fixture.token_for(granted);
        for (body, expected) in [&add(), &list, &ping].into_iter().zip(expected) {
            assert_eq!(server.outcome(&token, &[], body.clone()).await, expected, "{granted}: {body}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_body_is_forwarded_if_the_token_implies_all_scopes() {
    let fixture = fixture().await;
    let server = McpServer::new(&fixture, McpScopes::new().tool("add", ["notes:write"]).prompt("p", ["notes:read"]));
    assert_eq!(server.outcome(&fixture.token_for("mcp:full admin"), &[], "?").await, "OK");
    assert_eq!(server.outcome(&fixture.token_for("mcp:full notes:read"), &[], "?").await, "400 -32600");
}

#[tokio::test]
async fn a_challenge_contains_the_narrowest_sufficient_scope() {
    let fixture = fixture().await;
    for (what, required, alternatives, expected) in [
        ("broad first", &[][..], &["notes:write", "notes:read"][..], "notes:read"),
        ("broadest first", &[], &["admin", "notes:write", "notes:read"], "notes:read"),
        ("narrow first", &[], &["notes:read", "admin"], "notes:read"),
        ("unrelated first", &[], &["mcp:tools", "admin", "notes:read"], "mcp:tools"),
        ("no narrow one", &[], &["admin", "mcp:full"], "admin"),
        ("two calls", &["mcp:tools"], &["admin", "notes:read"], "mcp:tools notes:read"),
    ] {
        let (mut bearer, mut mcp) =
            (fixture.server.bearer_layer(), fixture.server.mcp_layer(McpScopes::new().tool("add", ["own"])));
        if !required.is_empty() {
            (bearer, mcp) = (bearer.required_scopes(required), mcp.required_scopes(required));
        }
        (bearer, mcp) = (bearer.any_scope(alternatives), mcp.any_scope(alternatives));
        let app = App::new(bearer);
        let rejected = app.with_token(&fixture.token_for("nothing")).await;
        assert_eq!(verdict(&rejected), format!("403 {expected}"), "{what}");
        // A token with this scope is accepted.
        assert_eq!(app.with_token(&fixture.token_for(expected)).await.verdict(), "OK", "{what}");
        // The challenge of an operation contains it too, followed by the scopes of the operation.
        let server = McpServer::with(mcp, |_| "ok".into_response());
        let rejected = server.outcome(&fixture.token_for(&format!("{expected} admin")), &[], add()).await;
        assert_eq!(rejected, format!("403 {expected} own"), "{what}");
    }
}

#[tokio::test]
async fn broader_scopes_satisfy_require_scopes() {
    let fixture = fixture().await;
    let layer = fixture.server.bearer_layer().any_scope(["mcp:full", "mcp:tools"]);
    let handler = async |auth: AuthInfo| auth.require_scopes(["notes:read", "notes:write"]).map(|()| "ok");
    let router = axum::Router::new().route("/mcp", axum::routing::post(handler)).route_layer(layer);
    for (granted, expected) in [
        ("mcp:full admin", None),
        ("mcp:tools notes:write", None),
        ("mcp:full notes:read", Some("403 mcp:tools notes:read notes:write")),
    ] {
        let request = super::server::post(&fixture.token_for(granted), &[], "");
        let answer = Answer::of(tower::ServiceExt::oneshot(router.clone(), request).await.unwrap()).await;
        match expected {
            None => assert_eq!(answer.body, "ok", "{granted}"),
            Some(expected) => assert_eq!(verdict(&answer), expected, "{granted}"),
        }
    }
}

#[test]
fn a_cycle_of_scopes_is_a_build_error() {
    let builder = || implying(ResourceServer::builder(RESOURCE).issuer(TestIssuer::new(ISSUER).issuer()));
    for circle in [("notes:read", "admin"), ("admin", "admin"), ("notes:read", "notes:write")] {
        let error = builder().scope_implies(circle.0, ["x", circle.1]).build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Scope);
        let message = error.to_string();
        assert!(message.contains("implies itself: remove one `scope_implies` rule of the circle"), "{message}");
    }
    // Two paths from one scope to another are not a cycle.
    builder()
        .scope_implies("admin", ["notes:read", "other"])
        .scope_implies("other", ["notes:read"])
        .build_lazy()
        .unwrap();
}
