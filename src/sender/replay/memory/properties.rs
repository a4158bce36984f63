//! The memory gives the same results as a simple model that keeps a list, and accepts a proof at most once whatever the clock
//! does.
#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

/// A list of the proofs that are remembered, without any order.
#[derive(Default)]
struct ListModel {
    remembered: Vec<(UsedId, u64)>,
    removed_until: Option<u64>,
}

impl ListModel {
    fn record(&mut self, proof: &Proof, now: Duration) -> ReplayOutcome {
        let (id, second) = ((proof.key, proof.id), proof.expires_at.as_millis().div_ceil(1_000).try_into().unwrap());
        let (kept, removed) = self.remembered.iter().partition(|(_, second)| *second >= now.as_secs());
        self.remembered = kept;
        let removed: Vec<(UsedId, u64)> = removed;
        self.removed_until = self.removed_until.max(removed.iter().map(|(_, second)| *second).max());
        let first = |of_key: bool| {
            let found = self.remembered.iter().filter(|((key, _), _)| !of_key || *key == proof.key);
            let first = found.map(|(_, second)| *second).min().unwrap();
            let retry_after = Duration::from_secs(first + 1).saturating_sub(now).max(Duration::from_secs(1));
            ReplayOutcome::Full { retry_after }
        };
        let of_key = self.remembered.iter().filter(|((key, _), _)| *key == proof.key).count();
        let free = TOTAL - self.remembered.len();
        match () {
            () if self.remembered.iter().any(|(known, _)| *known == id) => ReplayOutcome::Replayed,
            () if self.removed_until >= Some(second) => ReplayOutcome::Expired,
            () if of_key >= PER_KEY => first(true),
            () if free == 0 || (of_key >= free && of_key >= ALWAYS_PER_KEY) => first(false),
            () => {
                self.remembered.push((id, second));
                ReplayOutcome::New
            }
        }
    }
}

const PER_KEY: usize = 24;
const TOTAL: usize = 60;
const START: u64 = 1_800_000_000;

/// A proof of one of a few keys, and the time that has passed since the last one. Some clocks jump.
fn events() -> impl Strategy<Value = (u8, u8, u64, i64)> {
    let passed = prop_oneof![30 => Just(0), 30 => 0_i64..300, 1 => -90_000_i64..90_000, 1 => Just(i64::MAX)];
    (0_u8..6, 0_u8..60, 0_u64..20_000, passed)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_proof_is_accepted_at_most_once_and_none_is_forgotten(events in prop::collection::vec(events(), 1..300)) {
        let replays = MemoryReplays::new(PER_KEY, TOTAL);
        let (mut model, mut accepted) = (ListModel::default(), HashSet::new());
        let mut millis = START * 1_000;
        for (key, id, lifetime, passed) in events {
            // The clock shows a time before 1970 once.
            let is_lost = passed == i64::MAX;
            millis = if is_lost { millis } else { millis.saturating_add_signed(passed) };
            let now = if is_lost { Duration::MAX } else { Duration::from_millis(millis) };
            let expires_at = Duration::from_millis(millis + lifetime);
            let proof = Proof { key: Thumbprint::from_bytes([key; 32]), id: [id; 32], expires_at, nonce_made_at: None };
            let outcome = replays.record(&proof, now);
            prop_assert_eq!(outcome, model.record(&proof, now));
            if outcome == ReplayOutcome::New {
                prop_assert!(accepted.insert((key, id, expires_at)), "accepted twice: {proof:?}");
            }
            let used = replays.used.lock().unwrap();
            prop_assert_eq!(used.proofs.len(), model.remembered.len());
            let of_keys: usize = used.keys.values().map(|key| key.proofs).sum();
            prop_assert!(of_keys == used.proofs.len() && used.keys.values().all(|key| key.proofs > 0));
        }
    }

    #[test]
    fn a_key_has_room_after_the_time_to_wait(ends in prop::collection::vec(1_u64..90_000, PER_KEY), asked in 0_u64..2_000) {
        let replays = MemoryReplays::new(PER_KEY, 1_000);
        let start = START * 1_000;
        let proof = |id: usize, ends: u64| Proof {
            key: Thumbprint::from_bytes([1; 32]),
            id: [u8::try_from(id).unwrap(); 32],
            expires_at: Duration::from_millis(start + ends), nonce_made_at: None };
        for (id, ends) in ends.into_iter().enumerate() {
            prop_assert_eq!(replays.record(&proof(id, ends), Duration::from_millis(start)), ReplayOutcome::New);
        }
        let (next, asked) = (proof(PER_KEY, 200_000), Duration::from_millis(start + asked));
        if let ReplayOutcome::Full { retry_after } = replays.record(&next, asked) {
            prop_assert!(retry_after >= Duration::from_secs(1));
            prop_assert_eq!(replays.record(&next, asked + retry_after), ReplayOutcome::New);
        }
    }
}
