//! hyper's client calls the server over a socket.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use support::Fixture;
use tokio::net::TcpListener;

/// The server of this example, which runs until the test ends.
struct Notes(Fixture);

impl Notes {
    async fn serve() -> Self {
        Self::serve_with(Fixture::new("/notes").await)
    }

    fn serve_with(fixture: Fixture) -> Self {
        let listener = TcpListener::from_std(fixture.listener()).unwrap();
        tokio::spawn(hyper_example::serve(listener, fixture.server.clone()));
        Self(fixture)
    }

    async fn list(&self, token: Option<&str>) -> Response<String> {
        get(self.0.resource(), token).await
    }
}

async fn get(url: &str, token: Option<&str>) -> Response<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let (parts, body) = client.request(request.body(Full::default()).unwrap()).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(parts, String::from_utf8(body.into()).unwrap())
}

fn header<'a>(response: &'a Response<String>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_valid_token_is_accepted() {
    let notes = Notes::serve().await;
    let response = notes.list(Some(&notes.0.valid_token())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), "the notes of alice");
}

#[tokio::test]
async fn a_request_without_a_token_gets_a_challenge_that_leads_to_the_authorization_server() {
    let notes = Notes::serve().await;
    let response = notes.list(None).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = header(&response, "www-authenticate");
    assert!(challenge.contains("scope=\"notes:read\""), "{challenge}");
    let (_, rest) = challenge.split_once("resource_metadata=\"").unwrap();
    let (metadata_url, _) = rest.split_once('"').unwrap();

    let metadata = get(metadata_url, None).await;
    assert_eq!(metadata.status(), StatusCode::OK);
    let metadata: Value = serde_json::from_str(metadata.body()).unwrap();
    assert_eq!(metadata["resource"], notes.0.resource());
    assert_eq!(metadata["authorization_servers"][0], notes.0.issuer.url());
}

#[tokio::test]
async fn an_invalid_token_is_rejected() {
    let notes = Notes::serve().await;
    for token in [notes.0.expired_token(), notes.0.token_for_another_resource(), "opaque".to_owned()] {
        let response = notes.list(Some(&token)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(header(&response, "www-authenticate").contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_rejected() {
    let notes = Notes::serve().await;
    let response = notes.list(Some(&notes.0.token_with_scope("files:read"))).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let challenge = header(&response, "www-authenticate");
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"notes:read\""), "{challenge}");
}

#[tokio::test]
async fn an_outage_of_the_authorization_server_is_503() {
    let notes = Notes::serve_with(Fixture::during_outage("/notes"));
    let response = notes.list(Some(&notes.0.valid_token())).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&response, "retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(header(&response, "www-authenticate"), "");
}

#[tokio::test]
async fn an_unknown_path_is_404_with_and_without_a_token() {
    let notes = Notes::serve().await;
    let url = format!("{}/unknown", notes.0.origin());
    assert_eq!(get(&url, None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&url, Some(&notes.0.valid_token())).await.status(), StatusCode::NOT_FOUND);
}
