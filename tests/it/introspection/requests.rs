//! The form of an introspection request.

use http::Method;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};

use super::stub::{ENDPOINT, Page, Stub, active};
use super::{CLIENT, Fixture, SECRET, credentials, server_of};
use crate::support::{App, ISSUER, RESOURCE};

#[tokio::test(start_paused = true)]
async fn request_is_a_form_with_a_token_type_hint_and_accepts_json() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    assert_eq!(fixture.app().with_token(&token).await.verdict(), "OK");
    let request = fixture.issuer.last_request(Endpoint::Introspection).unwrap();
    assert_eq!((request.method(), request.path()), (&Method::POST, "/introspect"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    let form = [("token", token.as_str()), ("token_type_hint", "access_token")];
    assert_eq!(request.form(), form.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let names: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
    assert!(
        names.iter().all(|name| ["content-type", "accept", "accept-encoding", "authorization"].contains(name)),
        "{names:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn request_encodes_the_token_exactly_once() {
    for (token, encoded) in [
        ("plain", "plain"),
        ("a+b/c=", "a%2Bb%2Fc%3D"),
        ("a~b.c_d-e==", "a%7Eb.c_d-e%3D%3D"),
        ("+/=", "%2B%2F%3D"),
        ("a.b", "a.b"),
        ("2B-2F", "2B-2F"),
    ] {
        let stub = Stub::with_page(Page::json(&active()));
        assert_eq!(stub.app().with_token(token).await.verdict(), "OK", "{token}");
        let (request, _) = stub.last();
        let expected = format!("token={encoded}&token_type_hint=access_token");
        assert_eq!(std::str::from_utf8(request.body()).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn request_url_is_the_endpoint_without_the_token() {
    for endpoint in [ENDPOINT, "https://auth.example.com/introspect?tenant=t1&x=a%20b"] {
        let stub = Stub::with_page(Page::json(&active()));
        let app = App::new(server_of(stub.issuer(credentials()).introspection_endpoint(endpoint)).bearer_layer());
        assert_eq!(app.with_token("opaque").await.verdict(), "OK");
        let (request, _) = stub.last();
        assert_eq!(request.uri().to_string(), endpoint);
        assert!(request.headers().values().all(|value| !value.to_str().unwrap().contains("opaque")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_to_a_plain_http_endpoint_only_with_the_setting() {
    const HTTP: &str = "http://hydra-admin.ory.svc:4445/admin/oauth2/introspect";
    let stub = Stub::with_page(Page::json(&active()));
    let issuer = stub.issuer(ClientCredentials::none()).introspection_endpoint(HTTP);
    let error = ResourceServer::builder(RESOURCE).issuer(issuer.clone()).build_lazy().unwrap_err().to_string();
    assert!(error.contains(HTTP) && error.contains("`dangerously_allow_http_introspection()`"), "{error}");
    let server = server_of(issuer.dangerously_allow_http_introspection());
    assert_eq!(App::new(server.bearer_layer()).with_token("opaque").await.verdict(), "OK");
    assert_eq!(stub.last().0.uri().to_string(), HTTP);
}

#[tokio::test(start_paused = true)]
async fn plain_http_for_introspection_does_not_extend_to_discovered_urls() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.set_metadata_member("jwks_uri", "http://auth.example.com/jwks");
    let configured = issuer.issuer().introspect_opaque(ClientCredentials::none());
    let configured = configured.introspection_endpoint("http://hydra:4445/introspect");
    let configured = configured.dangerously_allow_http_introspection();
    let error = ResourceServer::builder(RESOURCE).issuer(configured).build().await.unwrap_err().to_string();
    assert!(error.contains("jwks_uri"), "{error}");
    assert_eq!(issuer.requests(Endpoint::KeySet), 0);
}

#[tokio::test(start_paused = true)]
async fn request_over_a_real_socket_is_the_same_and_follows_no_redirect() {
    tokio::time::resume();
    let issuer = TestIssuer::builder("http://127.0.0.1:0").introspection_client(CLIENT, SECRET).serve().unwrap();
    let elsewhere = TestIssuer::serve().unwrap();
    let configured = Issuer::discover(issuer.url()).introspect_all(credentials());
    let server = ResourceServer::builder(RESOURCE).issuer(configured).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = issuer.token().audience(RESOURCE).opaque();
    assert_eq!(app.with_token(&token).await.verdict(), "OK");
    assert_eq!(issuer.last_request(Endpoint::Introspection).unwrap().form_value("token"), Some(token));

    let target = format!("{}/introspect", elsewhere.url());
    issuer.fault(Endpoint::Introspection, Fault::Redirect(target));
    assert_eq!(app.with_token("opaque").await.verdict(), "R503");
    // The first introspection checked the credentials.
    assert_eq!((issuer.requests(Endpoint::Introspection), elsewhere.total_requests()), (3, 0));
}
