//! Access tokens for poem. This file does not depend on the application.

use std::ops::Deref;

use bytes::Bytes;
use http::request::Parts;
use mcp_bearer::{AuthInfo, BearerAuthLayer, Rejection};
use poem::{
    Body, Endpoint, Error, FromRequest, IntoResponse, Middleware, Request, RequestBody, Response, ResponseParts,
};

/// The middleware for endpoints that need an access token, with the scopes of the layer.
#[derive(Clone)]
pub struct Bearer(pub BearerAuthLayer);

impl<E: Endpoint> Middleware<E> for Bearer {
    type Output = BearerEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        BearerEndpoint { layer: self.0.clone(), inner }
    }
}

/// The endpoint that [`Bearer`] makes.
pub struct BearerEndpoint<E> {
    layer: BearerAuthLayer,
    inner: E,
}

impl<E: Endpoint> Endpoint for BearerEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response, Error> {
        let accepted = match self.layer.authenticate(&to_parts(&request)).await {
            Ok(accepted) => accepted,
            Err(rejection) => return Ok(to_response(rejection.to_response())),
        };
        let headers = accepted.response_headers().clone();
        request.extensions_mut().insert(accepted.into_auth_info());
        let mut response = self.inner.call(request).await?.into_response();
        response.headers_mut().extend(headers);
        Ok(response)
    }
}

/// The caller of a request, for a handler behind [`Bearer`]. On a route without that middleware, the response is 500.
pub struct Caller(AuthInfo);

impl Deref for Caller {
    type Target = AuthInfo;

    fn deref(&self) -> &AuthInfo {
        &self.0
    }
}

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self, Error> {
        AuthInfo::from_parts(&to_parts(request)).cloned().map(Self).map_err(rejected)
    }
}

/// The error for a handler that rejects a request, for example after [`AuthInfo::require_scopes`].
#[must_use]
pub fn rejected(rejection: Rejection) -> Error {
    Error::from_response(to_response(rejection.to_response()))
}

/// The head of a request, with the path that the client sent: `nest` removes a prefix from `uri`.
#[must_use]
pub fn to_parts(request: &Request) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.original_uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts.extensions = request.extensions().clone();
    parts
}

/// A response in the types of poem.
#[must_use]
pub fn to_response(response: http::Response<Bytes>) -> Response {
    let (parts, body) = response.into_parts();
    let http::response::Parts { status, version, headers, extensions, .. } = parts;
    Response::from_parts(ResponseParts { status, version, headers, extensions }, Body::from_bytes(body))
}
