//! Clients revoke their tokens at the development authorization server.

use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_login() {
    let server = Server::start().await;
    let client = server.register_public().await;
    let code = server.code(&client, &[]).await;
    let (_, tokens) = server.exchange(&client, &code, &[]).await;
    assert_eq!(server.revoke(&client, &tokens["refresh_token"]).await, (200, Value::Null));
    let (_, ended) = server.refresh(&client, &tokens["refresh_token"], &[]).await;
    assert_eq!(ended["error"], "invalid_grant");
    assert_eq!(server.revoke(&client, &tokens["refresh_token"]).await.0, 200);
}

#[tokio::test]
async fn revoking_an_access_token_keeps_the_login() {
    let server = Server::start().await;
    let client = server.register_public().await;
    let code = server.code(&client, &[]).await;
    let (_, tokens) = server.exchange(&client, &code, &[]).await;
    assert_eq!(server.revoke(&client, &tokens["access_token"]).await, (200, Value::Null));
    assert_eq!(server.refresh(&client, &tokens["refresh_token"], &[]).await.0, 200);
}

#[tokio::test]
async fn a_client_cannot_revoke_the_token_of_another_client() {
    let server = Server::start().await;
    let client = server.register_public().await;
    let code = server.code(&client, &[]).await;
    let (_, tokens) = server.exchange(&client, &code, &[]).await;
    for token in [&tokens["access_token"], &tokens["refresh_token"], &json!(server.token)] {
        let (status, answer) = server.revoke("x.an.", token).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    }
    assert_eq!(server.refresh(&client, &tokens["refresh_token"], &[]).await.0, 200);
    for (client, token, status) in
        [(client.as_str(), "unheard-of", 200), (&client, "", 400), ("nobody", "unheard-of", 401)]
    {
        assert_eq!(server.revoke(client, &json!(token)).await.0, status, "{client} {token}");
    }
}
