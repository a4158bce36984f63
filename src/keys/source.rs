use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::{KeyError, RemoteKeys};
use crate::jose::{Algorithm, JwkSet, Selection, VerificationKey};

/// Gives the key set of one issuer.
///
/// The crate's own source fetches it from the issuer's `jwks_uri`; implement this to take it from elsewhere. Whatever
/// the source, a key is only used if its type, `alg`, `use` and `kid` fit the token.
pub trait KeySource: Send + Sync + 'static {
    /// The current key set. `missing_kid` is the key id of a token that the last returned set has no key for: a newer
    /// one may. How often that leads to a request is for the implementation to bound. A source
    /// that takes longer than [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout), or that panics,
    /// gives 503.
    fn key_set<'a>(&'a self, missing_kid: Option<&'a str>) -> KeySetFuture<'a>;
}

/// What [`KeySource::key_set`] returns.
pub type KeySetFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<JwkSet>, KeyError>> + Send + 'a>>;

/// The sources of the crate, told apart so that a key at hand costs neither a box nor a wait.
#[derive(Clone)]
pub(crate) enum Keys {
    Fixed(Arc<JwkSet>),
    Remote(Arc<RemoteKeys>),
    Custom(Arc<dyn KeySource>),
}

/// The key for a token, and another if the issuer gave two the same identifier.
#[derive(Debug)]
pub(crate) struct FoundKeys {
    first: Arc<VerificationKey>,
    second: Option<Arc<VerificationKey>>,
    /// The set that they are of; `None` if sets cannot be told apart.
    pub(crate) generation: Option<u64>,
}

impl FoundKeys {
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.first.verifies(algorithm, message, signature)
            || self.second.as_ref().is_some_and(|key| key.verifies(algorithm, message, signature))
    }
}

impl Keys {
    /// The answer, if it takes no waiting.
    pub(crate) fn find_now(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<Result<FoundKeys, KeyError>> {
        match self {
            Self::Fixed(set) => Some(found(set, algorithm, kid, Some(FIXED)).ok_or(KeyError::Unknown)),
            Self::Remote(remote) => remote.find_now(algorithm, kid),
            Self::Custom(_) => None,
        }
    }

    /// Whether one set can be told from another.
    pub(crate) const fn have_generations(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }

    /// Which set serves at `now` without waiting. What was found good by one is good as long as it is this.
    pub(crate) fn generation(&self, now: Instant) -> Option<u64> {
        match self {
            Self::Fixed(_) => Some(FIXED),
            Self::Remote(remote) => remote.generation(now),
            Self::Custom(_) => None,
        }
    }

    pub(crate) async fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<FoundKeys, KeyError> {
        match self {
            Self::Fixed(set) => found(set, algorithm, kid, Some(FIXED)).ok_or(KeyError::Unknown),
            Self::Remote(remote) => remote.find(algorithm, kid).await,
            Self::Custom(source) => {
                let set = source.key_set(None).await?;
                match set.select(algorithm, kid) {
                    Selection::Unknown => {
                        let set = source.key_set(Some(kid.unwrap_or_default())).await?;
                        found(&set, algorithm, kid, None).ok_or(KeyError::Unknown)
                    }
                    _ => found(&set, algorithm, kid, None).ok_or(KeyError::Unknown),
                }
            }
        }
    }
}

fn found(set: &JwkSet, algorithm: Algorithm, kid: Option<&str>, generation: Option<u64>) -> Option<FoundKeys> {
    FoundKeys::of(&set.select(algorithm, kid), generation)
}

/// A set that never changes is its own and only generation.
const FIXED: u64 = 0;

impl FoundKeys {
    pub(super) fn of(selection: &Selection<'_>, generation: Option<u64>) -> Option<Self> {
        match selection {
            Selection::Keys(first, second) => {
                Some(Self { first: Arc::clone(first), second: second.map(Arc::clone), generation })
            }
            Selection::Unknown | Selection::Unfit => None,
        }
    }
}
