use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::jose::Thumbprint;
use crate::sender::dpop::{Proof, REPLICA_CLOCK_DIFFERENCE};

/// A store of used DPoP proofs that replicas share, such as a database.
///
/// A proof is accepted once (RFC 9449, section 11.1). By default, a server remembers used proofs in its own memory, so each
/// replica accepts a proof once. A store that all replicas share makes it once in all.
///
/// The store is called for each request with a proof, after all other checks of the proof and of its access token. So only
/// clients with a valid token cause calls.
///
/// Nothing is accepted without an answer. An error, a panic and a call that takes too long reject the request with 503 and
/// `Retry-After`. The next request calls the store again.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Mutex, PoisonError};
/// use std::time::SystemTime;
///
/// use mcp_bearer::jose::Thumbprint;
/// use mcp_bearer::sender::{ReplayOutcome, ReplayStore, ReplayStoreError, UsedProof};
///
/// /// Insert a row with a unique key into a database instead.
/// #[derive(Default)]
/// struct Rows(Mutex<HashMap<(Thumbprint, [u8; 32]), SystemTime>>);
///
/// impl ReplayStore for Rows {
///     async fn record(&self, proof: &UsedProof) -> Result<ReplayOutcome, ReplayStoreError> {
///         // One lock for both steps: two requests with one proof never find that it is new.
///         let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         let now = SystemTime::now();
///         if proof.expires_at() < now {
///             return Ok(ReplayOutcome::Expired);
///         }
///         rows.retain(|_, expires_at| *expires_at >= now);
///         let is_new = rows.insert((proof.key(), *proof.id()), proof.expires_at()).is_none();
///         Ok(if is_new { ReplayOutcome::New } else { ReplayOutcome::Replayed })
///     }
///
///     fn is_shared(&self) -> bool {
///         false
///     }
/// }
/// ```
pub trait ReplayStore: Send + Sync + 'static {
    /// Records that a proof is used, and returns whether it was used before.
    ///
    /// The search and the insertion must be one atomic step: of two calls with the same proof at the same time, one returns
    /// [`ReplayOutcome::New`] and the other one [`ReplayOutcome::Replayed`]. An `INSERT` with a unique key and `SET` with `NX`
    /// are such steps; a `SELECT` before an `INSERT` is not. The key of the entry is the pair of [`UsedProof::key`] and
    /// [`UsedProof::id`], and replicas read what others have written: a replica of a database that is behind does not.
    ///
    /// An entry must be kept until [`UsedProof::expires_at`]. A store that is full must return [`ReplayOutcome::Full`]. It must
    /// not remove an entry that has not expired.
    ///
    /// # Errors
    /// Any error, if it is not known whether the proof was used before: 503. It is logged, so it must not contain a secret.
    fn record(&self, proof: &UsedProof) -> impl Future<Output = Result<ReplayOutcome, ReplayStoreError>> + Send;

    /// Whether all replicas of the server use the same entries.
    ///
    /// [`ResourceServerBuilder::replicas_share_state`](crate::ResourceServerBuilder::replicas_share_state) rejects a store that
    /// returns `false`.
    fn is_shared(&self) -> bool;
}

/// Any error of a [`ReplayStore`].
pub type ReplayStoreError = Box<dyn StdError + Send + Sync>;

/// A DPoP proof that has passed all other checks.
///
/// It has digests only. An entry of the store is useless to anybody who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedProof {
    key: Thumbprint,
    id: [u8; 32],
    expires_at: SystemTime,
    nonce_made_at: Option<SystemTime>,
}

/// The result of [`ReplayStore::record`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// The proof was not used before, and is recorded now. The request passes.
    New,
    /// The proof was used before: 401.
    Replayed,
    /// The proof has expired, so the store does not know any more whether it was used before: 401.
    Expired,
    /// The store has lost entries, perhaps that of this proof: 401 with `use_dpop_nonce` and a fresh nonce (RFC 9449, section 9).
    /// The client then sends another proof, whose [`UsedProof::nonce_made_at`] is later than the loss.
    NonceNeeded,
    /// The proof is not recorded, because the store is full: 503.
    Full {
        /// The time until the store can record a proof again, for the header `Retry-After`.
        retry_after: Duration,
    },
}

impl UsedProof {
    /// A used proof, for tests of a store.
    #[must_use]
    pub const fn new(key: Thumbprint, id: [u8; 32], expires_at: SystemTime) -> Self {
        Self { key, id, expires_at, nonce_made_at: None }
    }

    /// The time until which the proof is recorded includes the clock difference of replicas: one whose clock is behind accepts
    /// the proof for longer. `None` if the time does not exist.
    pub(crate) fn from_proof(proof: &Proof) -> Option<Self> {
        let expires_at = UNIX_EPOCH.checked_add(proof.expires_at.checked_add(REPLICA_CLOCK_DIFFERENCE)?)?;
        let nonce_made_at = proof.nonce_made_at.and_then(|time| UNIX_EPOCH.checked_add(time));
        Some(Self { nonce_made_at, ..Self::new(proof.key, proof.id, expires_at) })
    }

    /// The thumbprint of the proof's key (RFC 7638).
    #[must_use]
    pub const fn key(&self) -> Thumbprint {
        self.key
    }

    /// The SHA-256 digest of the proof's `jti`. Two keys may have proofs with the same one.
    #[must_use]
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The time until which the use must be remembered. No replica accepts the proof after it, even if the clocks of the replicas
    /// differ by up to 10 seconds.
    #[must_use]
    pub const fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// When a replica made the nonce in the proof, in whole seconds by the clock of that replica. The proof was made later, so
    /// it was not used before that time. It may have been used since. `None` if the proof does not have a valid nonce.
    #[must_use]
    pub const fn nonce_made_at(&self) -> Option<SystemTime> {
        self.nonce_made_at
    }

    /// Sets the time of the nonce, for tests of a store.
    #[must_use]
    pub const fn with_nonce_made_at(mut self, time: SystemTime) -> Self {
        self.nonce_made_at = Some(time);
        self
    }
}

/// A [`ReplayStore`] as a trait object.
pub(crate) trait DynReplayStore: Send + Sync {
    fn record_boxed<'a>(&'a self, proof: &'a UsedProof) -> BoxedRecord<'a>;
    fn is_shared(&self) -> bool;
}

type BoxedRecord<'a> = Pin<Box<dyn Future<Output = Result<ReplayOutcome, ReplayStoreError>> + Send + 'a>>;

impl<S: ReplayStore> DynReplayStore for S {
    fn record_boxed<'a>(&'a self, proof: &'a UsedProof) -> BoxedRecord<'a> {
        Box::pin(self.record(proof))
    }

    fn is_shared(&self) -> bool {
        ReplayStore::is_shared(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Broken;

    impl ReplayStore for Broken {
        async fn record(&self, _: &UsedProof) -> Result<ReplayOutcome, ReplayStoreError> {
            Err("connection refused".into())
        }

        fn is_shared(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn a_store_works_as_a_trait_object() {
        let store: Arc<dyn DynReplayStore> = Arc::new(Broken);
        let proof = UsedProof::new(Thumbprint::from_bytes([1; 32]), [2; 32], UNIX_EPOCH);
        assert_eq!(store.record_boxed(&proof).await.unwrap_err().to_string(), "connection refused");
        assert!(store.is_shared());
    }

    #[test]
    fn a_use_is_remembered_for_the_slowest_clock() {
        let key = Thumbprint::from_bytes([1; 32]);
        let proof = |expires_at| Proof { key, id: [2; 32], expires_at, nonce_made_at: None };
        let used = UsedProof::from_proof(&proof(Duration::from_secs(60))).unwrap();
        assert_eq!(used, UsedProof::new(key, [2; 32], UNIX_EPOCH + Duration::from_secs(70)));
        assert_eq!(UsedProof::from_proof(&proof(Duration::MAX)), None);
    }
}
