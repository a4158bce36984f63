use http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::sender::DPOP_NONCE;
use crate::server::ResourceServer;

impl ResourceServer {
    /// A CORS layer for browser clients such as MCP Inspector. Add it **outside** of the bearer or MCP layer, so that scripts
    /// can read the challenge of a rejected request.
    ///
    /// It allows every origin, because scripts must set the access token themselves: cookies are not used. Add
    /// [`allowed_origins`](Self::allowed_origins) outside of this layer to choose which pages may send requests at all.
    ///
    /// If a CORS layer is inside of the bearer layer, the log warns once, at the first preflight that passes.
    ///
    /// This layer answers preflights. It allows all request headers, and GET, POST, PUT, PATCH, DELETE, OPTIONS and HEAD.
    /// For other methods, call [`allow_methods`](CorsLayer::allow_methods) on the result. Scripts can read these headers of a
    /// response: `WWW-Authenticate`, `Mcp-Session-Id`, `Mcp-Protocol-Version`, `Retry-After`, and `DPoP-Nonce` (RFC 9449, section
    /// 8.2).
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::{Router, routing::get};
    /// use mcp_bearer::ResourceServer;
    ///
    /// fn app(server: &ResourceServer) -> Router {
    ///     Router::new()
    ///         .route("/notes", get(|| async { "notes" }))
    ///         .route_layer(server.bearer_layer())
    ///         .layer(server.cors_layer())
    ///         .merge(server.metadata_router())
    /// }
    /// # }
    /// ```
    pub fn cors_layer(&self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(Any)
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::OPTIONS,
                Method::HEAD,
            ])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                header::WWW_AUTHENTICATE,
                HeaderName::from_static("mcp-session-id"),
                HeaderName::from_static("mcp-protocol-version"),
                header::RETRY_AFTER,
                DPOP_NONCE,
            ])
    }
}
