//! The way to a server, on which each request meets its fate.

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::http_client::HttpFuture;
use tokio::time::Instant;

use super::trouble::Fate;

/// A server of somebody else's, that writes down what becomes of each request.
pub trait Server: Send + Sync {
    /// A request that comes now: its number, its fate, and what is right to answer.
    fn admit(&self, request: &Request<Bytes>) -> (usize, Fate, Response<Bytes>);

    /// Its right answer is handed over now.
    fn deliver(&self, number: usize);

    /// It is over now: answered, given up or torn by a panic.
    fn end(&self, number: usize);
}

pub fn send<'s>(server: &'s impl Server, request: &Request<Bytes>) -> HttpFuture<'s> {
    let (number, fate, right) = server.admit(request);
    let ending = Ending { server, number };
    assert!(fate != Fate::PanicAtOnce, "as planned");
    Box::pin(async move {
        let _until_it_is_dropped = ending;
        let outcome = fate.happen(right).await;
        if matches!(fate, Fate::Answer(_)) {
            server.deliver(number);
        }
        outcome
    })
}

struct Ending<'s, S: Server> {
    server: &'s S,
    number: usize,
}

impl<S: Server> Drop for Ending<'_, S> {
    fn drop(&mut self) {
        self.server.end(self.number);
    }
}

/// Seconds before `now`, for who looks for the reason of a failure.
pub fn ago(at: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(at).as_secs_f64() - at.saturating_duration_since(now).as_secs_f64()
}
