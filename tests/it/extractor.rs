//! The extractor `AuthInfo`, and scopes that handlers require.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode, header};
use mcp_bearer::bearer::Rejection;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, ResourceServer};
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, RESOURCE};

async fn send(app: Router, token: Option<&str>) -> Answer {
    let request = Request::get("/");
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    Answer::of(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

async fn describe(auth: AuthInfo) -> String {
    json!({
        "issuer": auth.issuer(),
        "subject": auth.subject(),
        "client_id": auth.client_id(),
        "scopes": auth.scopes().iter().collect::<Vec<_>>(),
        "audience": auth.audience().collect::<Vec<_>>(),
        "tenant": auth.claims().get("tenant"),
        "expires_in": auth.expires_at().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
    })
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn a_handler_gets_the_claims_of_the_token() {
    let fixture = Fixture::new().await;
    let app = Router::new().route("/", get(describe)).route_layer(fixture.server.bearer_layer());
    let token = fixture.issuer.token().audience("https://other").audience(RESOURCE).scope("b a").client_id("app");
    let token = token.subject("alice").claim("tenant", json!({"id": 7})).expires_at(2_000_000_000).sign();
    assert_eq!(
        send(app, Some(&token)).await.json(),
        json!({
            "issuer": "https://auth.example.com",
            "subject": "alice",
            "client_id": "app",
            "scopes": ["b", "a"],
            "audience": ["https://other", RESOURCE],
            "tenant": {"id": 7},
            "expires_in": 2_000_000_000,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn subject_and_client_id_are_separate() {
    let fixture = Fixture::new().await;
    let app = Router::new().route("/", get(describe)).route_layer(fixture.server.bearer_layer());
    let token = fixture.issuer.token().audience(RESOURCE).without("sub").client_id("alice").sign();
    let seen = send(app, Some(&token)).await.json();
    assert_eq!((&seen["subject"], &seen["client_id"]), (&json!(null), &json!("alice")));
}

#[tokio::test(start_paused = true)]
async fn without_a_layer_the_extractor_answers_500() {
    async fn optional(auth: Option<AuthInfo>) -> String {
        format!("{}", auth.is_some())
    }
    let fixture = Fixture::new().await;
    for app in [Router::new().route("/", get(describe)), Router::new().route("/", get(optional))] {
        let answer = send(app, Some(&fixture.token())).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.json()["error"], "server_error");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_request_is_rejected_if_the_handler_needs_a_caller() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]).allow_anonymous();
    let answer = send(Router::new().route("/", get(describe)).route_layer(layer), None).await;
    assert_eq!(answer.verdict(), "R401N");
    assert_eq!(answer.parameter("scope").as_deref(), Some("mcp:tools"));
}

#[tokio::test(start_paused = true)]
async fn client_headers_never_set_the_identity() {
    let fixture = Fixture::new().await;
    let app = Router::new().route("/", get(describe)).route_layer(fixture.server.bearer_layer());
    let request = Request::get("/")
        .header(header::AUTHORIZATION, format!("Bearer {}", fixture.token()))
        .header("x-auth-info", "root")
        .header("x-user", "root")
        .header("x_auth_user", "root");
    let answer = Answer::of(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
    assert_eq!(answer.json()["subject"], "alice");
}

async fn delete(auth: AuthInfo) -> Result<&'static str, Rejection> {
    auth.require_scopes(["notes:delete"])?;
    Ok("deleted")
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_require_more_scopes_and_the_challenge_contains_all() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let app = Router::new().route("/", get(delete)).route_layer(layer);
    let answer = send(app.clone(), Some(&fixture.token())).await;
    assert_eq!(answer.verdict(), "R403");
    assert_eq!(answer.parameter("scope").as_deref(), Some("mcp:tools notes:delete"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let enough = fixture.issuer.token().audience(RESOURCE).scope("notes:delete mcp:tools").sign();
    assert_eq!(send(app, Some(&enough)).await.body, "deleted");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_scope_in_a_handler_is_a_server_error() {
    async fn wrong(auth: AuthInfo) -> Result<(), Rejection> {
        auth.require_scopes(["two words"])
    }
    let fixture = Fixture::new().await;
    let app = Router::new().route("/", get(wrong)).route_layer(fixture.server.bearer_layer());
    assert_eq!(send(app, Some(&fixture.token())).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_broad_scope_satisfies_the_narrow_ones_it_implies() {
    let fixture = Fixture::cold();
    let server = ResourceServer::builder(RESOURCE)
        .issuer(fixture.issuer.issuer())
        .clock(fixture.clock.clone())
        .scope_implies("admin", ["notes:delete"])
        .scope_implies("notes:delete", ["mcp:tools"])
        .build()
        .await
        .unwrap();
    let layer = server.bearer_layer().required_scopes(["mcp:tools"]);
    let app = Router::new().route("/", get(delete)).route_layer(layer);
    let with = |scope: &str| fixture.issuer.token().audience(RESOURCE).scope(scope).sign();
    assert_eq!(send(app.clone(), Some(&with("admin"))).await.body, "deleted");
    assert_eq!(send(app.clone(), Some(&with("notes:delete"))).await.body, "deleted");
    assert_eq!(send(app.clone(), Some(&with("mcp:tools"))).await.verdict(), "R403");
    assert_eq!(send(app, Some(&with("notes"))).await.verdict(), "R403");
}

#[test]
fn a_client_without_a_user_is_its_own_subject_or_has_none() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let token = || issuer.token().client_id("service");
    for (token, expected) in [
        (token().subject("alice"), false),
        (token().subject("service"), true),
        (token().without("sub"), true),
        (token().without("sub").without("client_id"), true),
        (token().subject("service").without("client_id"), false),
        (token().subject("service").without("client_id").claim("azp", "service"), true),
        (token().without("sub").claim("username", "alice"), false),
        (token().subject("Service"), false),
    ] {
        let auth = token.auth_info();
        assert_eq!(auth.is_client_credentials(), expected, "{:?}", auth.claims());
    }
}

#[test]
fn claims_are_read_as_a_type_of_the_application() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Own<'a> {
        tenant: &'a str,
        #[serde(default)]
        level: u8,
    }
    let issuer = TestIssuer::new("https://auth.example.com");
    let auth = issuer.token().claim("tenant", "t1").claim("level", 3).auth_info();
    assert_eq!(auth.claims_as::<Own>().unwrap(), Own { tenant: "t1", level: 3 });
    let error = issuer.token().claim("tenant", 7).auth_info().claims_as::<Own>().unwrap_err();
    assert!(error.to_string().contains("expected a borrowed string"), "{error}");
    assert!(issuer.token().auth_info().claims_as::<Own>().is_err());
}

#[test]
fn a_handler_is_tested_without_a_request() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let auth = issuer.token().audience(RESOURCE).subject("alice").scope("notes:read").auth_info();
    assert_eq!((auth.issuer(), auth.identity()), (Some(issuer.url()), Some((issuer.url(), "alice"))));
    assert_eq!(auth.audience().collect::<Vec<_>>(), [RESOURCE]);
    assert!(auth.has_scope("notes:read") && auth.require_scopes(["notes:read"]).is_ok());
    let rejection = auth.require_scopes(["notes:write"]).unwrap_err();
    let challenge = rejection.challenge().unwrap();
    assert!(challenge.to_str().unwrap().ends_with("scope=\"notes:write\""), "{challenge:?}");
    assert_eq!((rejection.label(), rejection.status().as_u16()), ("insufficient_scope", 403));
}
