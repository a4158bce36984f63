use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

/// A change to the responses of an endpoint, such as an error.
///
/// Faults of one endpoint apply together, in the order in which they were set.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// This status, 100 to 999, with an empty body.
    Status(u16),
    /// 503 with `Retry-After` in seconds.
    RetryAfter(Duration),
    /// Delays the response, by tokio's clock. The response is the one of the moment when the request arrived.
    Delay(Duration),
    /// Breaks the connection before the status.
    Drop,
    /// The regular document after 2 MiB of spaces.
    Oversize,
    /// The first half of the regular document, as a complete HTTP response.
    Truncated,
    /// 302 to this URL.
    Redirect(String),
    /// Bytes that are neither JSON nor UTF-8, with the content type of JSON.
    Garbage,
    /// A login page with status 200, as a captive portal sends it.
    Html,
    /// This document instead of the regular one.
    Document(Value),
    /// Sets these headers. See [`Fault::headers`].
    Headers(HeaderMap),
    /// Removes this header. `etag` and `last-modified` are set by default.
    WithoutHeader(HeaderName),
}

impl Fault {
    /// Sets headers by name and value.
    ///
    /// ```
    /// use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
    ///
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "max-age=15")]));
    /// ```
    ///
    /// # Panics
    /// If a name or a value is invalid.
    #[must_use]
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a mistake in a test stops the test")]
    pub fn headers<N: AsRef<str>, V: AsRef<str>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::try_from(name.as_ref()).expect("a header name"),
                HeaderValue::try_from(value.as_ref()).expect("a header value"),
            );
        }
        Self::Headers(map)
    }

    /// Removes the header with this name.
    ///
    /// # Panics
    /// If the name is invalid.
    #[must_use]
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a mistake in a test stops the test")]
    pub fn without_header(name: &str) -> Self {
        Self::WithoutHeader(HeaderName::try_from(name).expect("a header name"))
    }

    /// Applies the fault to a response. `None` breaks the connection.
    pub(super) async fn apply(self, mut answer: Response<Bytes>) -> Option<Response<Bytes>> {
        match self {
            Self::Drop => return None,
            Self::Delay(by) => tokio::time::sleep(by).await,
            Self::Status(status) => answer = empty(status),
            Self::RetryAfter(after) => {
                answer = empty(503);
                answer.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
            }
            Self::Redirect(url) => {
                answer = empty(302);
                if let Ok(url) = HeaderValue::try_from(url) {
                    answer.headers_mut().insert(header::LOCATION, url);
                }
            }
            Self::Oversize => *answer.body_mut() = padded(answer.body()),
            Self::Truncated => {
                let half = answer.body().len() / 2;
                answer.body_mut().truncate(half);
            }
            Self::Garbage => answer = page("application/json", GARBAGE),
            Self::Html => answer = page("text/html; charset=utf-8", LOGIN_PAGE),
            Self::Document(document) => answer = page("application/json", document.to_string()),
            Self::Headers(headers) => {
                for name in headers.keys() {
                    answer.headers_mut().remove(name);
                }
                answer.headers_mut().extend(headers);
            }
            Self::WithoutHeader(name) => drop(answer.headers_mut().remove(name)),
        }
        Some(answer)
    }
}

/// A response with a body of this type.
pub(super) fn page(content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(super) fn empty(status: u16) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

fn padded(document: &Bytes) -> Bytes {
    let mut body = BytesMut::zeroed(OVERSIZE);
    body.fill(b' ');
    body.extend_from_slice(document);
    body.freeze()
}

/// Eight times the limit of a key set.
const OVERSIZE: usize = 2 * 1024 * 1024;
const GARBAGE: &[u8] = b"\xff\xfe\x00{\"keys\":[}\x1b[2J";
const LOGIN_PAGE: &str = "<!doctype html><title>Sign in</title><p>Please sign in to the network.";
