use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use super::RevocationEntry;
use super::digest::{RevocationDigest, RevocationKind};
use super::entries::{Entries, ListFull, ListTime, MAX_ENTRIES};
use crate::claims::Claims;
use crate::error::BoxError;
use crate::log::Cause;

/// The revocations of a server.
pub(crate) struct RevocationList {
    /// The kinds that have entries. An empty list costs a request one load of it.
    kinds: AtomicU8,
    /// When the next entry can be removed, in milliseconds of the clock that cannot be set.
    next_removal: AtomicU64,
    entries: RwLock<Entries>,
    /// Changed with each new entry.
    changes: watch::Sender<()>,
    /// Time zero of the clock that cannot be set.
    started_at: Instant,
    shared: Mutex<SharedListState>,
}

/// Whether the list has the revocations of all replicas.
#[derive(Debug, Clone)]
pub(crate) enum SharedListState {
    /// The list is not shared.
    NotShared,
    /// The list has all entries of the store.
    #[cfg_attr(
        not(any(feature = "redis", all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))),
        expect(dead_code, reason = "a store to share the list needs a feature")
    )]
    Current,
    /// The list may miss entries since this time. Without an error, the store has not been read yet.
    Outdated { since: SystemTime, error: Option<Arc<BoxError>> },
}

/// The digests under which a credential can be revoked. They are computed once for a response that is open for long.
pub(crate) struct RevocationDigests {
    digests: [Option<RevocationDigest>; RevocationKind::ALL.len()],
    issued_at: Option<Duration>,
}

impl RevocationList {
    pub(crate) fn new(shared: SharedListState) -> Self {
        Self {
            kinds: AtomicU8::new(0),
            next_removal: AtomicU64::new(u64::MAX),
            entries: RwLock::new(Entries::new(MAX_ENTRIES)),
            changes: watch::Sender::new(()),
            started_at: Instant::now(),
            shared: Mutex::new(shared),
        }
    }

    /// Adds an entry, and wakes the streams. `now` is the time since 1970. An entry whose time is over is ignored.
    pub(crate) fn add(&self, entry: &RevocationEntry, now: Duration) -> Result<(), ListFull> {
        if entry.until <= now {
            return Ok(());
        }
        let time = self.time(now);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let added = entries.add(entry, time);
        self.summarise(&entries);
        drop(entries);
        added.inspect(|()| self.changes.send_replace(()))
    }

    /// Whether a credential is revoked. `now` is the time since 1970.
    pub(crate) fn is_revoked(&self, credential: &[u8], claims: &Claims, now: Duration) -> bool {
        !self.is_empty() && self.rejects(issued_at(claims), now, |kind| kind.digest_of(credential, claims))
    }

    /// [`is_revoked`](Self::is_revoked) with digests that were computed before.
    pub(crate) fn has(&self, digests: &RevocationDigests, now: Duration) -> bool {
        let digest = |kind| {
            let mut digests = RevocationKind::ALL.into_iter().zip(digests.digests);
            digests.find(|(known, _)| *known == kind).and_then(|(_, digest)| digest)
        };
        !self.is_empty() && self.rejects(digests.issued_at, now, digest)
    }

    /// Whether no entry has an effect.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.load(Ordering::Acquire) == 0
    }

    /// The entries that have an effect, for a shared store that lacks some of them.
    #[cfg(feature = "redis")]
    pub(crate) fn entries(&self, now: Duration) -> Vec<RevocationEntry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).current(now)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Notifies of each new entry. The receiver sees the entries that are added after this call.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The list has all entries of the shared store, and gets new ones.
    #[cfg(any(feature = "redis", all(test, any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
    pub(crate) fn set_current(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *shared, SharedListState::Current);
        drop(shared);
        if !matches!(before, SharedListState::Current) {
            tracing::info!(target: "mcp_bearer::revocation", entries = self.len(), "the shared revocations are current");
        }
    }

    /// The list may miss entries of the shared store from now on.
    pub(crate) fn set_outdated(&self, error: BoxError, now: SystemTime) {
        let error = Arc::new(error);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, is_known) = match &*shared {
            SharedListState::Outdated { since, error } => (*since, error.is_some()),
            SharedListState::Current | SharedListState::NotShared => (now, false),
        };
        *shared = SharedListState::Outdated { since, error: Some(Arc::clone(&error)) };
        drop(shared);
        let cause = Cause(&**error);
        if is_known {
            tracing::debug!(target: "mcp_bearer::revocation", %cause, "the shared revocations are still not available");
        } else {
            tracing::warn!(target: "mcp_bearer::revocation", %cause,
                "the shared revocations are not available: this server may accept tokens that other replicas revoke");
        }
    }

    pub(crate) fn shared_state(&self) -> SharedListState {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn rejects(
        &self,
        issued_at: Option<Duration>,
        now: Duration,
        digest: impl Fn(RevocationKind) -> Option<RevocationDigest>,
    ) -> bool {
        self.remove_expired(now);
        let kinds = self.kinds.load(Ordering::Acquire);
        let present = RevocationKind::ALL.into_iter().filter(|kind| kinds & kind.bit() != 0);
        // The lock is not held while a digest is computed.
        present
            .filter_map(digest)
            .any(|digest| self.entries.read().unwrap_or_else(PoisonError::into_inner).reject(&digest, issued_at, now))
    }

    /// Removes some of the entries whose time is over, unless another thread uses the list.
    fn remove_expired(&self, now: Duration) {
        let time = self.time(now);
        if milliseconds(time.uptime) < self.next_removal.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(mut entries) = self.entries.try_write() {
            entries.remove_expired(time);
            self.summarise(&entries);
        }
    }

    /// Stores what a request can read without the lock.
    fn summarise(&self, entries: &Entries) {
        self.next_removal.store(milliseconds(entries.next_removal()), Ordering::Relaxed);
        self.kinds.store(entries.kinds(), Ordering::Release);
    }

    fn time(&self, now: Duration) -> ListTime {
        ListTime { now, uptime: self.started_at.elapsed() }
    }
}

impl RevocationDigests {
    pub(crate) fn new(credential: &[u8], claims: &Claims) -> Self {
        let digests = RevocationKind::ALL.map(|kind| kind.digest_of(credential, claims));
        Self { digests, issued_at: issued_at(claims) }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `iat`, as the time since 1970.
fn issued_at(claims: &Claims) -> Option<Duration> {
    claims.issued_at().and_then(|issued_at| issued_at.duration_since(UNIX_EPOCH).ok())
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList").field("entries", &self.len()).finish_non_exhaustive()
    }
}
