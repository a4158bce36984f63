use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{RemoteKeys, UnusableKeys};
use crate::http_client::FetchError;
use crate::jose::{Algorithm, JwkSet, KeyName, Selection, VerificationKey};

/// A source of the key set of one issuer.
///
/// By default, the key set is fetched from the issuer's `jwks_uri`. Implement this trait to get it from elsewhere, and pass it
/// to [`Issuer::with_key_source`](crate::Issuer::with_key_source). With any source, a key is used only if its type, `alg`,
/// `use` and `kid` match the token.
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
    /// `missing_kid` is the key id of a token if the last returned set has no key for it, and a newer set may have one. The
    /// implementation must limit the number of requests that this causes. If it takes longer than
    /// [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout), or panics, the client gets 503.
    fn key_set<'a>(&'a self, missing_kid: Option<&'a str>) -> KeySetFuture<'a>;
}

/// The future of [`KeySource::key_set`].
pub type KeySetFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<JwkSet>, KeyError>> + Send + 'a>>;

/// Why there is no key for a token.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// The issuer's current key set has no such key. The token is rejected.
    #[error("the key set has no such key")]
    Unknown,
    /// The issuer's key for this token cannot be used, so the token cannot be verified. The log has the reason.
    #[error("the key set has a key for this token that cannot be used")]
    Unusable,
    /// The key set is not available, so the token cannot be verified.
    #[error("the key set is not available")]
    #[non_exhaustive]
    Unavailable {
        /// The `Retry-After` of the authorization server.
        retry_after: Option<Duration>,
        /// The error of the last fetch, if there is one.
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

/// The kinds of key sources. An enum, so that a known key needs no boxed future.
#[derive(Clone)]
pub(crate) enum Keys {
    Fixed(Arc<JwkSet>),
    Remote(Arc<RemoteKeys>),
    Custom(Arc<dyn KeySource>),
}

/// The keys for a token: one, or several if the issuer gave them the same key id.
#[derive(Debug)]
pub(crate) struct FoundKeys {
    keys: SmallVec<[Arc<VerificationKey>; 2]>,
    /// If none of these keys verifies the signature, a key that cannot be used may have made it.
    undecided: bool,
    /// The number of their set. `None` if the source has no numbers.
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
    /// The result, if it is known without waiting.
    pub(crate) fn find_now(&self, algorithm: Algorithm, name: KeyName<'_>) -> Option<Result<FoundKeys, KeyError>> {
        match self {
            Self::Fixed(set) => Some(found(set, algorithm, name, Some(FIXED))),
            Self::Remote(remote) => remote.find_now(algorithm, name),
            Self::Custom(_) => None,
        }
    }

    /// Whether sets have numbers.
    pub(crate) const fn have_generations(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }

    /// The number of the set that is used at `now` without waiting. A token that was verified with a set stays verified while
    /// this is its number.
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

/// A key source of the user, whose unusable keys are logged too.
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

/// The number of a set that never changes.
const FIXED: u64 = 0;
