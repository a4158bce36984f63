//! Access tokens in actix-web. The file does not depend on the application: copy it.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::pin::Pin;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError, guard, web};
use bytes::Bytes;
use mcp_bearer::resource::MetadataService;
use mcp_bearer::{AuthInfo, BearerAuthLayer, Rejection};

/// The middleware for routes that need an access token, for `wrap(from_fn(require(layer)))`. The scopes of `layer` are
/// required.
pub fn require<B: MessageBody + 'static>(layer: BearerAuthLayer) -> impl Fn(ServiceRequest, Next<B>) -> Answer {
    move |request, next| {
        let layer = layer.clone();
        Box::pin(async move {
            let Ok(head) = to_parts(request.request()) else {
                return Ok(request.into_response(HttpResponse::BadRequest().finish()));
            };
            let accepted = match layer.authenticate(&head).await {
                Ok(accepted) => accepted,
                // Not `Err`, because actix would then skip the rest of the middleware outside, such as CORS.
                Err(rejection) => return Ok(request.into_response(to_response(rejection.to_response()))),
            };
            let headers = accepted.response_headers().clone();
            request.extensions_mut().insert(accepted.into_auth_info());
            let mut response = next.call(request).await?.map_into_boxed_body();
            append(&headers, response.headers_mut());
            Ok(response)
        })
    }
}

/// The future of [`require`].
pub type Answer = Pin<Box<dyn Future<Output = Result<ServiceResponse, Error>>>>;

/// The caller of a request, for a handler behind [`require`]. On a route without that middleware, the response is 500.
pub struct Caller(AuthInfo);

impl Deref for Caller {
    type Target = AuthInfo;

    fn deref(&self) -> &AuthInfo {
        &self.0
    }
}

impl FromRequest for Caller {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match to_parts(request) {
            Ok(head) => AuthInfo::from_parts(&head).cloned().map(Self).map_err(|rejection| Rejected(rejection).into()),
            Err(error) => Err(actix_web::error::ErrorBadRequest(error)),
        })
    }
}

/// A [`Rejection`] that a handler returns with `?`, for example from [`AuthInfo::require_scopes`].
#[derive(Debug)]
pub struct Rejected(Rejection);

impl From<Rejection> for Rejected {
    fn from(rejection: Rejection) -> Self {
        Self(rejection)
    }
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Rejected {
    fn status_code(&self) -> StatusCode {
        self.error_response().status()
    }

    fn error_response(&self) -> HttpResponse {
        to_response(self.0.to_response())
    }
}

/// Serves the metadata document without a token, at each of its paths. actix decodes a path before it compares the path with
/// a route, so a guard compares the path as it was sent.
pub fn serve_metadata(metadata: &MetadataService, app: &mut web::ServiceConfig) {
    let (metadata, served) = (metadata.clone(), metadata.clone());
    let respond = move |request: HttpRequest| {
        let response = match to_parts(&request) {
            Ok(mut head) => {
                // actix removes the body of a response to HEAD, and needs it for `content-length`.
                if head.method == http::Method::HEAD {
                    head.method = http::Method::GET;
                }
                to_response(metadata.respond(&head))
            }
            Err(_) => HttpResponse::BadRequest().finish(),
        };
        ready(response)
    };
    let is_served = move |path: &str| served.paths().any(|served| served == path);
    let guard = guard::fn_guard(move |request| is_served(request.head().uri.path()));
    app.service(web::resource("/{path:.*}").guard(guard).to(respond));
}

/// The head of a request, in the types of `http` 1. actix has those of `http` 0.2.
///
/// # Errors
/// If `http` 1 does not accept the URI.
pub fn to_parts(request: &HttpRequest) -> Result<http::request::Parts, http::Error> {
    let mut head = http::Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    // A header that was sent twice is twice in the iterator, and `header` keeps both.
    for (name, value) in request.headers() {
        head = head.header(name.as_str(), value.as_bytes());
    }
    let (mut parts, ()) = head.body(())?.into_parts();
    // The caller that a middleware outside has found: a middleware inside then requires the scopes of both.
    if let Some(auth) = request.extensions().get::<AuthInfo>() {
        parts.extensions.insert(auth.clone());
    }
    Ok(parts)
}

/// A response of `http` 1 in the types of actix.
pub fn to_response(response: http::Response<Bytes>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::new(status).set_body(body);
    append(&parts.headers, response.headers_mut());
    response.map_into_boxed_body()
}

/// Both versions of `http` accept the same names and values, so no header is lost.
fn append(headers: &http::HeaderMap, to: &mut HeaderMap) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value.as_bytes()))
        {
            to.append(name, value);
        }
    }
}
