//! Servers with public operations: only configured operations are public.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use mcp_bearer::ResourceServer;
use mcp_bearer::mcp::McpScopes;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tracing::Level;

use super::server::{McpServer, post};
use super::verdict::verdict;
use crate::capture::Capture;
use crate::support::{Answer, Fixture, METADATA_URL, RESOURCE};

fn rules() -> McpScopes {
    McpScopes::new()
        .public(["initialize", "ping", "tools/list"])
        .public_tools(["search"])
        .public_prompts(["help"])
        .public_resources(["docs://{page}"])
        .tool("add", ["notes:write"])
        .any_prompt(["notes:read"])
        .resource("notes://{id}", ["notes:read"])
        .method("logging/setLevel", ["admin"])
}

fn request(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

#[tokio::test]
async fn only_public_operations_need_no_token() {
    let fixture = Fixture::new().await;
    let server = McpServer::mixed(&fixture, rules());
    let completion = |reference: Value| json!({ "ref": reference, "argument": {} });
    for (method, params, expected) in [
        ("initialize", json!({}), "OK"),
        ("ping", json!({}), "OK"),
        ("ping", json!({ "name": "add", "uri": "notes://1" }), "OK"),
        ("tools/list", json!({}), "OK"),
        // This notification follows `initialize`, which is public.
        ("notifications/initialized", json!({}), "OK"),
        ("notifications/cancelled", json!({}), "401 mcp:tools"),
        ("tools/call", json!({ "name": "search" }), "OK"),
        ("tools/call", json!({ "name": "Search" }), "401 mcp:tools"),
        ("tools/call", json!({ "name": "search " }), "401 mcp:tools"),
        ("tools/call", json!({ "name": "add" }), "401 mcp:tools notes:write"),
        ("tools/call", json!({ "name": "help" }), "401 mcp:tools"),
        ("prompts/list", json!({}), "401 mcp:tools"),
        ("prompts/get", json!({ "name": "help" }), "OK"),
        ("prompts/get", json!({ "name": "search" }), "401 mcp:tools notes:read"),
        ("resources/list", json!({}), "401 mcp:tools"),
        ("resources/read", json!({ "uri": "docs://start" }), "OK"),
        ("resources/subscribe", json!({ "uri": "docs://start" }), "OK"),
        ("resources/read", json!({ "uri": "docs://start/../../notes" }), "401 mcp:tools notes:read"),
        ("resources/read", json!({ "uri": "notes://1" }), "401 mcp:tools notes:read"),
        ("completion/complete", completion(json!({ "name": "help" })), "OK"),
        ("completion/complete", completion(json!({ "name": "add" })), "401 mcp:tools notes:read"),
        ("completion/complete", completion(json!({ "uri": "docs://a" })), "OK"),
        ("completion/complete", completion(json!({ "uri": "notes://a" })), "401 mcp:tools notes:read"),
        ("logging/setLevel", json!({}), "401 mcp:tools admin"),
        ("notes/shuffle", json!({}), "401 mcp:tools"),
        ("subscriptions/listen", json!({}), "401 mcp:tools"),
        (
            "subscriptions/listen",
            json!({ "notifications": { "resourceSubscriptions": ["docs://a"] } }),
            "401 mcp:tools",
        ),
    ] {
        assert_eq!(server.outcome("", &[], request(method, params.clone())).await, expected, "{method} {params}");
    }
}

#[tokio::test]
async fn a_public_subscription_contains_only_public_resources() {
    let fixture = Fixture::new().await;
    let server = McpServer::mixed(&fixture, rules().public(["subscriptions/listen"]));
    for (uris, expected) in [
        (json!([]), "OK"),
        (json!(["docs://a", "docs://b"]), "OK"),
        (json!(["docs://a", "other://b"]), "401 mcp:tools"),
        (json!(["docs://a", "notes://b"]), "401 mcp:tools notes:read"),
    ] {
        let params = json!({ "notifications": { "resourceSubscriptions": uris } });
        assert_eq!(server.outcome("", &[], request("subscriptions/listen", params)).await, expected, "{uris}");
    }
}

#[tokio::test]
async fn an_invalid_token_is_rejected_for_public_operations_too() {
    let fixture = Fixture::new().await;
    let server = McpServer::mixed(&fixture, rules());
    let expired = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expired().sign();
    let other = fixture.issuer.token().audience("https://other.example.com").scope("mcp:tools").sign();
    for body in [request("ping", json!({})), request("tools/call", json!({ "name": "search" }))] {
        for token in [&expired, &other, "garbage"] {
            let rejected = server.outcome(token, &[], body.clone()).await;
            assert_eq!(rejected, "401 invalid_token mcp:tools", "{body}");
        }
        // A request with a token needs the scopes of the layer, even for a public operation.
        assert_eq!(server.outcome(&fixture.token_for("notes:write"), &[], body.clone()).await, "403 mcp:tools");
        assert_eq!(server.outcome(&fixture.token(), &[], body.clone()).await, "OK");
    }
}

#[tokio::test]
async fn a_batch_is_public_only_if_all_its_messages_are() {
    let fixture = Fixture::new().await;
    let server = McpServer::mixed(&fixture, rules());
    let ping = r#"{"id":1,"method":"ping"}"#;
    let search = r#"{"id":2,"method":"tools/call","params":{"name":"search"}}"#;
    let add = r#"{"id":3,"method":"tools/call","params":{"name":"add"}}"#;
    let answer = r#"{"id":4,"result":{}}"#;
    for (batch, expected) in [
        (vec![ping, search], "OK"),
        (vec![ping, add], "401 mcp:tools notes:write"),
        (vec![add, search, ping], "401 mcp:tools notes:write"),
        (vec![ping, answer], "401 mcp:tools"),
        (vec![ping, "{}"], "401 mcp:tools"),
        (vec![], "401 mcp:tools"),
    ] {
        assert_eq!(server.outcome("", &[], format!("[{}]", batch.join(","))).await, expected, "{batch:?}");
    }
}

#[tokio::test]
async fn public_operations_need_both_settings() {
    let fixture = Fixture::new().await;
    let without_anonymous = McpServer::new(&fixture, rules());
    let without_public = McpServer::mixed(&fixture, McpScopes::new().any_tool(["notes:write"]));
    for (method, params) in
        [("initialize", json!({})), ("ping", json!({})), ("tools/call", json!({ "name": "search" }))]
    {
        let body = request(method, params);
        assert_eq!(without_anonymous.outcome("", &[], body.clone()).await, "401 mcp:tools", "{body}");
        assert!(without_public.outcome("", &[], body.clone()).await.starts_with("401 mcp:tools"), "{body}");
    }
}

#[tokio::test]
async fn unlisted_targets_are_denied_without_a_token_too() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new().public(["completion/complete"]).public_prompts(["help"]).deny_unlisted();
    let server = McpServer::mixed(&fixture, scopes);
    for (reference, expected) in [
        (json!({ "name": "help" }), "OK"),
        (json!({ "name": "secret" }), "403 -32602 7"),
        (json!({ "uri": "secret://1" }), "403 -32602 7"),
    ] {
        let body = request("completion/complete", json!({ "ref": reference }));
        for token in [String::new(), fixture.token()] {
            assert_eq!(server.outcome(&token, &[], body.clone()).await, expected, "{reference}");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_body_needs_a_token() {
    let fixture = Fixture::new().await;
    let server = McpServer::mixed(&fixture, rules());
    let send = async |method: &Method, token: &str, body: &'static str| {
        let mut request = post(token, &[], body);
        *request.method_mut() = method.clone();
        let answer = server.send(request).await;
        assert_eq!(server.take_reached().len(), usize::from(answer.status == StatusCode::OK), "{method} {body}");
        answer
    };
    for method in [Method::GET, Method::DELETE, Method::OPTIONS] {
        assert_eq!(verdict(&send(&method, "", "").await), "401 mcp:tools", "{method}");
        assert_eq!(send(&method, &fixture.token(), "").await.status, StatusCode::OK, "{method}");
    }
    assert_eq!(send(&Method::HEAD, "", "").await.status, StatusCode::UNAUTHORIZED);
    // A handler may read a body with any method. A public message does not make a stream public.
    let (ping, add) = (r#"{"method":"ping"}"#, r#"{"method":"tools/call","params":{"name":"add"}}"#);
    for method in [Method::GET, Method::DELETE, Method::OPTIONS] {
        assert_eq!(verdict(&send(&method, "", ping).await), "401 mcp:tools", "{method}");
        assert_eq!(send(&method, &fixture.token(), ping).await.status, StatusCode::OK, "{method}");
        assert_eq!(verdict(&send(&method, &fixture.token(), add).await), "403 mcp:tools notes:write", "{method}");
    }
    for method in [Method::PUT, Method::from_bytes(b"QUERY").unwrap()] {
        assert_eq!(send(&method, "", ping).await.status, StatusCode::OK, "{method}");
        assert_eq!(verdict(&send(&method, "", add).await), "401 mcp:tools notes:write", "{method}");
        assert_eq!(verdict(&send(&method, &fixture.token(), add).await), "403 mcp:tools notes:write", "{method}");
    }
}

#[tokio::test]
async fn a_preflight_passes_without_a_token() {
    let fixture = Fixture::new().await;
    for server in [McpServer::new(&fixture, rules()), McpServer::mixed(&fixture, rules().deny_unlisted())] {
        let preflight = Request::options("/mcp").header("origin", "https://app.example.com");
        let preflight = preflight.header("access-control-request-method", "POST");
        // The body of a preflight is removed, since it could contain an operation.
        let preflight = preflight.body(Body::from(r#"{"method":"tools/call","params":{"name":"add"}}"#)).unwrap();
        assert_eq!(server.send(preflight).await.status, StatusCode::OK);
        let reached = server.take_reached();
        assert_eq!((&reached[0].method, reached[0].body.len()), (&Method::OPTIONS, 0));
    }
}

#[tokio::test]
async fn a_warning_names_every_public_operation() {
    let fixture = Fixture::new().await;
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let warned = |scopes: McpScopes| {
        capture.take();
        assert!(fixture.server.try_mcp_layer(scopes).is_ok());
        let events = capture.take().into_iter().filter(|(_, line)| line.contains("need no token"));
        events.collect::<Vec<_>>()
    };
    let [(level, line)] = &warned(rules())[..] else { panic!("expected exactly one warning") };
    assert_eq!(*level, Level::WARN);
    let expected =
        "initialize, notifications/initialized, ping, prompt help, resource docs://{page}, tool search, tools/list";
    assert!(line.contains(&format!("operations={expected:?}")), "{line}");
    assert!(!warned(McpScopes::new().public_tools(["search"])).is_empty());
    assert!(warned(McpScopes::new().tool("add", ["notes:write"]).deny_unlisted()).is_empty());
}

/// The marks of the outer layer are those of another resource: they give no access, and no scope to the challenge.
#[tokio::test]
async fn an_mcp_layer_inside_a_bearer_layer_of_another_server_decides_alone() {
    const OTHER: &str = "https://other.example.com/mcp";
    let fixture = Fixture::new().await;
    let other = ResourceServer::builder(OTHER).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
    let other = other.build().await.unwrap();
    let outer = || other.bearer_layer().required_scopes(["other"]);
    let token = |audience: Value, scopes: &str| {
        fixture.issuer.token().audience(RESOURCE).claim("aud", audience).subject("alice").scope(scopes).sign()
    };
    let both = || token(json!([RESOURCE, OTHER]), "other mcp:tools");
    let (ping, add) = (request("ping", json!({})), request("tools/call", json!({ "name": "add" })));
    let (mixed, strict) = (McpServer::mixed(&fixture, rules()), McpServer::new(&fixture, rules()));
    for (inner, layer, token, body, expected) in [
        (&mixed, outer().allow_anonymous(), String::new(), &ping, "OK"),
        (&mixed, outer().allow_anonymous(), String::new(), &add, "401 mcp:tools notes:write"),
        (&strict, outer().allow_anonymous(), String::new(), &ping, "401 mcp:tools"),
        (&mixed, outer(), String::new(), &ping, "outer 401"),
        (&mixed, outer(), both(), &ping, "OK"),
        (&mixed, outer(), both(), &add, "403 mcp:tools notes:write"),
        (&mixed, outer(), token(json!([RESOURCE, OTHER]), "other mcp:tools notes:write"), &add, "OK"),
        (&mixed, outer(), token(json!([RESOURCE, OTHER]), "mcp:tools notes:write"), &add, "outer 403"),
        (&mixed, outer(), token(json!(OTHER), "other mcp:tools"), &ping, "401 invalid_token mcp:tools"),
        (&mixed, outer(), token(json!(RESOURCE), "other mcp:tools"), &ping, "outer 401"),
    ] {
        let app = inner.router().layer(layer);
        let answer = Answer::of(app.oneshot(post(&token, &[], body.clone())).await.unwrap()).await;
        let reached = inner.take_reached().len();
        assert_eq!(reached, usize::from(expected == "OK"), "{body} {expected}");
        let outcome = match answer.parameter("resource_metadata").as_deref() {
            None => answer.status.canonical_reason().unwrap().to_owned(),
            Some(METADATA_URL) => verdict(&answer),
            Some(_) => format!("outer {}", answer.status.as_u16()),
        };
        assert_eq!(outcome, expected, "{body}");
    }
}
