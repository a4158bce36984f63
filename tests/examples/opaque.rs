//! Opaque tokens: the MCP server introspects them at the authorization server.

use mcp_bearer::testing::{Endpoint, TestIssuer};
use serde_json::{Value, json};

use crate::programs::send_printed_curl;
use crate::support::{Program, Server, run};

#[tokio::test]
async fn the_printed_curl_line_calls_whoami_with_an_opaque_token() {
    let server = opaque_server().await;
    assert!(!server.token.contains('.'), "{}", server.token);
    let answer = send_printed_curl(&server).await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    let expected = json!({
        "subject": "alice", "client_id": "curl", "scopes": ["mcp:tools", "write:notes"], "issuer": server.issuer,
    });
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), expected);
}

#[tokio::test]
async fn a_login_returns_an_opaque_token() {
    let server = opaque_server().await;
    let client = server.register_public().await;
    let code = server.code(&client, &[]).await;
    let (_, tokens) = server.exchange(&client, &code, &[]).await;
    let access = tokens["access_token"].as_str().unwrap();
    assert!(!access.contains('.'), "{tokens}");
    let who = server.call_json(access, "whoami", json!({})).await;
    assert_eq!((&who["subject"], &who["client_id"]), (&json!("alice"), &json!(client)));
    assert_eq!(server.refresh(&client, &tokens["refresh_token"], &[]).await.0, 200);
}

#[tokio::test]
async fn ending_a_login_revokes_its_access_tokens() {
    let server = opaque_server().await;
    let client = server.register_public().await;
    for revoked in ["access_token", "refresh_token"] {
        let code = server.code(&client, &[]).await;
        let (_, tokens) = server.exchange(&client, &code, &[]).await;
        assert_eq!(server.revoke(&client, &tokens[revoked]).await.0, 200);
        // The server has not seen this token before, so no result is cached for it.
        assert_eq!(server.status_for(tokens["access_token"].as_str().unwrap()).await, 401, "{revoked}");
    }
    assert_eq!(server.status_for("unheard-of").await, 401);
    assert_eq!(server.status_for(&server.service_token("mcp:tools").await).await, PASSED);
}

#[tokio::test]
async fn opaque_tokens_of_a_configured_issuer_are_introspected_and_jwts_are_not() {
    let issuer = issuer();
    let server = program(&issuer, &[]).await;
    let token = || issuer.token().audience(&server.resource).scope("mcp:tools");
    let (signed, opaque) = (token().sign(), token().opaque());
    issuer.revoke(&signed);
    assert_eq!(server.status_for(&signed).await, PASSED);
    // The first introspection checked the credentials at start-up.
    assert_eq!(issuer.requests(Endpoint::Introspection), 1);
    assert_eq!(server.status_for(&opaque).await, PASSED);
    assert_eq!(issuer.requests(Endpoint::Introspection), 2);
    let narrow = issuer.token().audience(&server.resource).scope("other").opaque();
    let foreign = issuer.token().audience("https://other.example.com/mcp").scope("mcp:tools").opaque();
    assert_eq!((server.status_for(&narrow).await, server.status_for(&foreign).await), (403, 401));
}

#[tokio::test]
async fn jwts_are_introspected_if_introspect_all_is_set() {
    let issuer = issuer();
    let server = program(&issuer, &[("MCP_INTROSPECT_ALL", "1")]).await;
    let token = || issuer.token().audience(&server.resource).scope("mcp:tools").sign();
    let (active, revoked) = (token(), token());
    issuer.revoke(&revoked);
    assert_eq!((server.status_for(&active).await, server.status_for(&revoked).await), (PASSED, 401));
}

#[tokio::test]
async fn an_endpoint_alone_is_introspected_without_credentials() {
    let issuer = TestIssuer::builder("http://127.0.0.1:0")
        .metadata_member("introspection_endpoint", Value::Null)
        .serve()
        .unwrap();
    let endpoint = format!("{}/introspect", issuer.url());
    let variables = [
        ("MCP_INTROSPECTION_ENDPOINT", &*endpoint),
        ("MCP_INTROSPECTION_CLIENT_ID", ""),
        ("MCP_INTROSPECTION_CLIENT_SECRET", ""),
    ];
    let server = program(&issuer, &variables).await;
    let token = issuer.token().audience(&server.resource).scope("mcp:tools").opaque();
    assert_eq!((server.status_for(&token).await, server.status_for("unknown").await), (PASSED, 401));
    let request = issuer.last_request(Endpoint::Introspection).unwrap();
    assert_eq!((request.header("authorization"), request.form().len()), (None, 2));
}

#[tokio::test]
async fn an_error_about_the_introspection_endpoint_names_its_variable() {
    let issuer = TestIssuer::builder("http://127.0.0.1:0")
        .metadata_member("introspection_endpoint", Value::Null)
        .serve()
        .unwrap();
    let variables = |more: &[(&'static str, &str)]| {
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let set = [("MCP_BIND", "127.0.0.1:0".to_owned()), ("MCP_ISSUER", issuer.url().to_owned())];
        set.into_iter().chain(more).collect::<Vec<_>>()
    };
    let client = [("MCP_INTROSPECTION_CLIENT_ID", "notes"), ("MCP_INTROSPECTION_CLIENT_SECRET", "s3cr3t")];
    for (variables, shown, variable) in [
        (variables(&client), "the metadata has no \"introspection_endpoint\"", "MCP_INTROSPECTION_ENDPOINT"),
        (
            variables(&[("MCP_INTROSPECTION_ENDPOINT", "http://hydra-admin.ory.svc:4445/admin/oauth2/introspect")]),
            "\"http://hydra-admin.ory.svc:4445/admin/oauth2/introspect\"",
            "MCP_INTROSPECTION_DANGEROUSLY_ALLOW_HTTP",
        ),
        (
            variables(&[("MCP_INTROSPECTION_ENDPOINT", "http://127.0.0.1:1/introspect")]),
            "cannot be reached: the connection was refused",
            "MCP_INTROSPECTION_ENDPOINT",
        ),
    ] {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (succeeded, _, error) = run("mcp_server", &[], &variables).await;
        let line = format!("is {variable}\n");
        assert!(!succeeded && error.contains(shown) && error.contains(&line), "{error}");
    }
}

async fn opaque_server() -> Server {
    Server::start_with(&[("MCP_DEV_AS_OPAQUE", "1")]).await
}

fn issuer() -> TestIssuer {
    TestIssuer::builder("http://127.0.0.1:0").introspection_client("notes", "s3cr3t").serve().unwrap()
}

/// An `mcp_server` that accepts tokens of this issuer.
struct ExternalIssuerServer {
    resource: String,
    _process: Program,
}

async fn program(issuer: &TestIssuer, variables: &[(&str, &str)]) -> ExternalIssuerServer {
    let settings = [
        ("MCP_BIND", "127.0.0.1:0"),
        ("MCP_ISSUER", issuer.url()),
        ("MCP_INTROSPECTION_CLIENT_ID", "notes"),
        ("MCP_INTROSPECTION_CLIENT_SECRET", "s3cr3t"),
    ];
    let mut process = Program::start("mcp_server", &[], &[&settings[..], variables].concat());
    let printed = process.read_until("From here").await;
    let resource = printed[0].split_whitespace().nth(2).unwrap().to_owned();
    ExternalIssuerServer { resource, _process: process }
}

impl ExternalIssuerServer {
    async fn status_for(&self, token: &str) -> u16 {
        status_for(&self.resource, token).await
    }
}

impl Server {
    async fn status_for(&self, token: &str) -> u16 {
        status_for(&self.resource, token).await
    }
}

async fn status_for(resource: &str, token: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(resource).bearer_auth(token).send().await.unwrap().status().as_u16()
}

/// A GET passes the layer, but is not a valid MCP request, so rmcp responds with this status.
const PASSED: u16 = 405;
