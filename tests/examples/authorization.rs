//! The development authorization server follows the rules of the RFCs.

use serde_json::{Value, json};

use crate::browser::{CALLBACK, outcome};
use crate::support::Server;

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_login_returns_tokens_that_can_be_refreshed() {
    let server = Server::start().await;
    let client = server.register_public().await;
    let code = server.code(&client, &[]).await;
    let (status, tokens) = server.exchange(&client, &code, &[]).await;
    assert_eq!((status, tokens["scope"].as_str()), (200, Some("mcp:tools offline_access")), "{tokens}");
    let access = tokens["access_token"].as_str().unwrap();
    let who = server.call_json(access, "whoami", json!({})).await;
    assert_eq!((&who["subject"], &who["client_id"]), (&json!("alice"), &json!(client)));

    let (status, renewed) = server.refresh(&client, &tokens["refresh_token"], &[("scope", "mcp:tools")]).await;
    assert_eq!((status, renewed["scope"].as_str()), (200, Some("mcp:tools")));
    assert_ne!(renewed["refresh_token"], tokens["refresh_token"]);

    // A second use of a refresh token indicates a theft, so the server revokes the whole login.
    let (status, rejected) = server.refresh(&client, &tokens["refresh_token"], &[]).await;
    assert_eq!((status, &rejected["error"]), (400, &json!("invalid_grant")));
    let (_, ended) = server.refresh(&client, &renewed["refresh_token"], &[]).await;
    assert_eq!(ended["error"], "invalid_grant");
}

#[tokio::test]
async fn the_consent_page_shows_client_and_scopes_and_accepts_one_decision() {
    let server = Server::start().await;
    let client = server.register_public().await;
    let answer = server.authorize(&client, &[("scope", "write:notes unheard-of")]).await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("frame-ancestors 'none'") && !answer.headers().contains_key("access-control-allow-origin"));
    let page = answer.text().await.unwrap();
    assert!(page.contains("a-b-client-b") && page.contains("write:notes") && page.contains("127.0.0.1:1"), "{page}");
    assert!(!page.contains("unheard-of") && !page.contains("<b>") && !page.contains("mcp:tools"), "{page}");

    let expected = [("error", "access_denied"), ("error_description", "alice denied the request"), ("state", "s t&te")];
    let mut expected = pairs(&expected);
    expected.push(("iss".to_owned(), server.issuer.clone()));
    assert_eq!(server.decide(&page, "deny").await, expected);
    assert_eq!(server.submit(&page, "approve").await.status(), 400);
}

#[tokio::test]
async fn a_request_with_an_invalid_client_or_redirect_uri_is_not_redirected() {
    let server = Server::start().await;
    let client = server.register_public().await;
    for changes in [
        &[("client_id", "")][..],
        &[("client_id", "nobody")],
        &[("client_id", "x.an.amF2YXNjcmlwdDphbGVydCgxKQ")],
        &[("redirect_uri", "https://evil.example.com/callback")],
        &[("redirect_uri", "http://localhost:1/callback")],
        &[("redirect_uri", "http://127.0.0.1:1/callback/")],
        &[("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example.com/callback")],
    ] {
        let answer = server.authorize(&client, changes).await;
        assert_eq!((answer.status().as_u16(), answer.headers().get("location")), (400, None), "{changes:?}");
    }
    let other_port = server.authorize(&client, &[("redirect_uri", "http://127.0.0.1:7/callback")]).await;
    assert_eq!(other_port.status(), 200);
}

#[tokio::test]
async fn other_errors_are_returned_to_the_redirect_uri() {
    let server = Server::start().await;
    let client = server.register_public().await;
    for (changes, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("scope", "unheard-of")], "invalid_scope"),
        (&[("scope", "mcp:tools"), ("scope", "write:notes")], "invalid_request"),
        (&[("resource", "https://other.example.com/mcp")], "invalid_target"),
    ] {
        let answer = server.authorize(&client, changes).await;
        assert_eq!(answer.status(), 303, "{changes:?}");
        let outcome = outcome(&answer);
        assert_eq!(outcome.first(), Some(&("error".to_owned(), error.to_owned())), "{changes:?}");
        assert!(outcome.contains(&("state".to_owned(), "s t&te".to_owned())), "{changes:?}");
        assert!(outcome.contains(&("iss".to_owned(), server.issuer.clone())), "{changes:?}");
    }
}

#[tokio::test]
async fn a_code_is_valid_once_for_its_client_and_verifier() {
    let server = Server::start().await;
    let (client, other) = (server.register_public().await, server.service_client().await);
    for (changes, error) in [
        (&[("code_verifier", "")][..], "invalid_request"),
        (&[("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl")], "invalid_grant"),
        (&[("redirect_uri", "http://127.0.0.1:2/callback")], "invalid_grant"),
        (&[("redirect_uri", "")], "invalid_grant"),
        (&[("client_id", "x.an.")], "invalid_grant"),
        (&[("client_id", "nobody")], "invalid_client"),
        (&[("client_id", other.as_str())], "invalid_client"),
        (&[("code", "guess")], "invalid_grant"),
        (&[("resource", "https://other.example.com/mcp")], "invalid_target"),
        (&[("grant_type", "password")], "unsupported_grant_type"),
        (&[("grant_type", "client_credentials")], "unauthorized_client"),
    ] {
        let code = server.code(&client, &[]).await;
        let (status, answer) = server.exchange(&client, &code, changes).await;
        let expected = if error == "invalid_client" { 401 } else { 400 };
        assert_eq!((status, &answer["error"]), (expected, &json!(error)), "{changes:?}");
    }
    let code = server.code(&client, &[]).await;
    let (_, tokens) = server.exchange(&client, &code, &[]).await;
    let (_, replayed) = server.exchange(&client, &code, &[]).await;
    assert_eq!(replayed["error"], "invalid_grant");
    let (_, ended) = server.refresh(&client, &tokens["refresh_token"], &[]).await;
    assert_eq!(ended["error"], "invalid_grant");
}

#[tokio::test]
async fn scopes_that_were_not_granted_are_rejected_without_ending_the_login() {
    let server = Server::start().await;
    let client = server.register_public().await;
    let code = server.code(&client, &[]).await;
    let (_, tokens) = server.exchange(&client, &code, &[]).await;
    let (_, rejected) = server.refresh(&client, &tokens["refresh_token"], &[("scope", "mcp:tools write:notes")]).await;
    assert_eq!(rejected["error"], "invalid_scope");
    assert_eq!(server.refresh(&client, &tokens["refresh_token"], &[]).await.0, 200);
}

#[tokio::test]
async fn an_invalid_registration_is_rejected() {
    let server = Server::start().await;
    for (registration, error) in [
        (json!({ "redirect_uris": ["http://example.com/cb"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [CALLBACK], "grant_types": ["implicit"] }), "invalid_client_metadata"),
        (json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "tls" }), "invalid_client_metadata"),
        (
            json!({ "grant_types": ["client_credentials"], "token_endpoint_auth_method": "none" }),
            "invalid_client_metadata",
        ),
        (json!({ "redirect_uris": 7 }), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
    ] {
        let (status, answer) = server.register(&registration).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{registration}");
    }
}

#[tokio::test]
async fn only_requests_from_this_machine_are_accepted() {
    let server = Server::start().await;
    let metadata = format!("{}/.well-known/oauth-authorization-server", server.issuer);
    let other_host = server.http.get(&metadata).header("host", "evil.example.com").send().await.unwrap();
    assert_eq!(other_host.status(), 421);
    for (origin, may_read) in [
        ("http://localhost:6274", true),
        ("http://127.0.0.1:6274", true),
        ("https://evil.example.com", false),
        ("http://localhost.evil.example.com", false),
        ("null", false),
    ] {
        let answer = server.http.get(&metadata).header("origin", origin).send().await.unwrap();
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), may_read, "{origin}");
    }
    let preflight = server.http.request(reqwest::Method::OPTIONS, format!("{}/token", server.issuer));
    let preflight = preflight.header("origin", "http://localhost:6274").header("access-control-request-method", "POST");
    let allowed = preflight.header("access-control-request-headers", "authorization").send().await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-headers"], "authorization");

    let client = server.register_public().await;
    let page = server.authorize(&client, &[]).await.text().await.unwrap();
    let (_, after) = page.split_once("name=\"request\" value=\"").unwrap();
    let form = [("request", after.split('"').next().unwrap()), ("decision", "approve")];
    let request = server.http.post(format!("{}/authorize", server.issuer)).form(&form);
    let foreign = request.header("origin", "https://evil.example.com").send().await.unwrap();
    assert_eq!((foreign.status().as_u16(), foreign.headers().get("location")), (400, None));
}

#[tokio::test]
async fn both_metadata_documents_contain_the_same_endpoints() {
    let server = Server::start().await;
    let mut documents = Vec::new();
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let answer = server.http.get(format!("{}/.well-known/{name}", server.issuer)).send().await.unwrap();
        documents.push(answer.json::<Value>().await.unwrap());
    }
    assert_eq!(documents[0], documents[1]);
    assert_eq!(documents[0]["issuer"], server.issuer.as_str());
    assert_eq!(documents[0]["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(documents[0]["scopes_supported"], json!(["mcp:tools", "write:notes", "offline_access"]));
}

impl Server {
    /// Returns the id of a client with a secret.
    async fn service_client(&self) -> String {
        let registration = json!({ "redirect_uris": [CALLBACK], "grant_types": ["authorization_code"] });
        let (_, client) = self.register(&registration).await;
        client["client_id"].as_str().unwrap().to_owned()
    }
}
