use std::fmt;

use http::{HeaderMap, HeaderName, Method, Request, Uri, header, request};

/// The request that an event is about.
#[derive(Clone, Copy)]
pub struct RequestInfo<'r> {
    method: &'r Method,
    uri: &'r Uri,
    headers: &'r HeaderMap,
}

/// The parts of a request that its events need, for a caller that keeps them.
pub(crate) struct RequestHead {
    method: Method,
    uri: Uri,
    /// The headers that identify the request.
    headers: HeaderMap,
}

impl<'r> RequestInfo<'r> {
    pub(crate) const fn new(method: &'r Method, uri: &'r Uri, headers: &'r HeaderMap) -> Self {
        Self { method, uri, headers }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'r str {
        self.method.as_str()
    }

    pub(crate) const fn http_method(&self) -> &'r Method {
        self.method
    }

    /// The path, as the layer sees it. The query is left out, because it may contain a token.
    #[must_use]
    pub fn path(&self) -> &'r str {
        self.uri.path()
    }

    /// The header `x-request-id`, at most 64 characters of it. `None` if it has a character that is not visible ASCII.
    #[must_use]
    pub fn request_id(&self) -> Option<&'r str> {
        self.header(&REQUEST_ID)
    }

    /// The header `traceparent` (W3C Trace Context), at most 64 characters of it.
    #[must_use]
    pub fn traceparent(&self) -> Option<&'r str> {
        self.header(&TRACEPARENT)
    }

    pub(crate) const fn headers(&self) -> &'r HeaderMap {
        self.headers
    }

    /// The host and the port in the URI of the request, which HTTP/2 has in `:authority`.
    pub(crate) fn authority(&self) -> Option<&'r str> {
        self.uri.authority().map(http::uri::Authority::as_str)
    }

    /// Whether the request is a CORS preflight (Fetch standard), with which browsers send no credentials.
    pub(crate) fn is_preflight(&self) -> bool {
        *self.method == Method::OPTIONS
            && self.headers.contains_key(header::ORIGIN)
            && self.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Whether the query has a parameter `access_token` (RFC 6750, section 2.3), which is never read.
    pub(crate) fn has_token_in_query(&self) -> bool {
        self.uri.query().is_some_and(|query| query.split('&').any(|parameter| parameter.starts_with("access_token=")))
    }

    fn header(&self, name: &HeaderName) -> Option<&'r str> {
        let value =
            self.headers.get(name)?.to_str().ok().filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()))?;
        Some(value.get(..MAX_ID).unwrap_or(value))
    }

    pub(crate) fn to_head(self) -> RequestHead {
        let mut headers = HeaderMap::new();
        for name in [REQUEST_ID, TRACEPARENT] {
            if let Some(value) = self.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        RequestHead { method: self.method.clone(), uri: self.uri.clone(), headers }
    }
}

impl RequestHead {
    pub(crate) const fn info(&self) -> RequestInfo<'_> {
        RequestInfo::new(&self.method, &self.uri, &self.headers)
    }
}

impl<'r, B> From<&'r Request<B>> for RequestInfo<'r> {
    fn from(request: &'r Request<B>) -> Self {
        Self::new(request.method(), request.uri(), request.headers())
    }
}

impl<'r> From<&'r request::Parts> for RequestInfo<'r> {
    fn from(parts: &'r request::Parts) -> Self {
        Self::new(&parts.method, &parts.uri, &parts.headers)
    }
}

impl fmt::Debug for RequestInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestInfo").field("method", &self.method).field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The longest request id in an event, in characters: a UUID has 36, a `traceparent` 55.
const MAX_ID: usize = 64;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
