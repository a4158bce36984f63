//! Every method of the protocol with every kind of rule, and the request formats of all protocol revisions.

use mcp_bearer::mcp::McpScopes;
use serde_json::{Value, json};

use super::server::McpServer;
use crate::support::Fixture;

/// The target of an operation, as far as rules distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Itself,
    Tool,
    Prompt,
    Resource,
}
use Target::{Itself, Prompt, Resource, Tool};

impl Target {
    /// A scope such as `own:tool`.
    fn scope(self, rule: &str) -> Vec<String> {
        match self {
            Itself => vec![],
            Tool => vec![format!("{rule}:tool")],
            Prompt => vec![format!("{rule}:prompt")],
            Resource => vec![format!("{rule}:resource")],
        }
    }
}

/// Every request and notification that a client sends in any revision, and its target.
fn operations() -> Vec<(&'static str, Value, Target)> {
    let client = json!({ "name": "c", "version": "1" });
    let (prompt, resource) =
        (json!({ "type": "ref/prompt", "name": "p" }), json!({ "type": "ref/resource", "uri": "r://1" }));
    let argument = json!({ "name": "x", "value": "y" });
    vec![
        ("initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client }), Itself),
        ("ping", Value::Null, Itself),
        ("server/discover", json!({}), Itself),
        ("tools/list", json!({ "cursor": "c" }), Itself),
        ("tools/call", json!({ "name": "t", "arguments": { "name": "x", "uri": "y", "method": "z" } }), Tool),
        ("prompts/list", json!({}), Itself),
        ("prompts/get", json!({ "name": "p", "arguments": { "a": "b" } }), Prompt),
        ("resources/list", json!({}), Itself),
        ("resources/templates/list", json!({}), Itself),
        ("resources/read", json!({ "uri": "r://1" }), Resource),
        ("resources/subscribe", json!({ "uri": "r://1" }), Resource),
        ("resources/unsubscribe", json!({ "uri": "r://1" }), Resource),
        ("resources/directory/read", json!({ "uri": "r://1" }), Resource),
        ("completion/complete", json!({ "ref": prompt, "argument": argument }), Prompt),
        ("completion/complete", json!({ "ref": resource, "argument": argument }), Resource),
        ("logging/setLevel", json!({ "level": "info" }), Itself),
        ("skills/list", json!({}), Itself),
        ("skills/get", json!({ "uri": "r://1" }), Resource),
        ("subscriptions/listen", json!({}), Itself),
        ("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }), Itself),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": [] } }), Itself),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": ["r://1", "r://2"] } }), Resource),
        ("tasks/get", json!({ "taskId": "7" }), Itself),
        ("tasks/result", json!({ "taskId": "7" }), Itself),
        ("tasks/update", json!({ "taskId": "7", "inputResponses": {} }), Itself),
        ("tasks/cancel", json!({ "taskId": "7" }), Itself),
        ("tasks/list", json!({}), Itself),
        ("roots/list", json!({}), Itself),
        ("notifications/initialized", json!({}), Itself),
        ("notifications/cancelled", json!({ "requestId": 1, "reason": "r" }), Itself),
        ("notifications/progress", json!({ "progressToken": 1, "progress": 0.5, "total": 1.0e2 }), Itself),
        ("notifications/roots/list_changed", json!({}), Itself),
        ("elicitation/create", json!({ "message": "m" }), Itself),
        ("sampling/createMessage", json!({ "messages": [] }), Itself),
        ("notes/shuffle", json!({ "name": "t", "uri": "r://1", "depth": { "a": [1, 2.5, true, null] } }), Itself),
        ("", json!({}), Itself),
    ]
}

/// Unusual white space, so that a body that is serialized again is noticed.
fn body(method: &str, params: &Value) -> String {
    let id = if method.starts_with("notifications/") { "" } else { "\"id\" : 7 ,\n" };
    let params = if params.is_null() { String::new() } else { format!(",  \"params\":{params:#} ") };
    let method = json!(method);
    format!(" {{\"jsonrpc\": \"2.0\",{id} \"method\":{method}{params}}}\n")
}

/// Asserts that every operation needs exactly these scopes beyond `mcp:tools`, in this order.
async fn each_needs(scopes: McpScopes, needed: impl Fn(&str, Target) -> Vec<String>) {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, scopes.clone());
    let mixed = McpServer::mixed(&fixture, scopes);
    for (method, params, target) in operations() {
        let body = body(method, &params);
        let needed = needed(method, target);
        let all = [&["mcp:tools".to_owned()], needed.as_slice()].concat().join(" ");
        for missing in 0..needed.len() {
            let held = needed.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, scope)| scope.as_str());
            let held = held.fold("mcp:tools unrelated".to_owned(), |held, scope| held + " " + scope);
            assert_eq!(
                server.outcome(&fixture.token_for(&held), &[], body.clone()).await,
                format!("403 {all}"),
                "{body}"
            );
        }
        assert_eq!(server.outcome(&fixture.token_for(&all), &[], body.clone()).await, "OK", "{body}");
        assert_eq!(server.outcome("", &[], body.clone()).await, "401 mcp:tools", "{body}");
        assert_eq!(mixed.outcome("", &[], body.clone()).await, format!("401 {all}"), "{body}");
        assert_eq!(mixed.outcome(&fixture.token_for(&all), &[], body.clone()).await, "OK", "{body}");
    }
}

fn own() -> McpScopes {
    McpScopes::new()
        .tool("t", ["own:tool"])
        .prompt("p", ["own:prompt"])
        .resource("r://{id}", ["own:resource"])
        .tool("other", ["never"])
        .prompt("other", ["never"])
        .resource("other://{id}", ["never"])
}

fn any(scopes: McpScopes) -> McpScopes {
    scopes.any_tool(["any:tool"]).any_prompt(["any:prompt"]).any_resource(["any:resource"])
}

/// A rule with its own scope for each method.
fn by_method(scopes: McpScopes) -> McpScopes {
    let mut methods: Vec<_> = operations().into_iter().map(|(method, ..)| method).filter(|m| !m.is_empty()).collect();
    methods.dedup();
    methods.into_iter().fold(scopes, |scopes, method| scopes.method(method, [format!("by:{method}")]))
}

fn method_scope(method: &str) -> Vec<String> {
    if method.is_empty() { vec![] } else { vec![format!("by:{method}")] }
}

#[tokio::test]
async fn without_a_rule_an_operation_needs_the_scopes_of_the_layer() {
    each_needs(McpScopes::new(), |_, _| vec![]).await;
}

#[tokio::test]
async fn a_method_rule_applies_to_every_target() {
    each_needs(by_method(McpScopes::new()), |method, _| method_scope(method)).await;
}

#[tokio::test]
async fn a_target_rule_applies_to_every_method_and_only_to_its_target() {
    each_needs(own(), |_, target| target.scope("own")).await;
}

#[tokio::test]
async fn a_rule_for_any_target_applies_to_targets_without_a_rule() {
    each_needs(any(McpScopes::new()), |_, target| target.scope("any")).await;
    each_needs(any(own()), |_, target| target.scope("own")).await;
}

#[tokio::test]
async fn scopes_of_the_method_come_before_those_of_the_target() {
    each_needs(any(by_method(own())), |method, target| [method_scope(method), target.scope("own")].concat()).await;
}

#[tokio::test]
async fn a_scope_of_several_rules_is_listed_once() {
    let scopes = McpScopes::new()
        .method("tools/call", ["mcp:tools", "shared"])
        .tool("t", ["own:tool", "shared", "mcp:tools"])
        .any_tool(["never"]);
    each_needs(scopes, |method, _| match method {
        "tools/call" => vec!["shared".to_owned(), "own:tool".to_owned()],
        _ => vec![],
    })
    .await;
}

#[tokio::test]
async fn a_rule_without_scopes_lists_its_target() {
    let none = [""; 0];
    let scopes = McpScopes::new().tool("t", none).prompt("p", none).any_resource(none).deny_unlisted();
    each_needs(scopes.any_tool(["never"]), |_, _| vec![]).await;
}

#[tokio::test]
async fn deny_unlisted_rejects_unlisted_targets() {
    each_needs(own().deny_unlisted(), |_, target| target.scope("own")).await;
    each_needs(any(McpScopes::new()).deny_unlisted(), |_, target| target.scope("any")).await;
    let fixture = Fixture::new().await;
    let scopes = by_method(McpScopes::new().tool("other", ["never"]).prompt("t", ["never"]).tool("p", ["never"]));
    let server = McpServer::new(&fixture, scopes.clone().deny_unlisted());
    let mixed = McpServer::mixed(&fixture, scopes.deny_unlisted());
    for (method, params, target) in operations() {
        let body = body(method, &params);
        let token = fixture.token_for(&format!("mcp:tools never {}", method_scope(method).concat()));
        let expected = if target == Itself { "OK" } else { "403 -32602 7" };
        assert_eq!(server.outcome(&token, &[], body.clone()).await, expected, "{body}");
        // The target does not exist, but only a request with a valid token learns that.
        assert!(mixed.outcome("", &[], body.clone()).await.starts_with("401 mcp:tools"), "{body}");
    }
}

#[tokio::test]
async fn public_operations_need_no_token_and_no_scope() {
    let fixture = Fixture::new().await;
    let public = |scopes: McpScopes| {
        let methods = operations().into_iter().filter(|(method, _, target)| {
            !method.is_empty() && (*target == Itself || *method == "subscriptions/listen")
        });
        scopes
            .public(methods.map(|(method, ..)| method))
            .public_tools(["t"])
            .public_prompts(["p"])
            .public_resources(["r://{id}"])
    };
    for scopes in [McpScopes::new(), any(McpScopes::new()), McpScopes::new().deny_unlisted()] {
        let server = McpServer::mixed(&fixture, public(scopes));
        let token = fixture.token_for("mcp:tools");
        for (method, params, _) in operations().into_iter().filter(|(method, ..)| !method.is_empty()) {
            let body = body(method, &params);
            assert_eq!(server.outcome("", &[], body.clone()).await, "OK", "{body}");
            assert_eq!(server.outcome(&token, &[], body.clone()).await, "OK", "{body}");
        }
    }
}

#[tokio::test]
async fn a_response_from_a_client_needs_a_token_only() {
    let fixture = Fixture::new().await;
    let server = McpServer::mixed(&fixture, any(own()).public(["ping", "roots/list"]).deny_unlisted());
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#,
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"no","data":{"method":"tools/call"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"method":"ping","params":{"name":"t"}}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":""}}]"#,
    ] {
        assert_eq!(server.outcome(&fixture.token_for("mcp:tools"), &[], body).await, "OK", "{body}");
        assert_eq!(server.outcome("", &[], body).await, "401 mcp:tools", "{body}");
    }
}

#[tokio::test]
async fn requests_of_every_revision_are_checked_by_their_operation() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, own());
    let plain = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": { "name": "t" } });
    let mut modern = plain.clone();
    modern["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "other", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
        "name": "other", "uri": "other://1", "$serde_json::private::RawValue": "{}",
    });
    let session = ("mcp-session-id", "s");
    for (revision, headers, message) in [
        ("2024-11-05", &[][..], plain.clone()),
        ("2025-03-26", &[session], plain.clone()),
        ("2025-03-26, a batch", &[session], json!([plain])),
        ("2025-06-18", &[session, ("mcp-protocol-version", "2025-06-18")], plain.clone()),
        ("2025-11-25", &[session, ("mcp-protocol-version", "2025-11-25")], plain.clone()),
        (
            "2026-07-28",
            &[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "t")],
            modern,
        ),
    ] {
        let rejected = server.outcome(&fixture.token_for("mcp:tools"), headers, message.to_string()).await;
        assert_eq!(rejected, "403 mcp:tools own:tool", "{revision}");
        let token = fixture.token_for("own:tool mcp:tools");
        assert_eq!(server.outcome(&token, headers, message.to_string()).await, "OK", "{revision}");
        server.post(&token, headers, message.to_string()).await;
        let reached = server.take_reached();
        for (name, value) in headers {
            assert_eq!(reached[0].headers[*name], *value, "{revision}");
        }
    }
}
