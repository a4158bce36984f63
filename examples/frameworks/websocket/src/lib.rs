//! A WebSocket with axum: the handshake needs an access token, and the connection ends when the token expires.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::get;
use mcp_bearer::{AuthInfo, ResourceServer};
use tokio::time::timeout;

/// The layer verifies the token of the handshake, which is an HTTP request. A rejected handshake gets 401, 403 or 503, and
/// no WebSocket is opened.
pub fn app(server: &ResourceServer) -> Router {
    Router::new()
        .route("/notes", get(open_notes))
        .route_layer(server.bearer_layer().required_scopes(["notes:read"]))
        .merge(server.metadata_router())
}

async fn open_notes(auth: AuthInfo, upgrade: WebSocketUpgrade) -> Response {
    // axum accepts 64 MiB by default.
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| serve_until_expiry(socket, auth))
}

/// Nothing verifies the token again while the connection is open, so it must not outlive the token.
async fn serve_until_expiry(mut socket: WebSocket, auth: AuthInfo) {
    let ended_before = timeout(time_left(&auth), answer_messages(&mut socket, &auth)).await.is_ok();
    if ended_before {
        return;
    }
    let close = CloseFrame { code: close_code::POLICY, reason: "connect again with a valid access token".into() };
    // A client that does not read must not keep the connection open. An error means that it is gone already.
    drop(timeout(MAX_CLOSE, socket.send(Message::Close(Some(close)))).await);
}

/// Ends when the client closes the connection.
async fn answer_messages(socket: &mut WebSocket, auth: &AuthInfo) {
    let user = auth.subject().unwrap_or("a service");
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        if socket.send(format!("{user}: {text}").into()).await.is_err() {
            return;
        }
    }
}

fn time_left(auth: &AuthInfo) -> Duration {
    let Some(expires_at) = auth.expires_at() else { return MAX_CONNECTION };
    expires_at.duration_since(SystemTime::now()).unwrap_or_default().min(MAX_CONNECTION)
}

/// The messages are short texts.
const MAX_MESSAGE: usize = 64 * 1024;
/// A revoked token keeps its connection until then, and so does an introspected token without `exp`.
const MAX_CONNECTION: Duration = Duration::from_secs(3600);
const MAX_CLOSE: Duration = Duration::from_secs(5);
