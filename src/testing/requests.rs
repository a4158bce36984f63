use std::collections::{HashMap, VecDeque};
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use url::form_urlencoded;

use super::documents::Endpoint;

/// A request that reached an issuer. `Debug` omits headers and body, which contain credentials.
#[derive(Clone)]
pub struct ReceivedRequest {
    endpoint: Endpoint,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl ReceivedRequest {
    pub(super) fn new(endpoint: Endpoint, request: Request<Bytes>) -> Self {
        let (parts, body) = request.into_parts();
        Self { endpoint, method: parts.method, path: parts.uri.path().to_owned(), headers: parts.headers, body }
    }

    /// The endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of a header. `None` if it is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The names and values of the body, parsed as `application/x-www-form-urlencoded` whatever its content type.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The first form value with this name.
    #[must_use]
    pub fn form_value(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for ReceivedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedRequest")
            .field("endpoint", &self.endpoint)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Counts all requests, and keeps the last ones.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    counts: HashMap<Endpoint, usize>,
    recent: VecDeque<ReceivedRequest>,
    refused: usize,
    stray: usize,
}

impl RequestLog {
    pub(super) fn received(&mut self, request: ReceivedRequest) {
        let count = self.counts.entry(request.endpoint).or_default();
        *count = count.saturating_add(1);
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(request);
    }

    pub(super) fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    pub(super) fn stray(&mut self) {
        self.stray = self.stray.saturating_add(1);
    }

    pub(super) fn count(&self, endpoint: Endpoint) -> usize {
        self.counts.get(&endpoint).copied().unwrap_or_default()
    }

    pub(super) fn total(&self) -> usize {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) const fn refused(&self) -> usize {
        self.refused
    }

    pub(super) const fn strays(&self) -> usize {
        self.stray
    }

    pub(super) const fn recent(&self) -> &VecDeque<ReceivedRequest> {
        &self.recent
    }
}

/// A limit for the memory of a long load test.
const REMEMBERED: usize = 1_000;
