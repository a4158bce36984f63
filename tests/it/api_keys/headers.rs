//! Keys in another header.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::Request;
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::testing::Endpoint;
use mcp_bearer::{AuthInfo, ResourceServer};
use tower::ServiceExt as _;

use super::Keyed;
use crate::support::RESOURCE;

#[tokio::test(start_paused = true)]
async fn the_header_for_keys_accepts_only_keys_and_never_beside_a_token() {
    let key = ApiKey::generate().unwrap();
    let stored = key.stored_as("ci").scopes(["notes:read"]);
    let keyed = Keyed::new(ApiKeys::new().key(stored).header("X-Api-Key")).await;
    let handler = async |auth: AuthInfo| format!("{:?}", auth.kind());
    let app = Router::new().route("/mcp", any(handler)).route_layer(keyed.server.bearer_layer());
    let token = keyed.issuer.token().audience(RESOURCE).sign();
    let (key, token_header) = (key.expose().to_owned(), format!("Bearer {token}"));
    let key_header = format!("Bearer {key}");
    let before = keyed.issuer.requests(Endpoint::Introspection);
    for (headers, expected) in [
        (&[("x-api-key", key.as_str())][..], 200),
        (&[("authorization", &key_header)], 200),
        (&[("authorization", &token_header)], 200),
        // An access token is not a key, in whatever form.
        (&[("x-api-key", &token)], 401),
        (&[("x-api-key", "opaque")], 401),
        (&[("x-api-key", "mcpk_short")], 401),
        (&[("x-api-key", "")], 401),
        (&[("x-api-key", "two keys")], 400),
        (&[("x-api-key", &key), ("x-api-key", &key)], 400),
        (&[("x-api-key", &key), ("authorization", &token_header)], 400),
        (&[("x-api-key", &key), ("authorization", &key_header)], 400),
        (&[("x-api-key", &key), ("authorization", "Basic eA==")], 400),
        (&[("x-other-key", &key)], 401),
    ] {
        let request = headers.iter().fold(Request::get("/mcp"), |request, (name, value)| request.header(*name, *value));
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), expected, "{headers:?}");
    }
    assert_eq!(keyed.issuer.requests(Endpoint::Introspection), before);
}

#[test]
fn a_header_that_cannot_have_a_key_fails_at_build() {
    for name in ["authorization", "cookie", "host", "x-forwarded-user", "", "x api"] {
        let keys = ApiKeys::new().header(name);
        let message = ResourceServer::builder(RESOURCE).api_keys(keys).build_lazy().unwrap_err().to_string();
        assert!(message.starts_with("`ApiKeys::header` names the header \""), "{message}");
    }
}
