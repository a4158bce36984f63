//! The caller in the handlers of an rmcp server behind the layer.

use axum::Router;
use axum::body::Body;
use http::Request;
use mcp_bearer::AuthInfo;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use mcp_bearer::rmcp::RequestContextExt as _;
use rmcp::model::{CallToolResult, ServerCapabilities, ServerConfig};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, METADATA_URL, RESOURCE};

#[derive(Clone)]
pub struct Tools;

#[tool_router]
impl Tools {
    #[tool]
    fn whoami(&self, auth: AuthInfo) -> String {
        auth.subject().unwrap_or("service").to_owned()
    }

    #[tool]
    fn forget(&self, auth: AuthInfo) -> Result<String, ErrorData> {
        auth.require_scopes(["notes:write"])?;
        Ok("forgotten".to_owned())
    }

    #[tool]
    fn delete(&self, auth: AuthInfo) -> CallToolResult {
        match auth.require_scopes(["notes:write"]) {
            Ok(()) => CallToolResult::success(Vec::new()),
            Err(rejection) => rejection.into(),
        }
    }

    #[tool]
    fn greet(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let name = context.optional_auth_info()?.and_then(AuthInfo::subject);
        let known = context.auth_info().is_ok();
        Ok(format!("hello {}, {known}", name.unwrap_or("stranger")))
    }
}

#[tool_handler]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

/// A server with tools that are public where the layer allows anonymous requests.
fn layer(fixture: &Fixture) -> McpLayer {
    fixture.server.mcp_layer(McpScopes::new().public_tools(["greet", "whoami"]))
}

fn app(layer: Option<McpLayer>) -> Router {
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let mcp = StreamableHttpService::<_, LocalSessionManager>::new(|| Ok(Tools), Default::default(), config);
    let router = Router::new().route_service("/mcp", mcp);
    match layer {
        None => router,
        Some(layer) => router.route_layer(layer),
    }
}

async fn call(app: &Router, token: Option<&str>, tool: &str) -> Value {
    send(app, token, "tools/call", json!({ "name": tool, "arguments": {} })).await
}

async fn send(app: &Router, token: Option<&str>, method: &str, params: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let request = Request::post("http://mcp.example.com/mcp")
        .header("host", "mcp.example.com")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let request = match token {
        None => request,
        Some(token) => request.header("authorization", format!("Bearer {token}")),
    };
    let request = request.body(Body::from(call.to_string())).unwrap();
    let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_tool_gets_the_caller_and_rejects_calls_with_json_rpc_errors() {
    let fixture = Fixture::new().await;
    let app = app(Some(layer(&fixture)));
    let token = |scope: &str| fixture.issuer.token().audience(RESOURCE).subject("alice").scope(scope).sign();
    let (narrow, broad) = (token("mcp:tools"), token("notes:write"));
    let text = |answer: &Value| answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();

    assert_eq!(text(&call(&app, Some(&narrow), "whoami").await), "alice");
    assert_eq!(text(&call(&app, Some(&narrow), "greet").await), "hello alice, true");
    assert_eq!(text(&call(&app, Some(&broad), "forget").await), "forgotten");

    let rejected = call(&app, Some(&narrow), "forget").await;
    assert_eq!(
        (&rejected["error"]["code"], &rejected["error"]["data"]["error"]),
        (&json!(-32003), &json!("insufficient_scope"))
    );
    let challenge = rejected["error"]["data"]["www_authenticate"].as_str().unwrap().to_owned();
    assert!(challenge.contains("scope=\"notes:write\"") && challenge.contains(METADATA_URL), "{challenge}");

    let result = call(&app, Some(&narrow), "delete").await;
    assert_eq!(result["result"]["isError"], true);
    assert_eq!(result["result"]["_meta"]["mcp/www_authenticate"], json!([challenge]));
}

#[tokio::test]
async fn an_anonymous_call_of_a_tool_that_needs_a_caller_gets_a_challenge() {
    let fixture = Fixture::new().await;
    let app = app(Some(layer(&fixture).allow_anonymous()));
    assert_eq!(call(&app, None, "greet").await["result"]["content"][0]["text"], "hello stranger, false");
    let rejected = call(&app, None, "whoami").await;
    let challenge = rejected["error"]["data"]["www_authenticate"].as_str().unwrap();
    assert!(challenge.contains(METADATA_URL) && !challenge.contains("error="), "{challenge}");
}

#[tokio::test]
async fn without_a_layer_a_tool_that_uses_the_caller_is_an_internal_error() {
    // A tool with an optional caller fails too: a forgotten layer must not look like an anonymous request.
    for tool in ["whoami", "greet"] {
        let rejected = call(&app(None), None, tool).await;
        assert_eq!(
            (&rejected["error"]["code"], &rejected["error"]["data"]["www_authenticate"]),
            (&json!(-32603), &Value::Null),
            "{tool}"
        );
    }
}

#[tokio::test]
async fn a_tool_never_gets_an_identity_from_before_the_layer() {
    let fixture = Fixture::new().await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let copy = move |auth: AuthInfo| async move { sender.send(auth).unwrap() };
    let copying = Router::new().route("/mcp", axum::routing::get(copy)).route_layer(fixture.server.bearer_layer());
    let token = fixture.issuer.token().audience(RESOURCE).subject("mallory").scope("notes:write").sign();
    let request = Request::get("/mcp").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    copying.oneshot(request).await.unwrap();
    let forged = axum::Extension(receiver.recv().unwrap());

    let open = app(Some(layer(&fixture).allow_anonymous())).layer(forged.clone());
    assert_eq!(call(&open, None, "greet").await["result"]["content"][0]["text"], "hello stranger, false");
    assert_eq!(call(&open, None, "whoami").await["error"]["data"]["error"], Value::Null);
    let alice = fixture.issuer.token().audience(RESOURCE).subject("alice").sign();
    assert_eq!(call(&open, Some(&alice), "whoami").await["result"]["content"][0]["text"], "alice");
    assert_eq!(call(&open, Some(&alice), "forget").await["error"]["code"], -32003);
}

#[tokio::test]
async fn errors_of_rmcp_are_unchanged_with_public_and_filtered_lists() {
    let fixture = Fixture::new().await;
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let mcp = StreamableHttpService::<_, LocalSessionManager>::new(|| Ok(Tools), Default::default(), config);
    let lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
    let scopes = McpScopes::new().public(lists).public(["initialize", "ping"]).tool("forget", ["notes:write"]);
    let scopes = scopes.any_tool(["mcp:tools"]).public_tools(["greet"]);
    let app = Router::new()
        .route_service("/mcp", mcp)
        .route_layer(fixture.server.mcp_layer(scopes).filter_lists().allow_anonymous());
    let tools = async |token: Option<&str>| {
        let answer = send(&app, token, "tools/list", json!({})).await;
        let tools = answer["result"]["tools"].as_array().unwrap().clone();
        let mut names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names.join(" ")
    };
    let token = |scope: &str| fixture.issuer.token().audience(RESOURCE).scope(scope).sign();
    assert_eq!(tools(None).await, "greet");
    assert_eq!(tools(Some(&token("mcp:tools"))).await, "delete greet whoami");
    assert_eq!(tools(Some(&token("mcp:tools notes:write"))).await, "delete forget greet whoami");
    for token in [None, Some(token("mcp:tools"))] {
        for method in ["prompts/list", "resources/list", "resources/templates/list"] {
            let answer = send(&app, token.as_deref(), method, json!({})).await;
            assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
        }
        assert!(send(&app, token.as_deref(), "ping", json!({})).await["result"].is_object());
        let version = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } });
        let answer = send(&app, token.as_deref(), "initialize", version).await;
        assert!(answer["result"]["capabilities"]["tools"].is_object(), "{answer}");
    }
}

#[test]
fn a_layer_for_a_tool_router_finds_rules_for_other_names() {
    let server = Fixture::cold().server;
    let scopes = || McpScopes::new().tool("forget", ["notes:write"]);
    let mut router = Tools::tool_router();
    let error = server.try_mcp_layer_for(&router, scopes().tool("delet", ["a"])).unwrap_err();
    assert!(
        error.to_string().contains("the tool \"delet\", which the server does not have; write \"delete\""),
        "{error}"
    );
    let _ = server.mcp_layer_for(&router, scopes().public_tools(["greet"]));
    // It may be enabled later.
    router.disable_route("forget");
    let _ = server.mcp_layer_for(&router, scopes());
}

#[test]
#[should_panic(expected = "the tool \"forgett\", which the server does not have; write \"forget\"")]
fn a_layer_for_a_tool_router_panics_at_a_wrong_rule() {
    let _ = Fixture::cold().server.mcp_layer_for(&Tools::tool_router(), McpScopes::new().tool("forgett", ["a"]));
}
