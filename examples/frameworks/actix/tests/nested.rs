//! A middleware inside of another one, and a handler without one.

use actix_example::bearer::{Caller, require};
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use mcp_bearer::ResourceServer;
use mcp_bearer::testing::TestIssuer;

const RESOURCE: &str = "https://api.example.com/notes";

async fn whoami(caller: Caller) -> String {
    caller.subject().unwrap_or_default().to_owned()
}

#[actix_web::test]
async fn a_middleware_inside_requires_the_scopes_of_both() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build_lazy().expect("a configuration");
    let requiring = |scope: &str| from_fn(require(server.bearer_layer().required_scopes([scope])));
    let inner = web::resource("/notes").wrap(requiring("notes:write")).to(whoami);
    let app = init_service(App::new().service(web::scope("").wrap(requiring("notes:read")).service(inner))).await;
    let call = async |scopes: &str| {
        let token = issuer.token().audience(RESOURCE).scope(scopes).sign();
        let request = TestRequest::with_uri("/notes").insert_header(("authorization", format!("Bearer {token}")));
        call_service(&app, request.to_request()).await
    };
    assert_eq!(call("notes:read notes:write").await.status(), 200);
    let rejected = call("notes:read").await;
    assert_eq!(rejected.status(), 403);
    let challenge = rejected.headers().get("www-authenticate").expect("a challenge").to_str().expect("ASCII");
    assert!(challenge.contains("scope=\"notes:read notes:write\""), "{challenge}");
}

#[actix_web::test]
async fn a_caller_without_the_middleware_is_an_error_of_the_server() {
    let app = init_service(App::new().route("/notes", web::get().to(whoami))).await;
    assert_eq!(call_service(&app, TestRequest::with_uri("/notes").to_request()).await.status(), 500);
}
