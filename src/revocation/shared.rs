use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use super::{RevocationEntry, RevocationList};
use crate::error::{BoxError, BuildError};

/// Revocations that replicas share through a store.
pub(crate) trait SharedRevocations: Send + Sync + 'static {
    /// Connects to the store, so that a mistake in its configuration is found when the server starts.
    ///
    /// # Errors
    /// An error that says what to do.
    fn connect(&self) -> SharedFuture<'_, Result<(), BuildError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Writes an entry to the store, and notifies the other replicas. The implementation limits the time of the call.
    ///
    /// # Errors
    /// Any error, if the entry may not be stored.
    fn publish(&self, entry: RevocationEntry) -> SharedFuture<'_, Result<(), SharedStateError>>;

    /// Keeps `list` current: reads all entries of the store, then adds each new one. After an error it connects again and
    /// reads all entries again.
    ///
    /// It calls [`RevocationList::set_current`] when the list has all entries of the store, and
    /// [`RevocationList::set_outdated`] when it may miss some. A background task runs the future, which ends soon after the
    /// list is dropped: it looks every few seconds.
    fn follow(&self, list: Weak<RevocationList>) -> SharedFuture<'static, ()>;
}

pub(crate) type SharedFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any error of a store that replicas share. It is logged, never sent, so it must not contain a secret.
pub(crate) type SharedStateError = BoxError;
