//! THE ONLY FILE that names axum, beside `testing`: extractors, the metadata router, and refusals as responses.

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::bearer::{AuthInfo, Rejection};
use crate::server::ResourceServer;

/// Who makes the request. On a route that no bearer layer covers this is a mistake in the server and answers 500. Where
/// the layer allows anonymous requests, an anonymous one is answered with the layer's challenge; so is a preflight that
/// got here.
impl<S: Sync> FromRequestParts<S> for AuthInfo {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::from_parts(parts).cloned()
    }
}

/// Who makes the request, or `None` where the layer allows anonymous requests and this is one.
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
    /// The routes of the protected resource metadata (RFC 9728, section 3.1), to be merged into an application's
    /// router beside what the bearer layer guards.
    ///
    /// Two servers of one process may have the same path on two hosts: `https://a.example/mcp` and `https://b.example/mcp`.
    /// axum routes by path only and panics where both routers are merged into one. Make a `Router` for each host, and choose
    /// between them by the host of the request, as with
    /// [`tower::steer`](https://docs.rs/tower/latest/tower/steer/index.html).
    pub fn metadata_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let service = self.metadata_service();
        service.paths().fold(Router::new(), |router, path| router.route_service(&route_of(path), service.clone()))
    }
}

/// A path as axum wants it. Braces would be read as a parameter, and a segment that begins like one of an older axum
/// makes it panic: that one becomes a parameter, and the service compares the whole path itself.
fn route_of(path: &str) -> String {
    let segments = path.split('/').enumerate().map(|(index, segment)| match segment.chars().next() {
        Some(':' | '*') => format!("{{segment{index}}}"),
        _ => segment.replace('{', "{{").replace('}', "}}"),
    });
    segments.collect::<Vec<_>>().join("/")
}
