//! The state that replicas share, and the stores that follow from it.

use std::sync::{Arc, Weak};

use super::ResourceServerBuilder;
use crate::clock::Clock;
use crate::error::BuildError;
use crate::introspection::SharedResults;
use crate::revocation::{RevocationEntry, RevocationList, SharedFuture, SharedRevocations, SharedStateError};
#[cfg(feature = "redis")]
use crate::shared::{RedisReplays, RedisResults, RedisRevocations, RedisState};
use crate::verify::IssuerVerifier;

impl ResourceServerBuilder {
    /// Shares used DPoP proofs and [revocations](crate::ResourceServer::revoke) with the other replicas of this server, through
    /// Redis or Valkey. The [module](crate::shared) says what is stored, and what happens while Redis is down.
    ///
    /// [`build`](Self::build) waits for a connection. [`build_lazy`](Self::build_lazy) does not. With
    /// [`Dpop::replay_store`](crate::sender::Dpop::replay_store), used proofs are in that store instead.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    /// use mcp_bearer::shared::RedisState;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
    ///     .shared_state(RedisState::new("rediss://mcp:secret@redis.example.com"));
    /// ```
    #[cfg(feature = "redis")]
    pub fn shared_state(mut self, state: RedisState) -> Self {
        self.shared_state = Some(state);
        self
    }

    /// Checks that the task can run which reads the revocations of other replicas.
    pub(super) fn check_runtime(&self) -> Result<(), BuildError> {
        #[cfg(feature = "redis")]
        if self.shared_state.is_some() && tokio::runtime::Handle::try_current().is_err() {
            return Err(BuildError::setting(NO_RUNTIME));
        }
        Ok(())
    }

    /// Makes the stores of the shared state, without a connection.
    pub(super) fn open_shared_state(&mut self) -> Result<(), BuildError> {
        #[cfg(feature = "redis")]
        if let Some(state) = &self.shared_state {
            let store = state.store(&self.clock)?;
            self.shared_revocations = Some(Arc::new(RedisRevocations::new(Arc::clone(&store))));
            if let Some(key) = &state.result_key {
                let results = RedisResults::new(Arc::clone(&store), key);
                let results = results.ok_or_else(|| BuildError::setting(NO_BACKEND))?;
                self.shared_results = Some(Arc::new(results));
            }
            if self.sender.accepts_dpop() {
                let dpop = self.sender.dpop.get_or_insert_default();
                if dpop.replay_store.is_none() {
                    dpop.replay_store = Some(Arc::new(RedisReplays::new(store, dpop.max_age)));
                }
            }
        }
        if !self.sender.replicas_share_state {
            return Ok(());
        }
        if self.sender.accepts_dpop() && !self.sender.dpop.as_ref().is_some_and(|dpop| dpop.shares_proofs()) {
            return Err(BuildError::setting(UNSHARED_PROOFS));
        }
        let clock = &self.clock;
        let unshared = || -> Arc<dyn SharedRevocations> { Arc::new(UnsharedRevocations { clock: Arc::clone(clock) }) };
        self.shared_revocations.get_or_insert_with(unshared);
        Ok(())
    }
}

/// Shares the introspection results of all issuers that have some.
pub(super) fn share_introspection_results(
    shared: &Arc<dyn SharedResults>,
    verifiers: &[Arc<IssuerVerifier>],
) -> Result<(), BuildError> {
    let shares = |verifier: &&Arc<IssuerVerifier>| {
        let introspector = verifier.introspector();
        introspector.is_some_and(|introspector| introspector.share_results(shared, verifier.revocation_check))
    };
    if verifiers.iter().filter(shares).count() > 0 { Ok(()) } else { Err(BuildError::setting(NOTHING_SHARED)) }
}

/// Replicas share their state, but not their revocations. The health says so, and `revoke` fails.
struct UnsharedRevocations {
    clock: Arc<dyn Clock>,
}

impl SharedRevocations for UnsharedRevocations {
    fn publish(&self, _: RevocationEntry) -> SharedFuture<'_, Result<(), SharedStateError>> {
        Box::pin(std::future::ready(Err(UNSHARED_REVOCATIONS.into())))
    }

    fn follow(&self, list: Weak<RevocationList>) -> SharedFuture<'static, ()> {
        let now = self.clock.now();
        Box::pin(async move {
            if let Some(list) = list.upgrade() {
                list.set_outdated(UNSHARED_REVOCATIONS.into(), now);
            }
        })
    }
}

const UNSHARED_PROOFS: &str = "`replicas_share_state` is called, but each replica has its own used DPoP proofs, so that a \
     copied request can be sent to another replica; call `shared_state` (feature `redis`), or give `Dpop::replay_store` a \
     store that replicas share";
#[cfg(feature = "redis")]
const NO_RUNTIME: &str = "`shared_state` needs a tokio runtime, in which the revocations of other replicas are read; call `build_lazy` \
     in one";
const UNSHARED_REVOCATIONS: &str = "`replicas_share_state` is called, but there is no store for revocations; call \
     `shared_state` (feature `redis`)";
#[cfg(feature = "redis")]
const NO_BACKEND: &str =
    "`share_introspection_results` needs a cryptography backend; enable the feature `aws-lc-rs` or `rust-crypto`";
const NOTHING_SHARED: &str = "`share_introspection_results` has no effect, because no issuer has an introspection endpoint whose results are \
     cached; remove it, or call `introspect_opaque` or `introspect_all` on an issuer, with a `positive_cache` above 0";

#[cfg(test)]
#[cfg(feature = "redis")]
mod tests;
