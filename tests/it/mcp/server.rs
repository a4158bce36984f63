//! An MCP endpoint behind the layer, which records the requests that reach it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt as _;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, RESOURCE};

/// A request that reached the inner service.
#[derive(Debug, Clone)]
pub struct Reached {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
}

type Handler = Arc<dyn Fn(&Reached) -> Response + Send + Sync>;

/// The application and the requests that reached its handler.
#[derive(Clone)]
pub struct McpServer {
    router: Router,
    reached: Arc<Mutex<Vec<Reached>>>,
}

impl McpServer {
    /// A server behind a layer that requires `mcp:tools`, with a handler that returns `ok`.
    pub fn new(fixture: &Fixture, scopes: McpScopes) -> Self {
        Self::with(tools(fixture.server.mcp_layer(scopes)), |_| "ok".into_response())
    }

    /// Like [`McpServer::new`], but requests without a token are allowed.
    pub fn mixed(fixture: &Fixture, scopes: McpScopes) -> Self {
        Self::with(tools(fixture.server.mcp_layer(scopes)).allow_anonymous(), |_| "ok".into_response())
    }

    pub fn with(layer: McpLayer, handler: impl Fn(&Reached) -> Response + Send + Sync + 'static) -> Self {
        let reached = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&reached);
        let handler: Handler = Arc::new(handler);
        let handle = move |request: Request<Body>| {
            let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let request = Reached { method: parts.method, headers: parts.headers, body };
                seen.lock().unwrap().push(request.clone());
                handler(&request)
            }
        };
        Self { router: Router::new().route("/mcp", any(handle)).route_layer(layer), reached }
    }

    /// The requests that reached the handler since the last call.
    pub fn take_reached(&self) -> Vec<Reached> {
        std::mem::take(&mut self.reached.lock().unwrap())
    }

    /// The router, for use behind another layer.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    pub async fn respond(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.respond(request).await).await
    }

    /// Sends this body by POST, with these headers and this token. An empty token is omitted.
    pub async fn post(&self, token: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.send(post(token, headers, body)).await
    }

    /// Sends this message by POST.
    pub async fn call(&self, token: &str, message: &Value) -> Answer {
        self.post(token, &[], message.to_string()).await
    }
}

/// The layer with `mcp:tools` as a required scope.
pub fn tools(layer: McpLayer) -> McpLayer {
    layer.required_scopes(["mcp:tools"])
}

pub fn post(token: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/mcp").header(header::CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

impl Fixture {
    /// A token of `alice` with these scopes.
    pub fn token_for(&self, scopes: &str) -> String {
        self.issuer.token().audience(RESOURCE).subject("alice").scope(scopes).sign()
    }
}
