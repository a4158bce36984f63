//! API keys in a store of the application, such as a database.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::form::id_in;
use super::stored::{KeyRules, StoredKey};
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::introspection::{LookupError, LookupErrorKind, LookupFuture, StatusLookup, TokenStatus};

/// A store of API keys, such as a database, for [`ApiKeys::from_store`](super::ApiKeys::from_store).
///
/// It is called only for a key with a valid checksum, and not while the last result for that key is cached. Concurrent requests
/// with one key share a call. A limit of concurrent calls with a queue, and a circuit breaker, protect the store: see
/// [`ApiKeys::store_limits`](super::ApiKeys::store_limits). An error, a panic or a call that takes too long gives 503.
///
/// ```
/// use std::collections::HashMap;
/// use std::error::Error;
///
/// use mcp_bearer::api_key::{ApiKeyStore, ApiKeys, StoredKey};
///
/// /// Look up a row in a database instead.
/// struct Rows(HashMap<String, StoredKey>);
///
/// impl ApiKeyStore for Rows {
///     async fn find(&self, id: &str) -> Result<Option<StoredKey>, Box<dyn Error + Send + Sync>> {
///         Ok(self.0.get(id).cloned())
///     }
/// }
///
/// let keys = ApiKeys::from_store(Rows(HashMap::new()));
/// ```
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Finds the key with this lookup id: the prefix, `_`, and 12 letters and digits. `None` for an unknown id: 401.
    ///
    /// The digest and the expiry of the key are compared by the caller.
    ///
    /// # Errors
    /// Any error, if it is not known whether there is such a key: 503. It is logged, so it must not contain a secret.
    fn find(&self, id: &str) -> impl Future<Output = Result<Option<StoredKey>, KeyStoreError>> + Send;
}

/// Any error of an [`ApiKeyStore`].
pub type KeyStoreError = Box<dyn StdError + Send + Sync>;

/// An [`ApiKeyStore`] as a trait object.
pub(super) trait DynKeyStore: Send + Sync {
    fn find_boxed<'a>(&'a self, id: &'a str) -> BoxedFind<'a>;
}

type BoxedFind<'a> = Pin<Box<dyn Future<Output = Result<Option<StoredKey>, KeyStoreError>> + Send + 'a>>;

impl<S: ApiKeyStore> DynKeyStore for S {
    fn find_boxed<'a>(&'a self, id: &'a str) -> BoxedFind<'a> {
        Box::pin(self.find(id))
    }
}

/// Looks up keys in a store.
pub(super) struct StoreLookup {
    pub(super) store: Arc<dyn DynKeyStore>,
    pub(super) prefix: Box<str>,
    pub(super) clock: Arc<dyn Clock>,
}

impl StatusLookup for StoreLookup {
    /// Rows 3 to 5 of the table in the [module's documentation](super). The earlier ones have passed.
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let unknown = Ok(TokenStatus::Rejected(CheckFailure::ApiKeyUnknown));
            let Ok(id) = id_in(key) else { return unknown };
            let found = self.store.find_boxed(id).await.map_err(|source| LookupError {
                kind: LookupErrorKind::Unavailable { retry_after: None },
                source: Some(source),
            })?;
            let Some(stored) = found.filter(|stored| *stored.id == *id) else { return unknown };
            let rules = KeyRules { prefix: &self.prefix, scopes: &[] };
            let entry = stored.check(&rules).map_err(|mistakes| LookupError {
                kind: LookupErrorKind::Misconfigured,
                source: Some(mistakes.join(". ").into()),
            })?;
            Ok(match entry.verify(key.as_bytes(), self.clock.since_epoch()) {
                Ok(claims) => TokenStatus::Active(claims),
                Err(error) => TokenStatus::Rejected(error.failure),
            })
        })
    }
}
