use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{RemoteKeys, UnusableKeys};
use crate::http_client::FetchError;
use crate::jose::{Algorithm, JwkSet, KeyName, Selection, VerificationKey};

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

/// Why there is no key for a token.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The issuer's current key set has no such key: the token is refused.
    #[error("the key set holds no such key")]
    Unknown,
    /// The issuer publishes a key for this token that cannot be used, so the token cannot be judged. The log names it.
    #[error("the key set has a key for this token that cannot be used")]
    Unusable,
    /// The key set could not be had, so the token cannot be judged.
    #[error("the key set is not available")]
    #[non_exhaustive]
    Unavailable {
        /// When the authorization server said that another try makes sense.
        retry_after: Option<Duration>,
        /// What went wrong, if known.
        #[source]
        source: Option<Arc<FetchError>>,
    },
}

impl KeyError {
    /// The error of a [`KeySource`] that cannot fetch its key set. `retry_after` is sent to the client.
    #[must_use]
    pub const fn unavailable(retry_after: Option<Duration>) -> Self {
        Self::Unavailable { retry_after, source: None }
    }
}

/// The sources of the crate, told apart so that a key at hand costs neither a box nor a wait.
#[derive(Clone)]
pub(crate) enum Keys {
    Fixed(Arc<JwkSet>),
    Remote(Arc<RemoteKeys>),
    Custom(Arc<dyn KeySource>),
}

/// The keys for a token: one, or several if the issuer gave them the same name.
#[derive(Debug)]
pub(crate) struct FoundKeys {
    keys: SmallVec<[Arc<VerificationKey>; 2]>,
    /// A key that cannot be used may have made the signature, if none of these did.
    undecided: bool,
    /// The set that they are of; `None` if sets cannot be told apart.
    pub(crate) generation: Option<u64>,
}

/// The result of checking a signature with the keys for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Valid,
    Invalid,
    /// A key that cannot be used may have made it.
    Undecided,
}

impl FoundKeys {
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Signature {
        if self.keys.iter().any(|key| key.verifies(algorithm, message, signature)) {
            Signature::Valid
        } else if self.undecided {
            Signature::Undecided
        } else {
            Signature::Invalid
        }
    }

    pub(super) fn new(selection: &Selection<'_>, generation: Option<u64>) -> Result<Self, KeyError> {
        match selection {
            Selection::Keys(found) => Ok(Self {
                keys: found.keys.iter().map(|key| Arc::clone(key)).collect(),
                undecided: found.undecided,
                generation,
            }),
            Selection::Unusable => Err(KeyError::Unusable),
            Selection::Unknown | Selection::Unfit => Err(KeyError::Unknown),
        }
    }
}

impl Keys {
    /// The answer, if it takes no waiting.
    pub(crate) fn find_now(&self, algorithm: Algorithm, name: KeyName<'_>) -> Option<Result<FoundKeys, KeyError>> {
        match self {
            Self::Fixed(set) => Some(found(set, algorithm, name, Some(FIXED))),
            Self::Remote(remote) => remote.find_now(algorithm, name),
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

    pub(crate) async fn find(&self, algorithm: Algorithm, name: KeyName<'_>) -> Result<FoundKeys, KeyError> {
        match self {
            Self::Fixed(set) => found(set, algorithm, name, Some(FIXED)),
            Self::Remote(remote) => remote.find(algorithm, name).await,
            Self::Custom(source) => {
                let set = source.key_set(None).await?;
                if !matches!(set.select(algorithm, name), Selection::Unknown) {
                    return found(&set, algorithm, name, None);
                }
                let set = source.key_set(Some(name.kid.unwrap_or_default())).await?;
                found(&set, algorithm, name, None)
            }
        }
    }
}

fn found(
    set: &JwkSet,
    algorithm: Algorithm,
    name: KeyName<'_>,
    generation: Option<u64>,
) -> Result<FoundKeys, KeyError> {
    FoundKeys::new(&set.select(algorithm, name), generation)
}

/// A key source of the application's, whose unusable keys are reported like those of any other.
pub(crate) struct Reporting {
    pub(crate) issuer: Box<str>,
    pub(crate) source: Arc<dyn KeySource>,
    pub(crate) unusable: UnusableKeys,
}

impl KeySource for Reporting {
    fn key_set<'a>(&'a self, missing_kid: Option<&'a str>) -> KeySetFuture<'a> {
        Box::pin(async move {
            let set = self.source.key_set(missing_kid).await?;
            self.unusable.report(&self.issuer, &set);
            Ok(set)
        })
    }
}

/// A set that never changes is its own and only generation.
const FIXED: u64 = 0;
