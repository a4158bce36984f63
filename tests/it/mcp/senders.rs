//! Sender-constrained tokens at an MCP endpoint: rules that need them, sessions, and streams.

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{HeaderValue, Request, StatusCode, header};
use mcp_bearer::ResourceServer;
use mcp_bearer::jose::Thumbprint;
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::sender::{ClientCertificate, SenderConstraint};
use mcp_bearer::testing::TestClient;
use serde_json::{Value, json};

use super::server::{McpServer, post, tools};
use super::stream::{CALL, EVENTS, Stream, feeding};
use crate::support::{Fixture, RESOURCE, quiet};

/// A fixture whose server accepts bound tokens.
fn fixture() -> Fixture {
    let mut fixture = Fixture::cold();
    let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
    fixture.server = quiet(builder.sender_constraint(SenderConstraint::Optional));
    fixture
}

fn client(fixture: &Fixture) -> TestClient {
    TestClient::with_key(fixture.issuer.dpop_key())
}

/// A token of `alice` that is bound to the key of the client.
fn bound_to(fixture: &Fixture, client: &TestClient) -> String {
    let token = fixture.issuer.token().audience(RESOURCE).subject("alice").scope("mcp:tools pay");
    token.bound_to(client.key()).sign()
}

/// A POST request with this message and a proof.
fn with_proof(client: &TestClient, token: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = post("", &[], body);
    request.headers_mut().extend(client.headers("POST", RESOURCE, token));
    request
}

fn call(tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } })
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_need_a_sender_constrained_token() {
    let fixture = fixture();
    for (scopes, protected) in [
        (McpScopes::new().tool("list", ["mcp:tools"]).tool("pay", ["pay"]).sender_constrained(), call("pay")),
        (McpScopes::new().tool("list", ["mcp:tools"]).any_tool(["pay"]).sender_constrained(), call("pay")),
        (
            McpScopes::new().prompt("pay", ["pay"]).sender_constrained(),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": { "name": "pay" } }),
        ),
        (
            McpScopes::new().resource("bank://{account}", ["pay"]).sender_constrained(),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": "bank://1" } }),
        ),
        (
            McpScopes::new().method("logging/setLevel", ["pay"]).sender_constrained(),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "logging/setLevel" }),
        ),
    ] {
        let server = McpServer::new(&fixture, scopes);
        let bearer = fixture.token_for("mcp:tools pay");
        let batch = json!([call("list"), protected]);
        // A body that cannot be read may have any operation.
        for body in [protected.to_string(), batch.to_string(), "{".to_owned()] {
            let answer = server.post(&bearer, &[], body.clone()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{body}: {answer:?}");
            let challenge = answer.header(header::WWW_AUTHENTICATE).unwrap();
            assert!(challenge.contains("DPoP error=\"invalid_token\""), "{challenge}");
        }
        assert_eq!(server.take_reached().len(), 0);
        assert_eq!(server.call(&bearer, &call("list")).await.status, StatusCode::OK);
        let client = client(&fixture);
        let token = bound_to(&fixture, &client);
        let answer = server.send(with_proof(&client, &token, protected.to_string())).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_filtered_list_has_only_what_the_sender_may_use() {
    let fixture = fixture();
    let scopes = McpScopes::new().tool("list", ["mcp:tools"]).tool("pay", ["pay"]).sender_constrained();
    let layer = tools(fixture.server.mcp_layer(scopes)).filter_lists();
    let list = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": [{ "name": "list" }, { "name": "pay" }] } });
    let server = McpServer::with(layer, move |_| axum::Json(list.clone()).into_response());
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let bearer = server.post(&fixture.token_for("mcp:tools pay"), &[], ask).await;
    assert!(bearer.body.contains("\"list\"") && !bearer.body.contains("\"pay\""), "{}", bearer.body);
    let client = client(&fixture);
    let bound = server.send(with_proof(&client, &bound_to(&fixture, &client), ask)).await;
    assert!(bound.body.contains("\"list\"") && bound.body.contains("\"pay\""), "{}", bound.body);
}

#[test]
fn a_rule_without_its_setting_is_an_error() {
    let plain = Fixture::cold();
    let error = plain.server.try_mcp_layer(McpScopes::new().tool("pay", ["pay"]).sender_constrained()).unwrap_err();
    assert!(error.to_string().contains("`sender_constraint(SenderConstraint::Optional)` on the builder"), "{error}");
    let error = fixture().server.try_mcp_layer(McpScopes::new().sender_constrained()).unwrap_err();
    assert!(error.to_string().contains("before every rule"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_the_key_that_opened_it() {
    let fixture = fixture();
    let layer = tools(fixture.server.mcp_layer(McpScopes::new())).bind_sessions();
    let server = McpServer::with(layer, |_| {
        (StatusCode::OK, [("mcp-session-id", HeaderValue::from_static("inner"))], "ok").into_response()
    });
    let (owner, other) = (client(&fixture), client(&fixture));
    let (token, of_other) = (bound_to(&fixture, &owner), bound_to(&fixture, &other));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let opened = server.send(with_proof(&owner, &token, message.clone())).await;
    let session = HeaderValue::from_str(opened.header("mcp-session-id").unwrap()).unwrap();
    let status = |mut request: Request<Body>| {
        request.headers_mut().insert("mcp-session-id", session.clone());
        let server = server.clone();
        async move { server.send(request).await.status }
    };
    assert_eq!(status(with_proof(&owner, &token, message.clone())).await, StatusCode::OK);
    // A new token that is bound to the same key, as after a refresh.
    assert_eq!(status(with_proof(&owner, &bound_to(&fixture, &owner), message.clone())).await, StatusCode::OK);
    // The same user and client, with another key and without one.
    assert_eq!(status(with_proof(&other, &of_other, message.clone())).await, StatusCode::NOT_FOUND);
    assert_eq!(status(post(&fixture.token_for("mcp:tools pay"), &[], message)).await, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_opened_with_a_proof_ends_with_its_token() {
    let fixture = fixture();
    let layer = tools(fixture.server.mcp_layer(McpScopes::new()));
    let (server, feed) = feeding(layer, EVENTS);
    let client = client(&fixture);
    let request = with_proof(&client, &bound_to(&fixture, &client), CALL);
    let mut stream = Stream::of(&server, request).await;
    feed.send("data: 1\n\n");
    let (text, seconds) = stream.rest().await;
    // When a new token of the issuer expires, with the default clock skew.
    assert_eq!((text.as_str(), seconds), ("data: 1\n\n", 300 + 60));
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_the_certificate_that_opened_it() {
    let mut fixture = Fixture::cold();
    let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
    let builder = builder.sender_constraint(SenderConstraint::Optional).client_certificate_from_connection();
    fixture.server = quiet(builder);
    let layer = tools(fixture.server.mcp_layer(McpScopes::new())).bind_sessions();
    let server = McpServer::with(layer, |_| {
        (StatusCode::OK, [("mcp-session-id", HeaderValue::from_static("inner"))], "ok").into_response()
    });
    let request = |byte: u8, session: Option<&HeaderValue>| {
        let thumbprint = Thumbprint::from_bytes([byte; 32]);
        let token = fixture.issuer.token().audience(RESOURCE).subject("alice").scope("mcp:tools");
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
        let mut request = post(&token.bound_to_certificate(thumbprint).sign(), &[], message);
        request.extensions_mut().insert(ClientCertificate::from_thumbprint(thumbprint));
        if let Some(session) = session {
            request.headers_mut().insert("mcp-session-id", session.clone());
        }
        request
    };
    let opened = server.send(request(1, None)).await;
    let session = HeaderValue::from_str(opened.header("mcp-session-id").unwrap()).unwrap();
    assert_eq!(server.send(request(1, Some(&session))).await.status, StatusCode::OK);
    assert_eq!(server.send(request(2, Some(&session))).await.status, StatusCode::NOT_FOUND);
}
