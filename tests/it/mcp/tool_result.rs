//! Rejections as results of tool calls, for clients that do not evaluate HTTP status codes.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, header};
use mcp_bearer::bearer::{Rejection, RejectionKind};
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{AuthInfo, ResourceServer};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::server::{McpServer, tools};
use crate::support::{Answer, Fixture, METADATA_URL, RESOURCE};

/// The rejection of a request with this `Authorization` header.
async fn rejection_of(fixture: &Fixture, authorization: &str) -> Rejection {
    let app = crate::support::App::new(fixture.server.bearer_layer().required_scopes(["mcp:tools"]));
    let answer = match authorization {
        "" => app.send(Request::get("/mcp").body(Body::empty()).unwrap()).await,
        authorization => app.get(authorization).await,
    };
    answer.rejection.unwrap()
}

/// The rejection of a handler that requires these scopes.
async fn requiring(fixture: &Fixture, scopes: &'static [&'static str]) -> Rejection {
    let handler = move |auth: AuthInfo| async move { auth.require_scopes(scopes).map(|()| "ok") };
    let app = Router::new()
        .route("/mcp", get(handler))
        .route_layer(fixture.server.bearer_layer().required_scopes(["mcp:tools"]));
    let token = format!("Bearer {}", fixture.token());
    let request = Request::get("/mcp").header(header::AUTHORIZATION, token).body(Body::empty()).unwrap();
    Answer::of(app.oneshot(request).await.unwrap()).await.rejection.unwrap()
}

/// A tool result with this text and this challenge.
fn result(text: &str, challenge: Option<&str>) -> Value {
    let mut result = json!({ "content": [{ "type": "text", "text": text }], "isError": true });
    if let Some(challenge) = challenge {
        result["_meta"] = json!({ "mcp/www_authenticate": [challenge] });
    }
    result
}

fn challenge(error: &str, description: &str, scope: &str) -> String {
    format!(
        r#"Bearer error="{error}", error_description="{description}", resource_metadata="{METADATA_URL}", scope="{scope}""#
    )
}

#[tokio::test(start_paused = true)]
async fn a_rejection_with_a_challenge_is_a_result_with_the_same_challenge() {
    let fixture = Fixture::new().await;
    let expired = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expired().sign();
    for (rejection, error, text, scope) in [
        // These clients require an error code, which a challenge for a missing token does not have.
        (rejection_of(&fixture, "").await, "invalid_token", "An access token is needed", "mcp:tools"),
        (rejection_of(&fixture, "Basic YTpi").await, "invalid_token", "An access token is needed", "mcp:tools"),
        (
            rejection_of(&fixture, "Bearer").await,
            "invalid_request",
            "The request must carry exactly one bearer token",
            "mcp:tools",
        ),
        (
            rejection_of(&fixture, &format!("Bearer {expired}")).await,
            "invalid_token",
            "The access token expired",
            "mcp:tools",
        ),
        (rejection_of(&fixture, "Bearer x").await, "invalid_token", "The access token is not a JWT", "mcp:tools"),
        (
            rejection_of(&fixture, &format!("Bearer {}", fixture.token_for("other"))).await,
            "insufficient_scope",
            "The access token does not grant what this operation needs",
            "mcp:tools",
        ),
        (
            requiring(&fixture, &["notes:write", "notes:read"]).await,
            "insufficient_scope",
            "The access token does not grant what this operation needs",
            "mcp:tools notes:write notes:read",
        ),
    ] {
        let expected = result(text, Some(&challenge(error, text, scope)));
        assert_eq!(rejection.to_tool_result(), expected, "{rejection:?}");
        // The header contains the same challenge, except for the error code of a missing token.
        let header = rejection.challenge().unwrap();
        let same = header.to_str().unwrap() == expected["_meta"]["mcp/www_authenticate"][0];
        assert_eq!(same, rejection.kind() != RejectionKind::MissingToken);
    }
}

#[tokio::test(start_paused = true)]
async fn an_independent_parser_reads_the_challenge_of_a_result() {
    let fixture = Fixture::new().await;
    let value = requiring(&fixture, &["notes:write"]).await.to_tool_result();
    let text = value["_meta"]["mcp/www_authenticate"][0].as_str().unwrap();
    let challenges = http_auth::parse_challenges(text).unwrap();
    let names: Vec<_> = challenges[0].params.iter().map(|(name, _)| *name).collect();
    assert_eq!((challenges.len(), challenges[0].scheme), (1, "Bearer"));
    assert_eq!(names, ["error", "error_description", "resource_metadata", "scope"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_the_mcp_layer_is_a_result() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"]));
    let layer = layer.bind_sessions();
    let server = McpServer::with(tools(layer), |_| axum::response::Response::default());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note"}}"#;
    let text = "The access token does not grant what this operation needs";
    for (headers, expected) in [
        (&[][..], result(text, Some(&challenge("insufficient_scope", text, "mcp:tools notes:write")))),
        (&[("mcp-session-id", "x")], result("Session not found", None)),
        (&[("mcp-method", "ping")], result("The headers Mcp-Method and Mcp-Name do not match the request body", None)),
    ] {
        let answer = server.post(&fixture.token(), headers, call).await;
        assert_eq!(answer.rejection.unwrap().to_tool_result(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_a_login_cannot_resolve_has_no_challenge() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let unavailable = rejection_of(&fixture, &format!("Bearer {}", fixture.token())).await;
    assert!(matches!(unavailable.kind(), RejectionKind::Unavailable { .. }));
    assert_eq!(unavailable.to_tool_result(), result("The access token cannot be checked at the moment", None));

    let fixture = Fixture::new().await;
    let internal = requiring(&fixture, &["no scope\n"]).await;
    assert_eq!(internal.kind(), RejectionKind::Internal);
    assert_eq!(internal.to_tool_result(), result("The server is not set up for this request", None));

    let credentials = mcp_bearer::introspection::ClientCredentials::basic("mcp-server", "s3cret");
    let issuer = fixture.issuer.issuer().introspect_all(credentials);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).clock(fixture.clock.clone()).build().await.unwrap();
    let fixture = Fixture { server, ..fixture };
    fixture.issuer.fault(Endpoint::Introspection, Fault::Status(401));
    let misconfigured = rejection_of(&fixture, "Bearer opaque").await;
    assert_eq!(misconfigured.to_tool_result(), result("The access token cannot be checked at the moment", None));
}
