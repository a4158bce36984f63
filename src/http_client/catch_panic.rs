use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Code of the application panicked. The message of the panic is not logged, because it may contain a token. The panic
/// hook of the process prints it.
#[derive(Debug, thiserror::Error)]
#[error("{0} panicked")]
pub(crate) struct Panicked(pub(crate) &'static str);

/// Turns a panic of `work` into an error, which names it as `what`.
///
/// The caller makes sure that a panic leaves nothing half-changed.
pub(crate) async fn catch_panic<F: Future>(what: &'static str, work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked(what))),
    })
    .await
}
