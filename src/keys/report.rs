use std::sync::{Mutex, PoisonError};

use crate::jose::{JwkSet, OwnedKeyName, UnusableEntry, UnusableKey};

/// Tells the operator which keys of an issuer's key set cannot be used: once for each change of them, however often the
/// set is fetched.
#[derive(Default)]
pub(crate) struct UnusableKeys(Mutex<Reported>);

#[derive(Default)]
struct Reported {
    entries: Vec<UnusableEntry>,
    count: usize,
}

impl UnusableKeys {
    /// Writes a `warn` for each key of the set that cannot be used, unless the last set had the same.
    pub(crate) fn report(&self, issuer: &str, set: &JwkSet) {
        let (entries, count) = (set.unusable(), set.unusable_count());
        {
            let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.count == count && reported.entries == entries {
                return;
            }
            *reported = Reported { entries: entries.to_vec(), count };
        }
        // Keys beyond the limit have one cause, and one line.
        let (too_many, named): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.reason == UnusableKey::TooMany);
        for entry in named.iter().take(MAX_LINES).chain(too_many.first()) {
            let kid = entry.name.logged();
            tracing::warn!(
                target: "mcp_bearer::keys", issuer, kid, reason = %entry.reason,
                "a published key cannot be used: tokens under its key id get 503"
            );
        }
        let written = named.len().min(MAX_LINES).saturating_add(usize::from(!too_many.is_empty()));
        if count > written {
            tracing::warn!(
                target: "mcp_bearer::keys", issuer, more = count.saturating_sub(written),
                "more published keys cannot be used"
            );
        }
    }

    /// How many keys of the last set cannot be used.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

impl OwnedKeyName {
    /// The key id, else a thumbprint, for a log: printable, on one line, and short.
    fn logged(&self) -> Option<String> {
        let name = self.kid.as_deref().or(self.x5t_s256.as_deref()).or(self.x5t.as_deref())?;
        Some(name.chars().flat_map(char::escape_default).take(MAX_LOGGED).collect())
    }
}

/// How many keys of one set are named: their issuer wrote them, and a log need not hold thousands.
const MAX_LINES: usize = 10;
/// The most characters of a key id in one event.
const MAX_LOGGED: usize = 64;
