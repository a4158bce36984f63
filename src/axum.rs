//! The only file besides `testing` that names axum: extractors, the metadata router, and rejections as responses.

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::bearer::{AuthInfo, Rejection};
use crate::server::ResourceServer;

/// The caller of the request. A request that the layer accepted without an access token is rejected with a challenge. On a
/// route without a layer, which is a mistake in the program, the response is 500.
impl<S: Sync> FromRequestParts<S> for AuthInfo {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::from_parts(parts).cloned()
    }
}

/// The caller of the request. `None` if the layer accepted the request without an access token.
impl<S: Sync> OptionalFromRequestParts<S> for AuthInfo {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        Self::optional_from_parts(parts).map(Option::<&Self>::cloned)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.to_response().map(Body::from)
    }
}

impl ResourceServer {
    /// The routes of the protected resource metadata (RFC 9728, section 3.1). Merge them into the application's router after
    /// the routes that the layer protects.
    ///
    /// axum routes by path only. It panics if the metadata routers of two hosts, such as `https://a.example/mcp` and
    /// `https://b.example/mcp`, are merged into one router. Make a `Router` for each host and choose between them with
    /// [`tower::steer`](https://docs.rs/tower/latest/tower/steer/index.html).
    pub fn metadata_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let service = self.metadata_service();
        service.paths().fold(Router::new(), |router, path| router.route_service(&route_of(path), service.clone()))
    }
}

/// Writes a path as a route of axum. Braces are escaped. axum panics for a segment that begins with `:` or `*`, so such a
/// segment becomes a parameter, and the metadata service compares the whole path itself.
fn route_of(path: &str) -> String {
    let segments = path.split('/').enumerate().map(|(index, segment)| match segment.chars().next() {
        Some(':' | '*') => format!("{{segment{index}}}"),
        _ => segment.replace('{', "{{").replace('}', "}}"),
    });
    segments.collect::<Vec<_>>().join("/")
}
