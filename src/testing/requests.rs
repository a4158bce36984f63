use std::collections::{HashMap, VecDeque};

use http::{HeaderMap, Method};

use super::documents::Endpoint;

/// A request that reached an issuer.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    endpoint: Endpoint,
    method: Method,
    path: String,
    headers: HeaderMap,
}

impl ReceivedRequest {
    /// What was asked for.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// How.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The path, without a query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Counts every request, and remembers the last ones.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    counts: HashMap<Endpoint, usize>,
    recent: VecDeque<ReceivedRequest>,
    refused: usize,
    stray: usize,
}

impl RequestLog {
    pub(super) fn received(&mut self, endpoint: Endpoint, method: &Method, path: &str, headers: &HeaderMap) {
        let count = self.counts.entry(endpoint).or_default();
        *count = count.saturating_add(1);
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        let (method, path, headers) = (method.clone(), path.to_owned(), headers.clone());
        self.recent.push_back(ReceivedRequest { endpoint, method, path, headers });
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

/// Enough to look at the last ones, too few to fill the memory of a long load test.
const REMEMBERED: usize = 1_000;
