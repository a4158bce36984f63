use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{Rejection, RejectionKind};

/// Whether a request is a gRPC or gRPC-Web call (gRPC over HTTP/2, "Requests").
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let value = value.as_bytes().trim_ascii();
    let Some((start, rest)) = value.split_at_checked(GRPC.len()) else { return false };
    start.eq_ignore_ascii_case(GRPC.as_bytes())
        && rest.first().is_none_or(|next| matches!(next, b'+' | b';' | b'-' | b' '))
}

/// Changes the response to a gRPC request to the form that gRPC clients read, and leaves all other responses as they are.
///
/// A gRPC client takes another HTTP status or a JSON body for a broken connection. It gets headers only: HTTP status 200,
/// `grpc-status`, `grpc-message` ("Trailers-Only"), and the other headers of the response.
pub(crate) fn readable_by(headers: &HeaderMap, rejection: &Rejection, response: Response<Bytes>) -> Response<Bytes> {
    if !is_grpc(headers) {
        return response;
    }
    let mut response = response.map(|_| Bytes::new());
    *response.status_mut() = StatusCode::OK;
    let answer = response.headers_mut();
    for about_the_body in [header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        answer.remove(about_the_body);
    }
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    answer.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code(rejection.kind())));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(rejection.description())) {
        answer.insert(HeaderName::from_static("grpc-message"), message);
    }
    response
}

/// The gRPC status code, from which clients choose between a login, no retry, and a later retry.
fn code(kind: RejectionKind) -> u16 {
    match kind {
        RejectionKind::MissingToken | RejectionKind::InvalidRequest | RejectionKind::InvalidToken(_) => UNAUTHENTICATED,
        RejectionKind::InsufficientScope | RejectionKind::Origin => PERMISSION_DENIED,
        RejectionKind::Request(failure) if failure.status() == StatusCode::FORBIDDEN => PERMISSION_DENIED,
        RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured => UNAVAILABLE,
        RejectionKind::Request(_) | RejectionKind::Internal => INTERNAL,
    }
}

/// Encodes a `Status-Message` (gRPC over HTTP/2).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

const GRPC: &str = "application/grpc";
const PERMISSION_DENIED: u16 = 7;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(percent_encoded("An access token is needed"), "An access token is needed");
        assert_eq!(percent_encoded("100 % \u{e9}\r\n\u{7f}~"), "100 %25 %C3%A9%0D%0A%7F~");
    }
}
