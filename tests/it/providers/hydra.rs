//! Ory Hydra: discovery at the public port, and introspection at the admin port. Both are real servers.

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, header};
use mcp_bearer::introspection::IntrospectionState;
use mcp_bearer::issuer::providers;
use mcp_bearer::testing::{Documents, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

use crate::support::{App, RESOURCE};

/// The forms of the requests to the admin port.
type Forms = Arc<Mutex<Vec<Vec<(String, String)>>>>;

/// Answers as Hydra 2.3 does.
async fn introspect(State((issuer, forms)): State<(String, Forms)>, headers: HeaderMap, body: Bytes) -> Json<Value> {
    assert!(!headers.contains_key(header::AUTHORIZATION));
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let token = form[0].1.clone();
    forms.lock().unwrap().push(form);
    let active = |token_use: &str| {
        json!({
            "active": true, "scope": "mcp:tools", "client_id": "client", "sub": "alice", "exp": 4_000_000_000_u64,
            "iat": 1_700_000_000, "nbf": 1_700_000_000, "aud": [RESOURCE], "iss": issuer, "token_type": "Bearer",
            "token_use": token_use
        })
    };
    Json(match token.as_str() {
        "ory_at_valid" => active("access_token"),
        "ory_rt_valid" => active("refresh_token"),
        _ => json!({ "active": false }),
    })
}

/// The admin port. Returns its URL, the forms that it receives, and its task.
async fn serve_admin(issuer: &str) -> (String, Forms, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let forms = Forms::default();
    let state = (issuer.to_owned(), Arc::clone(&forms));
    let router = Router::new().route("/admin/oauth2/introspect", post(introspect)).with_state(state);
    (url, forms, tokio::spawn(axum::serve(listener, router).into_future()))
}

#[tokio::test]
async fn opaque_tokens_and_jwts_of_hydra_are_accepted() {
    let builder = TestIssuer::builder("http://127.0.0.1:0").documents(Documents::Oidc);
    let public = builder.metadata_member("introspection_endpoint", Value::Null).serve().unwrap();
    let (admin, forms, task) = serve_admin(public.url()).await;
    let issuer = providers::hydra(public.url(), &admin);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap();
    assert_eq!(server.health().issuers()[0].introspection(), IntrospectionState::Ready);
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    for (token, verdict) in [("ory_at_valid", "OK"), ("ory_rt_valid", "R401"), ("ory_at_unknown", "R401")] {
        assert_eq!(app.with_token(token).await.verdict(), verdict, "{token}");
    }
    let expected = |token: &str| vec![("token", token.to_owned()), ("token_type_hint", "access_token".to_owned())];
    let sent = forms.lock().unwrap()[1].clone();
    assert_eq!(
        sent,
        expected("ory_at_valid").into_iter().map(|(name, text)| (name.to_owned(), text)).collect::<Vec<_>>()
    );

    // A JWT has its scopes in an array, and needs no admin port.
    let introspections = forms.lock().unwrap().len();
    task.abort();
    let jwt = || public.token().audience(RESOURCE).without("scope").header("typ", "JWT");
    assert_eq!(app.with_token(&jwt().claim("scp", json!(["mcp:tools"])).sign()).await.verdict(), "OK");
    assert_eq!(app.with_token(&jwt().claim("aud", json!([])).sign()).await.verdict(), "R401");
    assert_eq!(forms.lock().unwrap().len(), introspections);
}

#[test]
fn plain_http_on_the_admin_port_is_left_to_the_caller() {
    let build = |issuer: Issuer| ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy();
    let hydra = |admin| providers::hydra("https://auth.example.com", admin);
    let error = build(hydra("http://hydra-admin.ory.svc:4445")).unwrap_err().to_string();
    let url = "\"http://hydra-admin.ory.svc:4445/admin/oauth2/introspect\"";
    assert!(error.contains(url) && error.contains("`dangerously_allow_http_introspection()`"), "{error}");
    build(hydra("http://hydra-admin.ory.svc:4445").dangerously_allow_http_introspection()).unwrap();
    for admin in ["https://hydra-admin.internal", "http://127.0.0.1:4445"] {
        build(hydra(admin)).unwrap();
    }
}
