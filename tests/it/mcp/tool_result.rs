//! Refusals as results of tool calls, for clients that understand nothing else.

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

/// The refusal of a request with this header, by a server of this fixture.
async fn refused(fixture: &Fixture, authorization: &str) -> Rejection {
    let app = crate::support::App::new(fixture.server.bearer_layer().required_scopes(["mcp:tools"]));
    let answer = match authorization {
        "" => app.send(Request::get("/mcp").body(Body::empty()).unwrap()).await,
        authorization => app.get(authorization).await,
    };
    answer.rejection.unwrap()
}

/// What a handler says that asks for these scopes.
async fn asking(fixture: &Fixture, scopes: &'static [&'static str]) -> Rejection {
    let handler = move |auth: AuthInfo| async move { auth.require_scopes(scopes).map(|()| "ok") };
    let app = Router::new()
        .route("/mcp", get(handler))
        .route_layer(fixture.server.bearer_layer().required_scopes(["mcp:tools"]));
    let token = format!("Bearer {}", fixture.token());
    let request = Request::get("/mcp").header(header::AUTHORIZATION, token).body(Body::empty()).unwrap();
    Answer::of(app.oneshot(request).await.unwrap()).await.rejection.unwrap()
}

/// A result that says `text`, with this challenge.
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
async fn each_refusal_that_has_a_challenge_is_a_result_that_carries_it() {
    let fixture = Fixture::new().await;
    let expired = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expired().sign();
    for (rejection, error, text, scope) in [
        // Those clients insist on an error code, which a header would not have.
        (refused(&fixture, "").await, "invalid_token", "An access token is needed", "mcp:tools"),
        (refused(&fixture, "Basic YTpi").await, "invalid_token", "An access token is needed", "mcp:tools"),
        (
            refused(&fixture, "Bearer").await,
            "invalid_request",
            "The request must carry exactly one bearer token",
            "mcp:tools",
        ),
        (
            refused(&fixture, &format!("Bearer {expired}")).await,
            "invalid_token",
            "The access token expired",
            "mcp:tools",
        ),
        (refused(&fixture, "Bearer x").await, "invalid_token", "The access token is malformed", "mcp:tools"),
        (
            refused(&fixture, &format!("Bearer {}", fixture.token_for("other"))).await,
            "insufficient_scope",
            "The access token does not grant what this operation needs",
            "mcp:tools",
        ),
        (
            asking(&fixture, &["notes:write", "notes:read"]).await,
            "insufficient_scope",
            "The access token does not grant what this operation needs",
            "mcp:tools notes:write notes:read",
        ),
    ] {
        let expected = result(text, Some(&challenge(error, text, scope)));
        assert_eq!(rejection.to_tool_result(), expected, "{rejection:?}");
        // All of it but the code of a missing token is what the header says too.
        let header = rejection.challenge().unwrap();
        let same = header.to_str().unwrap() == expected["_meta"]["mcp/www_authenticate"][0];
        assert_eq!(same, rejection.kind() != RejectionKind::MissingToken);
    }
}

#[tokio::test(start_paused = true)]
async fn the_challenge_in_a_result_is_one_that_an_independent_parser_reads() {
    let fixture = Fixture::new().await;
    let value = asking(&fixture, &["notes:write"]).await.to_tool_result();
    let text = value["_meta"]["mcp/www_authenticate"][0].as_str().unwrap();
    let challenges = http_auth::parse_challenges(text).unwrap();
    let names: Vec<_> = challenges[0].params.iter().map(|(name, _)| *name).collect();
    assert_eq!((challenges.len(), challenges[0].scheme), (1, "Bearer"));
    assert_eq!(names, ["error", "error_description", "resource_metadata", "scope"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_mcp_layer_is_a_result_too() {
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
async fn what_no_login_would_mend_has_no_challenge() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let unavailable = refused(&fixture, &format!("Bearer {}", fixture.token())).await;
    assert!(matches!(unavailable.kind(), RejectionKind::Unavailable { .. }));
    assert_eq!(unavailable.to_tool_result(), result("The access token cannot be checked at the moment", None));

    let fixture = Fixture::new().await;
    let internal = asking(&fixture, &["no scope\n"]).await;
    assert_eq!(internal.kind(), RejectionKind::Internal);
    assert_eq!(internal.to_tool_result(), result("The server is not set up for this request", None));

    let credentials = mcp_bearer::introspection::ClientCredentials::basic("mcp-server", "s3cret");
    let issuer = fixture.issuer.issuer().introspect_all(credentials);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).clock(fixture.clock.clone()).build().await.unwrap();
    let fixture = Fixture { server, ..fixture };
    fixture.issuer.fault(Endpoint::Introspection, Fault::Status(401));
    let misconfigured = refused(&fixture, "Bearer opaque").await;
    assert_eq!(misconfigured.to_tool_result(), result("The access token cannot be checked at the moment", None));
}
