use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Key ids that the issuer does not have. It is bounded: the one that was asked for least recently goes first.
#[derive(Debug, Default)]
pub(super) struct MissingKeys(pub(super) HashMap<Box<str>, Missing>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Missing {
    pub(super) until: Instant,
    penalty: Duration,
    asked_at: Instant,
}

impl MissingKeys {
    pub(super) fn contains(&mut self, kid: &str, now: Instant) -> bool {
        let Some(missing) = self.0.get_mut(kid) else { return false };
        missing.asked_at = now;
        now < missing.until
    }

    pub(super) fn add(&mut self, kid: &str, now: Instant) {
        let known = self.0.get(kid);
        let penalty = known.map_or(MISSING_PENALTY, |known| known.penalty.saturating_mul(2).min(MAX_MISSING_PENALTY));
        if known.is_none() && self.0.len() >= MAX_MISSING {
            // A search is fine here: one fetch comes before each group of unknown key ids.
            let oldest = self.0.iter().min_by_key(|(_, missing)| missing.asked_at).map(|(kid, _)| kid.clone());
            oldest.map(|kid| self.0.remove(&kid));
        }
        let until = now.checked_add(penalty).unwrap_or(now);
        self.0.insert(kid.into(), Missing { until, penalty, asked_at: now });
    }
}

/// The most missing key ids: each has a few hundred bytes.
const MAX_MISSING: usize = 256;
/// How long a key id is first considered missing. The time doubles each time.
const MISSING_PENALTY: Duration = Duration::from_secs(30);
/// The longest time that a key id is considered missing. A key that is published after tokens with its id arrived is used
/// after this time at the latest.
const MAX_MISSING_PENALTY: Duration = Duration::from_secs(300);
