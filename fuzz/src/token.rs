//! The constants of the test requests, and a helper for futures.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The accepted issuer.
pub const ISSUER: &str = "https://as.example.com";
/// The protected resource.
pub const RESOURCE: &str = "https://rs.example.com/mcp";
/// The current time of the server, in seconds since 1970.
pub const NOW: u64 = 1_700_000_000;

/// Returns the output of a future that is ready at the first poll.
///
/// If the future is pending.
pub fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is not ready at the first poll"),
    }
}
