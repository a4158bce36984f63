//! A server with one issuer of JWTs and one issuer of opaque tokens.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::{TestClock, TestIssuer, TestToken};
use mcp_bearer::{Issuer, ResourceServer};
use tower::ServiceExt as _;

pub const RESOURCE: &str = "https://mcp.example.com/mcp";
pub const JWTS: &str = "https://auth.example.com";
pub const OPAQUE: &str = "https://opaque.example.com";
pub const ORIGIN: &str = "https://app.example.com";

/// How often the token of a stream is verified again.
const INTERVAL: Duration = Duration::from_secs(60);

pub struct Server {
    pub server: ResourceServer,
    pub jwts: TestIssuer,
    pub opaque: TestIssuer,
    /// `/rest` and `/mcp` require `mcp:tools`. The tool `write` also requires `mcp:write`. The response to `watch` is a stream
    /// that does not end.
    pub app: Router,
}

impl Server {
    pub async fn new() -> Self {
        let clock = TestClock::new();
        let jwts = TestIssuer::builder(JWTS).clock(clock.clone()).build();
        let opaque = TestIssuer::builder(OPAQUE).clock(clock.clone()).introspection_client("rs", "secret").build();
        let server = ResourceServer::builder(RESOURCE)
            .issuer(jwts.issuer())
            .issuer(introspected(&opaque))
            .clock(clock)
            .build()
            .await
            .unwrap();
        let scopes = McpScopes::new().tool("watch", ["mcp:tools"]).tool("write", ["mcp:write"]).deny_unlisted();
        let layer =
            server.mcp_layer(scopes).required_scopes(["mcp:tools"]).bind_sessions().revalidate_streams(INTERVAL);
        let app = Router::new()
            .route("/mcp", any(watch))
            .route_layer(layer)
            .merge(
                Router::new()
                    .route("/rest", any(async || "ok"))
                    .route_layer(server.bearer_layer().required_scopes(["mcp:tools"])),
            )
            .layer(server.allowed_origins([ORIGIN]));
        Self { server, jwts, opaque, app }
    }

    /// A valid token.
    pub fn token(&self) -> TestToken<'_> {
        self.jwts.token().audience(RESOURCE).scope("mcp:tools")
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Sends a token to `/rest`.
    pub async fn rest(&self, token: &str) -> StatusCode {
        let request = Request::get("/rest").header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await.status()
    }

    /// Calls a tool. Returns the status, after the response has ended.
    pub async fn call(&self, token: &str, tool: &str, headers: &[(&str, &str)]) -> StatusCode {
        let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
        let mut request = Request::post("/mcp")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(Body::from(message)).unwrap()).await;
        let status = response.status();
        drop(response.into_body().collect().await);
        status
    }
}

/// Sends a request to a route behind the bearer layer of this server.
pub async fn get(server: &ResourceServer, token: Option<&str>) -> StatusCode {
    let app = Router::new().route("/", any(async || "ok")).route_layer(server.bearer_layer());
    let mut request = Request::get("/");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
}

pub fn introspected(issuer: &TestIssuer) -> Issuer {
    issuer.issuer().introspect_all(ClientCredentials::basic("rs", "secret"))
}

/// Responds with an event stream without events.
async fn watch() -> Response<Body> {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body).unwrap()
}
