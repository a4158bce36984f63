use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Uri, header};
use axum::routing::{MethodRouter, any};

/// The one route.
pub const PATH: &str = "/mcp";

/// The request of every measurement.
#[must_use]
pub fn request(authorization: &HeaderValue) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static(PATH);
    request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
    request
}

/// The application before anything protects it. It takes any method, so that a load generator may choose.
pub(crate) fn application<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> Router<S> {
    Router::new().route(PATH, route)
}

/// What the handlers answer with: they have to have looked at the caller's subject.
pub(crate) fn answer(subject: &str) -> &'static str {
    if subject.is_empty() { "nobody" } else { "ok" }
}

/// What a layer left in the request for the handler, looked at where it is: cheaper than the extractors of those peers,
/// which clone it.
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
    application(any(async || answer("anybody")))
}

/// What the handlers read, for the peers that leave the shape of the claims to the application. It flatters them: all
/// other claims are skipped, where `mcp-bearer` and `oauth-resource-server` hand over every one.
#[cfg(any(feature = "axum-jwt-auth", feature = "jwt-authorizer", feature = "tower-oauth2-resource-server"))]
#[derive(Clone, serde::Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    #[expect(dead_code, reason = "an application needs the scopes too")]
    pub(crate) scope: String,
}
