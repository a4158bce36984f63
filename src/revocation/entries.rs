//! The entries of the list: pure functions of the time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::RevocationEntry;
use super::digest::{RevocationDigest, RevocationKind};

/// The entries of the list, with those first that can be removed first.
///
/// Two clocks decide about an entry. It has an effect while the wall clock is before its `until`. It is removed when, in
/// addition, that time has passed by a clock that cannot be set. So a wall clock that is set forward by mistake, and then
/// back, does not remove a revocation.
pub(super) struct Entries {
    capacity: usize,
    revoked: HashMap<RevocationDigest, Revoked>,
    removals: BTreeSet<(Duration, RevocationDigest)>,
    /// The number of digests of each kind.
    counts: [usize; RevocationKind::ALL.len()],
    /// The number of terms of all digests.
    len: usize,
}

/// The revocations of one digest.
struct Revoked {
    kind: RevocationKind,
    /// Usually one. None of them covers another.
    terms: SmallVec<[Terms; 1]>,
    /// When the digest can be removed, by the clock that cannot be set.
    removable_at: Duration,
}

/// Which tokens are rejected, and until when.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Terms {
    until: Duration,
    issued_before: Option<Duration>,
}

/// The list has as many entries as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListFull;

/// The current time.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListTime {
    /// By the wall clock, since 1970. [`Duration::MAX`] before 1970.
    pub(super) now: Duration,
    /// By a clock that cannot be set, since any fixed time.
    pub(super) uptime: Duration,
}

impl Entries {
    /// An empty list for this number of entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            revoked: HashMap::new(),
            removals: BTreeSet::new(),
            counts: [0; RevocationKind::ALL.len()],
            len: 0,
        }
    }

    /// Adds an entry, unless an existing one covers it. An entry is never replaced by one that covers less.
    pub(super) fn add(&mut self, entry: &RevocationEntry, time: ListTime) -> Result<(), ListFull> {
        self.remove_expired(time);
        let terms = Terms { until: entry.until, issued_before: entry.issued_before };
        let found = self.revoked.get(&entry.digest);
        if found.is_some_and(|revoked| revoked.terms.iter().any(|known| known.covers(terms))) {
            return Ok(());
        }
        let replaced = found.map_or(0, |revoked| revoked.terms.iter().filter(|known| terms.covers(**known)).count());
        if self.len.saturating_sub(replaced) >= self.capacity {
            return Err(ListFull);
        }
        let removable_at = time.uptime.saturating_add(entry.until.saturating_sub(time.now));
        match self.revoked.get_mut(&entry.digest) {
            Some(revoked) => {
                revoked.terms.retain(|known| !terms.covers(*known));
                revoked.terms.push(terms);
                self.removals.remove(&(revoked.removable_at, entry.digest));
                revoked.removable_at = revoked.removable_at.max(removable_at);
                self.removals.insert((revoked.removable_at, entry.digest));
            }
            None => {
                let revoked = Revoked { kind: entry.kind, terms: smallvec![terms], removable_at };
                self.count(entry.kind, |count| count.saturating_add(1));
                self.revoked.insert(entry.digest, revoked);
                self.removals.insert((removable_at, entry.digest));
            }
        }
        self.len = self.len.saturating_sub(replaced).saturating_add(1);
        Ok(())
    }

    /// Whether a token with this digest is rejected.
    pub(super) fn reject(&self, digest: &RevocationDigest, issued_at: Option<Duration>, now: Duration) -> bool {
        self.revoked.get(digest).is_some_and(|revoked| revoked.terms.iter().any(|terms| terms.reject(issued_at, now)))
    }

    /// The entries that have an effect.
    #[cfg(feature = "redis")]
    pub(super) fn current(&self, now: Duration) -> Vec<RevocationEntry> {
        let all = self.revoked.iter().flat_map(|(digest, revoked)| {
            revoked.terms.iter().map(|terms| RevocationEntry {
                kind: revoked.kind,
                digest: *digest,
                until: terms.until,
                issued_before: terms.issued_before,
            })
        });
        all.filter(|entry| now < entry.until).collect()
    }

    /// Removes some of the entries whose time is over, so that no call takes long. An addition removes more than it adds.
    pub(super) fn remove_expired(&mut self, time: ListTime) {
        for _ in 0..MAX_REMOVALS {
            let Some((removable_at, digest)) = self.removals.first().copied().filter(|(at, _)| *at <= time.uptime)
            else {
                return;
            };
            self.removals.remove(&(removable_at, digest));
            let Some(revoked) = self.revoked.get_mut(&digest) else { continue };
            let until = revoked.terms.iter().map(|terms| terms.until).max().unwrap_or_default();
            if until > time.now {
                // The wall clock was set back.
                revoked.removable_at = time.uptime.saturating_add(until.saturating_sub(time.now));
                self.removals.insert((revoked.removable_at, digest));
                continue;
            }
            let (kind, terms) = (revoked.kind, revoked.terms.len());
            self.len = self.len.saturating_sub(terms);
            self.count(kind, |count| count.saturating_sub(1));
            self.revoked.remove(&digest);
        }
    }

    /// When the next entry can be removed, by the clock that cannot be set. [`Duration::MAX`] if there is none.
    pub(super) fn next_removal(&self) -> Duration {
        self.removals.first().map_or(Duration::MAX, |(removable_at, _)| *removable_at)
    }

    /// The kinds that have entries, as a set of bits.
    pub(super) fn kinds(&self) -> u8 {
        let present = RevocationKind::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0);
        present.fold(0, |kinds, (kind, _)| kinds | kind.bit())
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn count(&mut self, kind: RevocationKind, change: impl Fn(usize) -> usize) {
        let counts = RevocationKind::ALL.into_iter().zip(&mut self.counts);
        counts.filter(|(counted, _)| *counted == kind).for_each(|(_, count)| *count = change(*count));
    }
}

impl Terms {
    /// Whether each token that `other` rejects is rejected for as long by these terms.
    fn covers(self, other: Self) -> bool {
        let covers_all = match (self.issued_before, other.issued_before) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(other)) => before >= other,
        };
        covers_all && self.until >= other.until
    }

    fn reject(self, issued_at: Option<Duration>, now: Duration) -> bool {
        let was_issued_before = match (self.issued_before, issued_at) {
            (None, _) | (_, None) => true,
            (Some(before), Some(issued_at)) => issued_at < before,
        };
        // A wall clock before 1970 is wrong, so it ends no entry.
        was_issued_before && (now < self.until || now == Duration::MAX)
    }
}

/// The most entries of the list. It takes some 250 MB then. A server that revokes 1,000 tokens per minute with a lifetime of an hour
/// has 60,000.
pub(super) const MAX_ENTRIES: usize = 1_000_000;
/// The most entries that one call removes.
const MAX_REMOVALS: usize = 64;

#[cfg(test)]
mod tests;
