//! Batches (MCP 2025-03-26): either all messages are allowed, or the request is rejected.

use mcp_bearer::mcp::McpScopes;
use serde_json::{Value, json};

use super::server::McpServer;
use super::verdict::verdict;
use crate::support::Fixture;

fn scopes() -> McpScopes {
    McpScopes::new()
        .tool("add", ["notes:write"])
        .tool("clear", ["notes:write", "notes:delete"])
        .prompt("summary", ["notes:read"])
        .resource("notes://{id}", ["notes:read"])
}

fn tool(name: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": name, "method": "tools/call", "params": { "name": name } })
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

fn note() -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": { "uri": "notes://1" } })
}

fn summary() -> Value {
    json!({ "jsonrpc": "2.0", "id": 3, "method": "prompts/get", "params": { "name": "summary" } })
}

fn initialized() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
}

fn answer() -> Value {
    json!({ "jsonrpc": "2.0", "id": 9, "result": {} })
}

#[tokio::test]
async fn a_challenge_for_a_batch_contains_the_scopes_of_all_messages() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, scopes());
    for (batch, needed) in [
        (json!([ping()]), ""),
        (json!([ping(), initialized(), answer()]), ""),
        (json!([tool("add")]), "notes:write"),
        (json!([ping(), tool("unlisted"), tool("add"), tool("add")]), "notes:write"),
        (json!([tool("add"), summary()]), "notes:write notes:read"),
        (json!([note(), tool("clear"), summary()]), "notes:read notes:write notes:delete"),
        (json!([tool("clear"), answer(), note(), tool("add")]), "notes:write notes:delete notes:read"),
    ] {
        let body = batch.to_string();
        let all = format!("mcp:tools {needed}").trim().to_owned();
        assert_eq!(server.outcome(&fixture.token_for(&all), &[], body.clone()).await, "OK", "{body}");
        // One message that is not allowed stops the whole batch.
        for missing in needed.split(' ').filter(|scope| !scope.is_empty()) {
            let held: Vec<_> = all.split(' ').filter(|scope| *scope != missing).collect();
            let rejected = server.outcome(&fixture.token_for(&held.join(" ")), &[], body.clone()).await;
            assert_eq!(rejected, format!("403 {all}"), "{body}");
        }
    }
}

#[tokio::test]
async fn one_unlisted_target_stops_the_batch() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, scopes().deny_unlisted());
    let token = fixture.token_for("mcp:tools notes:read notes:write notes:delete");
    for batch in [[ping(), tool("unlisted")], [tool("unlisted"), ping()], [tool("unlisted"), tool("add")]] {
        // The error does not have an id, since several requests could have caused it.
        assert_eq!(verdict(&server.call(&token, &json!(batch)).await), "403 -32602", "{batch:?}");
        assert!(server.take_reached().is_empty(), "{batch:?}");
    }
    assert_eq!(server.outcome(&token, &[], json!([tool("unlisted")]).to_string()).await, "403 -32602 \"unlisted\"");
}

#[tokio::test]
async fn an_array_that_is_not_a_batch_of_messages_is_unreadable() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, scopes());
    let some = fixture.token_for("mcp:tools notes:read notes:write");
    let all = fixture.token_for("mcp:tools notes:read notes:write notes:delete");
    for batch in [
        json!([]),
        json!([[]]),
        json!([[ping()]]),
        json!([ping(), [ping()]]),
        json!([ping(), 1]),
        json!([null]),
        json!([ping(), {}]),
        json!(["ping"]),
        json!([ping(), { "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {} }]),
    ] {
        let body = batch.to_string();
        assert_eq!(server.outcome(&some, &[], body.clone()).await, "400 -32600", "{body}");
        assert_eq!(server.outcome(&all, &[], body.clone()).await, "OK", "{body}");
    }
    for broken in ["[", "[{}", r#"[{"method":"ping"}"#, r#"[{"method":"ping"},]"#, r#"[{"method":"ping"}]]"#] {
        assert_eq!(server.outcome(&some, &[], broken).await, "400 -32600", "{broken}");
    }
}

#[tokio::test]
async fn a_long_batch_is_checked_to_its_last_message() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, scopes());
    let token = fixture.token_for("mcp:tools");
    for (last, expected) in [
        (tool("unlisted"), "OK"),
        (tool("add"), "403 mcp:tools notes:write"),
        (json!({ "jsonrpc": "2.0", "id": 1 }), "400 -32600"),
    ] {
        let batch = [vec![ping(); 999], vec![last]].concat();
        assert_eq!(server.outcome(&token, &[], json!(batch).to_string()).await, expected);
    }
}

#[tokio::test]
async fn a_batch_that_is_too_long_is_unreadable() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, scopes());
    let some = fixture.token_for("mcp:tools notes:read notes:write");
    let all = fixture.token_for("mcp:tools notes:read notes:write notes:delete");
    // The greatest number of messages in a body, at 15 bytes each.
    for count in [1_000, 10_000, 279_000] {
        let tiny = r#"{"method":"x"},"#.repeat(count);
        for last in [r#"{"method":"x"}"#, r#"{"method":"tools/call","params":{"name":"add"}}"#, "{}", "", "]"] {
            let body = format!("[{tiny}{last}]");
            assert_eq!(server.outcome(&some, &[], body.clone()).await, "400 -32600", "{count} {last}");
            assert_eq!(server.outcome(&all, &[], body).await, "OK", "{count} {last}");
        }
    }
}

#[tokio::test]
async fn the_total_length_of_uris_in_a_body_is_limited() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(
        &fixture,
        McpScopes::new().resource("notes://{id}", ["notes:read"]).tool("add", ["notes:write"]),
    );
    let some = fixture.token_for("mcp:tools notes:read");
    let all = fixture.token_for("mcp:tools notes:read notes:write");
    let uri = |length: usize| format!("notes://{}", "x".repeat(length - 8));
    let read =
        |length| json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": uri(length) } });
    let listen = |length| {
        let notifications = json!({ "resourceSubscriptions": [uri(length), uri(length)] });
        json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": { "notifications": notifications } })
    };
    for (batch, expected) in [
        (vec![read(8_192); 8], "OK"),
        ([vec![read(8_192); 7], vec![read(8_183), read(9)]].concat(), "OK"),
        ([vec![read(8_192); 8], vec![read(9)]].concat(), "400 -32600"),
        (vec![listen(8_192); 4], "OK"),
        ([vec![listen(8_192); 4], vec![read(9)]].concat(), "400 -32600"),
        ([vec![read(9)], vec![listen(8_192); 4]].concat(), "400 -32600"),
    ] {
        let body = json!(batch).to_string();
        assert_eq!(server.outcome(&some, &[], body.clone()).await, expected);
        assert_eq!(server.outcome(&all, &[], body).await, "OK");
    }
}

#[tokio::test]
async fn a_body_with_too_many_uris_is_unreadable() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new().resource("notes://{id}", ["notes:read"]).tool("add", ["notes:write"]);
    let server = McpServer::new(&fixture, scopes.clone());
    let mixed = McpServer::mixed(&fixture, scopes.public(["ping"]).public_resources(["docs://{id}"]));
    let some = fixture.token_for("mcp:tools notes:read");
    let all = fixture.token_for("mcp:tools notes:read notes:write");
    let message =
        |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    for uri in ["", "notes://1", "docs://1"] {
        let read = message("resources/read", json!({ "uri": uri }));
        let complete = message("completion/complete", json!({ "ref": { "uri": uri } }));
        let template = message("completion/complete", json!({ "ref": { "uri": "notes://{id}" } }));
        let listen = |count: usize| {
            message("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": vec![uri; count] } }))
        };
        for (batch, expected) in [
            (vec![listen(256)], "OK"),
            (vec![listen(257)], "400 -32600"),
            (vec![listen(128); 2], "OK"),
            ([vec![listen(128); 2], vec![read.clone()]].concat(), "400 -32600"),
            ([vec![read.clone(); 255], vec![complete.clone()]].concat(), "OK"),
            ([vec![read.clone(); 256], vec![complete]].concat(), "400 -32600"),
            ([vec![ping(); 700], vec![read.clone(); 256]].concat(), "OK"),
            ([vec![read; 256], vec![template]].concat(), "400 -32600"),
            (vec![listen(256); 1_000], "400 -32600"),
        ] {
            let body = json!(batch).to_string();
            assert_eq!(server.outcome(&some, &[], body.clone()).await, expected, "{body:.200}");
            assert_eq!(server.outcome(&all, &[], body.clone()).await, "OK", "{body:.200}");
            if expected != "OK" {
                assert_eq!(mixed.outcome("", &[], body.clone()).await, "401 mcp:tools", "{body:.200}");
            }
        }
    }
}
