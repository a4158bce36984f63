//! Logins with DPoP: the development authorization server binds tokens, and the MCP server requires the proofs.

use mcp_bearer::testing::TestClient;
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::{Server, run};

/// A client with DPoP after its login.
struct BoundSession {
    server: Server,
    client: TestClient,
    id: String,
    tokens: Value,
}

impl BoundSession {
    /// Logs in to a server with these variables.
    async fn start(variables: &[(&str, &str)]) -> Self {
        let (server, client) = (Server::start_with(variables).await, TestClient::dpop());
        let id = server.register_public().await;
        let tokens = log_in(&server, &client, &id).await;
        Self { server, client, id, tokens }
    }

    fn access(&self) -> &str {
        self.tokens["access_token"].as_str().unwrap()
    }

    /// A request with the access token and a new proof.
    fn request(&self, method: Method) -> RequestBuilder {
        self.request_by(&self.client, method)
    }

    /// A request with the access token and a proof of this client.
    fn request_by(&self, client: &TestClient, method: Method) -> RequestBuilder {
        let resource = &self.server.resource;
        let headers = client.headers(method.as_str(), resource, self.access());
        self.server.http.request(method, resource).headers(headers).header("accept", ACCEPT)
    }

    /// Initializes an MCP session, and returns its id.
    async fn open_mcp_session(&self) -> HeaderValue {
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let opened = self.request(Method::POST).json(&initialize).send().await.unwrap();
        assert_eq!(opened.status(), 200);
        opened.headers()["mcp-session-id"].clone()
    }

    /// Refreshes the tokens with a proof of this client, or without a proof.
    async fn refresh(&self, client: Option<&TestClient>) -> (u16, Value) {
        let token = self.tokens["refresh_token"].as_str().unwrap();
        let form = [("grant_type", "refresh_token"), ("client_id", &self.id), ("refresh_token", token)];
        let proof = client.map(|client| token_proof(&self.server, client));
        self.server.token(&form, proof.as_deref()).await
    }
}

async fn log_in(server: &Server, client: &TestClient, id: &str) -> Value {
    let code = server.code(id, &[("dpop_jkt", &client.key().thumbprint().to_string())]).await;
    let (status, tokens) = server.token(&server.code_form(id, &code), Some(&token_proof(server, client))).await;
    assert_eq!((status, &tokens["token_type"]), (200, &json!("DPoP")), "{tokens}");
    tokens
}

fn token_proof(server: &Server, client: &TestClient) -> String {
    client.proof("POST", &format!("{}/token", server.issuer)).sign()
}

fn whoami() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami", "arguments": {} } })
}

fn challenges(response: &Response) -> Vec<&str> {
    response.headers().get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

const ACCEPT: &str = "application/json, text/event-stream";

#[tokio::test]
async fn a_bound_token_is_accepted_with_a_proof_of_its_key_only() {
    for opaque in ["0", "1"] {
        let session = BoundSession::start(&[("MCP_DPOP", "optional"), ("MCP_DEV_AS_OPAQUE", opaque)]).await;
        let send = async |request: RequestBuilder| request.json(&whoami()).send().await.unwrap();
        let accepted = send(session.request(Method::POST)).await;
        assert_eq!(accepted.status(), 200);
        let answer: Value = accepted.json().await.unwrap();
        let who: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        let key = session.client.key().thumbprint().to_string();
        assert_eq!((&who["subject"], &who["dpop_key"]), (&json!("alice"), &json!(key)));

        let (resource, http) = (&session.server.resource, &session.server.http);
        let scheme =
            |scheme: &str| http.post(resource).header("authorization", format!("{scheme} {}", session.access()));
        let used = session.request(Method::POST).json(&whoami());
        let again = used.try_clone().unwrap();
        assert_eq!(used.send().await.unwrap().status(), 200);
        let other = session.request_by(&TestClient::dpop(), Method::POST);
        for (case, request, error) in [
            ("as a bearer token", scheme("Bearer"), "invalid_token"),
            ("without a proof", scheme("DPoP"), "invalid_dpop_proof"),
            ("with a proof of another key", other, "invalid_token"),
            ("with the proof of another request", session.request(Method::GET), "invalid_dpop_proof"),
            ("with a used proof", again, "invalid_dpop_proof"),
        ] {
            let mut request = request.json(&whoami()).build().unwrap();
            *request.method_mut() = Method::POST;
            let rejected = http.execute(request).await.unwrap();
            assert_eq!(rejected.status(), 401, "{case}");
            let challenges = challenges(&rejected).join(", ");
            assert!(challenges.starts_with("Bearer ") && challenges.contains("DPoP "), "{case}: {challenges}");
            assert!(challenges.contains(&format!("error=\"{error}\"")), "{case}: {challenges}");
        }
        // A bearer token is still accepted.
        assert_eq!(session.server.post(&session.server.token, "whoami", json!({})).await.status(), 200);
    }
}

#[tokio::test]
async fn a_refresh_token_of_a_public_client_needs_a_proof_of_its_key() {
    let mut session = BoundSession::start(&[("MCP_DPOP", "required")]).await;
    for client in [None, Some(TestClient::dpop())] {
        let (status, rejected) = session.refresh(client.as_ref()).await;
        assert_eq!((status, &rejected["error"]), (400, &json!("invalid_grant")), "{client:?}");
    }
    for _ in 0..2 {
        let (status, renewed) = session.refresh(Some(&session.client)).await;
        assert_eq!((status, &renewed["token_type"]), (200, &json!("DPoP")), "{renewed}");
        session.tokens = renewed;
        let accepted = session.request(Method::POST).json(&whoami()).send().await.unwrap();
        assert_eq!(accepted.status(), 200);
    }
}

#[tokio::test]
async fn a_code_that_is_bound_to_a_key_needs_a_proof_of_it() {
    let server = Server::start_with(&[("MCP_DPOP", "optional")]).await;
    let (client, id) = (TestClient::dpop(), server.register_public().await);
    let other = token_proof(&server, &TestClient::dpop());
    for proof in [None, Some(other.as_str())] {
        let code = server.code(&id, &[("dpop_jkt", &client.key().thumbprint().to_string())]).await;
        let (status, rejected) = server.token(&server.code_form(&id, &code), proof).await;
        assert_eq!((status, &rejected["error"]), (400, &json!("invalid_grant")), "{proof:?}");
    }
}

#[tokio::test]
async fn a_server_that_requires_dpop_rejects_bearer_tokens() {
    let server = Server::start_with(&[("MCP_DPOP", "required")]).await;
    assert_eq!((server.token.as_str(), server.curl.as_str()), ("", ""));
    let token = server.service_token("mcp:tools").await;
    let rejected = server.post(&token, "whoami", json!({})).await;
    assert_eq!(rejected.status(), 401);
    let challenges = challenges(&rejected).join(", ");
    assert!(challenges.contains("DPoP error=\"invalid_token\"") && challenges.contains(" ES256 "), "{challenges}");

    // A proof does not make it a bound token.
    let headers = TestClient::dpop().headers("POST", &server.resource, &token);
    let request = server.http.post(&server.resource).headers(headers).header("accept", ACCEPT).json(&whoami());
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_stream_is_opened_with_a_proof() {
    let session = BoundSession::start(&[("MCP_DPOP", "required"), ("MCP_BIND_SESSIONS", "1")]).await;
    let id = session.open_mcp_session().await;
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let in_session = |request: RequestBuilder| request.header("mcp-session-id", id.clone());
    let accepted = in_session(session.request(Method::POST)).json(&initialized).send().await.unwrap();
    assert_eq!(accepted.status(), 202);

    let stream = in_session(session.request(Method::GET)).send().await.unwrap();
    assert_eq!(
        (stream.status().as_u16(), &stream.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );

    let bearer = session.server.http.get(&session.server.resource).bearer_auth(session.access());
    assert_eq!(in_session(bearer.header("accept", ACCEPT)).send().await.unwrap().status(), 401);
    assert_eq!(in_session(session.request(Method::DELETE)).send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_session_belongs_to_the_key_that_opened_it() {
    let session = BoundSession::start(&[("MCP_DPOP", "required"), ("MCP_BIND_SESSIONS", "1")]).await;
    let id = session.open_mcp_session().await;
    // The same user and the same client, with another key.
    let other = TestClient::dpop();
    let tokens = log_in(&session.server, &other, &session.id).await;
    let headers = other.headers("POST", &session.server.resource, tokens["access_token"].as_str().unwrap());
    let request = session.server.http.post(&session.server.resource).headers(headers).header("accept", ACCEPT);
    let rejected = request.header("mcp-session-id", id).json(&whoami()).send().await.unwrap();
    assert_eq!(rejected.status(), 404);
}

#[tokio::test]
async fn the_metadata_of_both_servers_names_dpop_only_if_it_is_on() {
    for (variables, has_dpop, is_required) in [
        (&[][..], false, Value::Null),
        (&[("MCP_DPOP", "optional")], true, Value::Null),
        (&[("MCP_DPOP", "required")], true, json!(true)),
    ] {
        let server = Server::start_with(variables).await;
        let resource = server.resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
        let issuer = format!("{}/.well-known/oauth-authorization-server", server.issuer);
        for url in [resource.clone(), issuer] {
            let metadata: Value = server.http.get(&url).send().await.unwrap().json().await.unwrap();
            let algorithms = metadata["dpop_signing_alg_values_supported"].as_array();
            let is_named = algorithms.is_some_and(|algorithms| algorithms.contains(&json!("ES256")));
            assert_eq!((is_named, algorithms.is_some()), (has_dpop, has_dpop), "{url}: {metadata}");
            if url == resource {
                assert_eq!(metadata["dpop_bound_access_tokens_required"], is_required, "{metadata}");
            }
        }
    }
}

#[tokio::test]
async fn the_client_logs_in_with_dpop() {
    let server = Server::start_with(&[("MCP_DPOP", "required")]).await;
    let (succeeded, stdout, stderr) = run("mcp_client", &["--approve", "--dpop", &server.resource], &[]).await;
    assert!(succeeded, "{stdout}{stderr}");
    assert!(stdout.contains("\"scopes\":[\"mcp:tools\"],\"subject\":\"alice\""), "{stdout}");

    let (succeeded, stdout, _) = run("mcp_client", &["--approve", &server.resource], &[]).await;
    assert!(!succeeded && stdout.contains("logged in"), "{stdout}");
}
