use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::{FoundKeys, KeyError, RemoteKeys, SeededKeys, UnusableKeys};
use crate::events::{IssuerEvents, VerificationPurpose};
use crate::jose::{Algorithm, JwkSet, KeyName, Selection};

/// A source of the key set of one issuer.
///
/// By default, the key set is fetched from the issuer's `jwks_uri`. Implement this trait to get it from elsewhere, and pass it
/// to [`Issuer::with_key_source`](crate::Issuer::with_key_source). With any source, a key is used only if its type and `kid`
/// fit the token, and if its `alg` and `use` allow it.
///
/// ```
/// use std::sync::Arc;
///
/// use mcp_bearer::Issuer;
/// use mcp_bearer::jose::JwkSet;
/// use mcp_bearer::keys::{KeySetFuture, KeySource};
///
/// struct Database;
///
/// impl KeySource for Database {
///     fn key_set<'a>(&'a self, _missing_kid: Option<&'a str>) -> KeySetFuture<'a> {
///         Box::pin(async { Ok(Arc::new(JwkSet::from_json(r#"{"keys": []}"#).expect("a key set"))) })
///     }
/// }
///
/// let issuer = Issuer::with_key_source("https://auth.example.com", Database);
/// ```
pub trait KeySource: Send + Sync + 'static {
    /// Returns the current key set.
    ///
    /// `missing_kid` is set if the last returned set does not contain the key of a token, and a newer set may contain it. It
    /// is the `kid` of the token, or empty if the token does not have one. The implementation must limit the number of
    /// requests that this causes. If it takes longer than
    /// [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout), or panics, the client gets 503.
    fn key_set<'a>(&'a self, missing_kid: Option<&'a str>) -> KeySetFuture<'a>;
}

/// The future of [`KeySource::key_set`].
pub type KeySetFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<JwkSet>, KeyError>> + Send + 'a>>;

/// The kinds of key sources. This is an enum, so that finding a cached key does not allocate a future.
#[derive(Clone)]
pub(crate) enum Keys {
    Fixed(Arc<JwkSet>),
    Remote(Arc<RemoteKeys>),
    Custom(Arc<CustomKeys>),
}

/// A key source of the application. Its unusable keys are logged too.
pub(crate) struct CustomKeys {
    pub(crate) events: Arc<IssuerEvents>,
    pub(crate) source: Arc<dyn KeySource>,
    pub(crate) unusable: UnusableKeys,
}

impl Keys {
    /// Finds the keys without waiting. `None` if [`find`](Self::find) must be called.
    pub(crate) fn find_now(&self, algorithm: Algorithm, name: &KeyName<'_>) -> Option<Result<FoundKeys, KeyError>> {
        match self {
            Self::Fixed(set) => Some(FoundKeys::new(&set.select(algorithm, name), Some(FIXED))),
            Self::Remote(remote) => remote.find_now(algorithm, name),
            Self::Custom(_) => None,
        }
    }

    /// The number of the key set that is used at `now` without waiting. The cached result of a signature check is valid while
    /// this number is the same.
    pub(crate) fn generation(&self, now: Instant) -> Option<u64> {
        match self {
            Self::Fixed(_) => Some(FIXED),
            Self::Remote(remote) => remote.generation(now),
            Self::Custom(_) => None,
        }
    }

    pub(crate) async fn find(
        &self,
        algorithm: Algorithm,
        name: &KeyName<'_>,
        seeded: SeededKeys,
        purpose: VerificationPurpose,
    ) -> Result<FoundKeys, KeyError> {
        match self {
            Self::Fixed(set) => FoundKeys::new(&set.select(algorithm, name), Some(FIXED)),
            Self::Remote(remote) => remote.find(algorithm, name, seeded, purpose).await,
            Self::Custom(custom) => {
                let mut set = custom.key_set(None).await?;
                if matches!(set.select(algorithm, name), Selection::Unknown) {
                    set = custom.key_set(Some(name.kid.as_deref().unwrap_or_default())).await?;
                }
                FoundKeys::new(&set.select(algorithm, name), None)
            }
        }
    }
}

impl CustomKeys {
    async fn key_set(&self, missing_kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError> {
        let set = self.source.key_set(missing_kid).await?;
        self.unusable.report(&self.events, &set);
        Ok(set)
    }
}

/// The number of a set that never changes.
const FIXED: u64 = 0;
