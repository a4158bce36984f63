//! A network that applies a [`Fate`] to each request.

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::http_client::HttpFuture;
use tokio::time::Instant;

use super::trouble::Fate;

/// A fake server that records each request.
pub trait Server: Send + Sync {
    /// A new request. Returns its number, its fate, and the regular response.
    fn admit(&self, request: &Request<Bytes>) -> (usize, Fate, Response<Bytes>);

    /// Records that the regular response was delivered.
    fn deliver(&self, number: usize);

    /// Records that the request ended: answered, cancelled or interrupted by a panic.
    fn end(&self, number: usize);
}

pub fn send<'s>(server: &'s impl Server, request: &Request<Bytes>) -> HttpFuture<'s> {
    let (number, fate, regular) = server.admit(request);
    let guard = EndGuard { server, number };
    assert!(fate != Fate::PanicAtOnce, "the planned panic");
    Box::pin(async move {
        let _guard = guard;
        let outcome = fate.happen(regular).await;
        if matches!(fate, Fate::Answer(_)) {
            server.deliver(number);
        }
        outcome
    })
}

struct EndGuard<'s, S: Server> {
    server: &'s S,
    number: usize,
}

impl<S: Server> Drop for EndGuard<'_, S> {
    fn drop(&mut self) {
        self.server.end(self.number);
    }
}

/// Seconds before `now`, for the messages of failed tests.
pub fn ago(at: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(at).as_secs_f64() - at.saturating_duration_since(now).as_secs_f64()
}
