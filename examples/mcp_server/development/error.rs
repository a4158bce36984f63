use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error code of RFC 6749, RFC 7591 or RFC 8707, with a description for the developer.
#[derive(Debug)]
pub(crate) struct OAuthError {
    pub(crate) code: &'static str,
    pub(crate) description: String,
}

impl OAuthError {
    pub(crate) fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }
}

/// The error response of the token and registration endpoints (RFC 6749, section 5.2; RFC 7591, section 3.2.2).
impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let is_client_unknown = self.code == "invalid_client";
        let status = if is_client_unknown { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = Json(json!({ "error": self.code, "error_description": self.description }));
        let mut response = (status, [(header::CACHE_CONTROL, "no-store")], body).into_response();
        if is_client_unknown {
            let challenge = HeaderValue::from_static("Basic realm=\"development\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
