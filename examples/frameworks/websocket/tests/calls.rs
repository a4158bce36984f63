//! The client of tokio-tungstenite opens a WebSocket.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use futures_util::{SinkExt as _, StreamExt as _};
use support::{Fixture, SCOPE};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, IntoClientRequest as _};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The server of this example, which runs until the test ends.
struct Notes(Fixture);

impl Notes {
    async fn serve() -> Self {
        Self::serve_with(Fixture::new("/notes").await)
    }

    fn serve_with(fixture: Fixture) -> Self {
        let listener = TcpListener::from_std(fixture.listener()).unwrap();
        let app = websocket_example::app(&fixture.server);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self(fixture)
    }

    async fn open(&self, token: Option<&str>) -> Result<Socket, (StatusCode, HeaderMap)> {
        open(self.0.resource(), token).await
    }

    async fn rejection(&self, token: Option<&str>) -> (StatusCode, HeaderMap) {
        self.open(token).await.map(drop).expect_err("a rejected handshake")
    }
}

/// Opens a WebSocket. An error is the response to the handshake.
async fn open(url: &str, token: Option<&str>) -> Result<Socket, (StatusCode, HeaderMap)> {
    let url = url.replace("http://", "ws://");
    let mut request = ClientRequestBuilder::new(url.parse().unwrap());
    if let Some(token) = token {
        request = request.with_header("Authorization", format!("Bearer {token}"));
    }
    match tokio_tungstenite::connect_async(request.into_client_request().unwrap()).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err((response.status(), response.headers().clone())),
        Err(error) => panic!("the handshake does not have a response: {error}"),
    }
}

async fn exchange(socket: &mut Socket, text: &str) -> Message {
    socket.send(text.into()).await.unwrap();
    next(socket).await.unwrap()
}

/// The next message. `None` if the connection is closed.
async fn next(socket: &mut Socket) -> Option<Message> {
    // Without a limit, a test of a server that sends nothing would never fail.
    let message = tokio::time::timeout(Duration::from_secs(30), socket.next()).await.expect("a message in time");
    message.map(Result::unwrap)
}

/// Moves tokio's clock. It is paused only for that, because a paused clock does not wait for bytes in transit.
async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn challenge(headers: &HeaderMap) -> &str {
    headers.get("www-authenticate").map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_valid_token_opens_the_websocket() {
    let notes = Notes::serve().await;
    let mut socket = notes.open(Some(&notes.0.valid_token())).await.unwrap();
    assert_eq!(exchange(&mut socket, "hello").await, "alice: hello".into());
    assert_eq!(exchange(&mut socket, "again").await, "alice: again".into());
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn the_websocket_is_closed_when_the_token_expires() {
    the_websocket_is_closed(Duration::from_secs(5 * 60), Duration::from_secs(5 * 60)).await;
}

#[tokio::test]
async fn the_websocket_of_a_token_for_a_day_is_closed_after_an_hour() {
    the_websocket_is_closed(Duration::from_secs(24 * 3600), Duration::from_secs(3600)).await;
}

async fn the_websocket_is_closed(lifetime_of_token: Duration, after: Duration) {
    const MINUTE: Duration = Duration::from_secs(60);
    let notes = Notes::serve().await;
    let token = notes.0.issuer.token().audience(notes.0.resource()).scope(SCOPE).expires_in(lifetime_of_token).sign();
    let mut socket = notes.open(Some(&token)).await.unwrap();
    assert_eq!(exchange(&mut socket, "hello").await, "alice: hello".into());
    advance(after - MINUTE).await;
    assert_eq!(exchange(&mut socket, "still open").await, "alice: still open".into());
    advance(MINUTE).await;
    let Some(Message::Close(Some(close))) = next(&mut socket).await else { panic!("no close frame") };
    assert_eq!((close.code, close.reason.as_str()), (CloseCode::Policy, "connect again with a valid access token"));
    assert_eq!(next(&mut socket).await, None);
}

#[tokio::test]
async fn a_handshake_without_a_token_is_rejected() {
    let notes = Notes::serve().await;
    let (status, headers) = notes.rejection(None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(challenge(&headers).contains(notes.0.server.metadata_url()));
}

/// The layer does not read the query, and a message is too late: the handshake is rejected before.
#[tokio::test]
async fn a_token_in_the_query_is_ignored() {
    let notes = Notes::serve().await;
    let url = format!("{}?access_token={}", notes.0.resource(), notes.0.valid_token());
    let (status, _) = open(&url, None).await.map(drop).unwrap_err();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_invalid_token_is_rejected() {
    let notes = Notes::serve().await;
    for token in [notes.0.expired_token(), notes.0.token_for_another_resource(), "opaque".to_owned()] {
        let (status, headers) = notes.rejection(Some(&token)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(challenge(&headers).contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_rejected() {
    let notes = Notes::serve().await;
    let (status, headers) = notes.rejection(Some(&notes.0.token_with_scope("files:read"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(challenge(&headers).contains("error=\"insufficient_scope\""));
    assert!(challenge(&headers).contains("scope=\"notes:read\""));
}

#[tokio::test]
async fn an_outage_of_the_authorization_server_is_503() {
    let notes = Notes::serve_with(Fixture::during_outage("/notes"));
    let (status, headers) = notes.rejection(Some(&notes.0.valid_token())).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
}
