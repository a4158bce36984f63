//! tonic's client calls the server over a socket.

use std::time::Duration;

use support::Fixture;
use tokio::net::TcpListener;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_example::client::{self, Client, NextStep};
use tonic_example::notes::{AddRequest, ListRequest};

/// The server of this example, which runs until the test ends.
struct Notes(Fixture);

impl Notes {
    async fn serve() -> Self {
        Self::serve_with(Fixture::new("").await)
    }

    fn serve_with(fixture: Fixture) -> Self {
        let listener = TcpListener::from_std(fixture.listener()).unwrap();
        tokio::spawn(tonic_example::server::serve(listener, fixture.server.clone()));
        Self(fixture)
    }

    async fn client(&self, token: Option<&str>) -> Client {
        let channel = Endpoint::from_shared(self.0.origin()).unwrap().connect().await.unwrap();
        client::with_token(channel, token).unwrap()
    }

    async fn list(&self, token: Option<&str>) -> Result<Vec<String>, Status> {
        Ok(self.client(token).await.list(ListRequest {}).await?.into_inner().notes)
    }

    async fn add(&self, token: Option<&str>) -> Result<u32, Status> {
        let request = AddRequest { text: "buy milk".to_owned() };
        Ok(self.client(token).await.add(request).await?.into_inner().count)
    }
}

fn challenge(status: &Status) -> &str {
    status.metadata().get("www-authenticate").map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_valid_token_is_accepted() {
    let notes = Notes::serve().await;
    let token = notes.0.token_with_scope("notes:read notes:write");
    assert_eq!(notes.add(Some(&token)).await.unwrap(), 1);
    assert_eq!(notes.list(Some(&token)).await.unwrap(), ["alice: buy milk"]);
}

#[tokio::test]
async fn a_call_without_a_token_is_unauthenticated_and_gets_the_challenge() {
    let notes = Notes::serve().await;
    let status = notes.list(None).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "An access token is needed");
    assert!(challenge(&status).contains(notes.0.server.metadata_url()), "{}", challenge(&status));
    assert_eq!(NextStep::after(&status), NextStep::LogIn { challenge: challenge(&status).to_owned() });
}

#[tokio::test]
async fn the_metadata_document_needs_no_token() {
    let notes = Notes::serve().await;
    let response = reqwest::get(notes.0.server.metadata_url()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains(notes.0.issuer.url()));
}

#[tokio::test]
async fn an_invalid_token_is_unauthenticated() {
    let notes = Notes::serve().await;
    for token in [notes.0.expired_token(), notes.0.token_for_another_resource(), "opaque".to_owned()] {
        let status = notes.list(Some(&token)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(challenge(&status).contains("error=\"invalid_token\""), "{}", challenge(&status));
    }
}

#[tokio::test]
async fn a_token_without_the_scope_of_the_layer_is_denied() {
    let notes = Notes::serve().await;
    let status = notes.list(Some(&notes.0.token_with_scope("files:read"))).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(challenge(&status).contains("error=\"insufficient_scope\""), "{}", challenge(&status));
    assert!(challenge(&status).contains("scope=\"notes:read\""), "{}", challenge(&status));
}

#[tokio::test]
async fn a_token_without_the_scope_of_the_method_is_denied_with_all_scopes_in_the_challenge() {
    let notes = Notes::serve().await;
    let token = notes.0.valid_token();
    let status = notes.add(Some(&token)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(challenge(&status).contains("scope=\"notes:read notes:write\""), "{}", challenge(&status));
    assert_eq!(NextStep::after(&status), NextStep::RequestScopes { challenge: challenge(&status).to_owned() });
    assert!(notes.list(Some(&token)).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_outage_of_the_authorization_server_is_unavailable() {
    let notes = Notes::serve_with(Fixture::during_outage(""));
    let status = notes.list(Some(&notes.0.valid_token())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(challenge(&status), "");
    let NextStep::RetryAfter(time) = NextStep::after(&status) else { panic!("no time in {status:?}") };
    assert!(time > Duration::ZERO);
}
