//! What requests are made of.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The issuer that targets trust.
pub const ISSUER: &str = "https://as.example.com";
/// The resource that they guard.
pub const RESOURCE: &str = "https://rs.example.com/mcp";
/// The time at which they do, in seconds since 1970.
pub const NOW: u64 = 1_700_000_000;

/// What a future gives that waits for nothing.
///
/// # Panics
/// If it waits.
pub fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("there is nothing to wait for"),
    }
}
