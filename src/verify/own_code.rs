//! Code of the application's own: token verifiers, key sources, HTTP clients, clocks, `route_opaque`. Where it panics or
//! hangs, the token cannot be judged.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use super::by_issuer::{PendingVerification, Verification, Verified};
use super::{VerifyError, VerifyErrorKind};

/// Makes an error of a panic, in what is done at once and in what is awaited.
///
/// Nothing is shared that a panic could leave half-changed: locks are held for a few instructions of the crate's own.
pub(super) fn caught(verify: impl FnOnce() -> Verification) -> Verification {
    match catch_unwind(AssertUnwindSafe(verify)) {
        Ok(Verification::Done(verified)) => Verification::Done(verified),
        Ok(Verification::Pending(verification)) => Verification::Pending(Box::pin(caught_while_pending(verification))),
        Err(_) => Verification::Done(Err(cannot_judge(Panicked))),
    }
}

async fn caught_while_pending(mut verification: PendingVerification) -> Verified {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| verification.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(cannot_judge(Panicked))))
    })
    .await
}

/// Waits no longer than `limit` for `what`.
pub(super) async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, VerifyError> {
    // Timers need the runtime that tower servers run on.
    if tokio::runtime::Handle::try_current().is_err() {
        return Ok(work.await);
    }
    tokio::time::timeout(limit, work).await.map_err(|_| cannot_judge(TimedOut { what, limit }))
}

fn cannot_judge(cause: impl std::error::Error + Send + Sync + 'static) -> VerifyError {
    VerifyError::new(VerifyErrorKind::Unavailable { retry_after: None }).with_source(cause)
}

/// The message of the panic is not logged, because it may contain a token; the panic hook of the process prints it with its
/// place.
#[derive(Debug, thiserror::Error)]
#[error("the verification of the token panicked")]
struct Panicked;

#[derive(Debug, thiserror::Error)]
#[error("{what} took longer than {limit:?}")]
struct TimedOut {
    what: &'static str,
    limit: Duration,
}
