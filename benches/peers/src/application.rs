use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Uri, header};
use axum::routing::{MethodRouter, any};

/// The only route.
pub const PATH: &str = "/mcp";

/// The request of every measurement.
#[must_use]
pub fn request(authorization: &HeaderValue) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static(PATH);
    request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
    request
}

/// The application without protection. It accepts every method, so that a load generator can choose one.
pub(crate) fn application<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> Router<S> {
    Router::new().route(PATH, route)
}

/// The response of the handlers, which requires that they read the caller's subject.
pub(crate) fn answer(subject: &str) -> &'static str {
    if subject.is_empty() { "without a subject" } else { "ok" }
}

/// Reads the extension of a layer by reference, which is cheaper than the extractors of those peers, because they clone
/// it.
#[cfg(any(
    feature = "jwt-authorizer",
    feature = "oauth-resource-server",
    feature = "tower-oauth2-resource-server",
    feature = "turbomcp-auth"
))]
pub(crate) fn left_by_layer<T: Send + Sync + 'static>(
    request: &Request<Body>,
    subject: fn(&T) -> &str,
) -> &'static str {
    answer(request.extensions().get().map_or("", subject))
}

/// The application without protection.
pub(crate) fn unprotected() -> Router {
    application(any(async || answer("unprotected")))
}

/// The claims of the handlers for peers that let the application define them. This favors these peers: they skip all
/// other claims, while `mcp-bearer` and `oauth-resource-server` return every claim.
#[cfg(any(feature = "axum-jwt-auth", feature = "jwt-authorizer", feature = "tower-oauth2-resource-server"))]
#[derive(Clone, serde::Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    #[expect(dead_code, reason = "a real application also needs the scopes")]
    pub(crate) scope: String,
}
