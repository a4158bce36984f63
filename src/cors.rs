use http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::server::ResourceServer;

impl ResourceServer {
    /// A CORS layer for browser clients such as MCP Inspector, to be put **outside** the bearer layer: the challenge of
    /// a refusal is of no use to a script that cannot read it.
    ///
    /// Any origin may call: tokens travel in a header that a script must set itself, so there is no cookie to abuse.
    /// [`allowed_origins`](Self::allowed_origins) decides which pages may call at all; it goes outside this layer.
    ///
    /// Allowed are the methods GET, POST, PUT, PATCH, DELETE, OPTIONS and HEAD and all request headers; preflights are
    /// answered without reaching the bearer layer.
    pub fn cors_layer(&self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(AllowOrigin::any())
            .allow_methods(AllowMethods::list([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::OPTIONS,
                Method::HEAD,
            ]))
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                header::WWW_AUTHENTICATE,
                HeaderName::from_static("mcp-session-id"),
                HeaderName::from_static("mcp-protocol-version"),
                header::RETRY_AFTER,
            ])
    }
}
