//! The search for an earlier use of a DPoP proof (RFC 9449, section 11.1).

mod memory;
mod store;

use std::sync::Arc;

pub(crate) use memory::{DEFAULT_MAX_PROOFS, DEFAULT_MAX_PROOFS_PER_KEY, MemoryReplays};
pub(crate) use store::DynReplayStore;
pub use store::{ReplayOutcome, ReplayStore, ReplayStoreError, UsedProof};

/// Where the used proofs are recorded.
pub(crate) enum Replays {
    /// In the memory of this process.
    Memory(MemoryReplays),
    /// In a store of the application.
    Store(Arc<dyn DynReplayStore>),
}

impl Replays {
    /// Whether all replicas record proofs in the same place.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Store(store) => store.is_shared(),
        }
    }
}
