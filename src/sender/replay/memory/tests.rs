#![allow(clippy::arithmetic_side_effects, clippy::print_stdout, reason = "tests know their data")]

use std::alloc::System;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

use super::*;

/// Counts the bytes for the test of the memory. It allocates as without it.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
/// The time that the proofs of these tests are remembered for.
const WINDOW: Duration = Duration::from_secs(60);

fn proof(key: usize, id: usize, made: Duration) -> Proof {
    Proof { key: Thumbprint::from_bytes(digest(key)), id: digest(id), expires_at: made + WINDOW, nonce_made_at: None }
}

fn digest(number: usize) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    digest
}

fn full(retry_after: Duration) -> ReplayOutcome {
    ReplayOutcome::Full { retry_after }
}

#[test]
fn a_proof_is_accepted_once() {
    let replays = MemoryReplays::new(10, 100);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW), ReplayOutcome::New);
    for now in [NOW, NOW + SECOND, NOW + WINDOW] {
        assert_eq!(replays.record(&proof(1, 1, NOW), now), ReplayOutcome::Replayed, "{now:?}");
    }
    // Another `iat` does not make the proof another one.
    assert_eq!(replays.record(&proof(1, 1, NOW + SECOND), NOW), ReplayOutcome::Replayed);
    assert_eq!(replays.record(&proof(1, 2, NOW), NOW), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(2, 1, NOW), NOW), ReplayOutcome::New);
}

#[test]
fn a_part_of_a_second_does_not_end_an_entry_too_early() {
    let half = Duration::from_millis(500);
    let replays = MemoryReplays::new(10, 100);
    let proof = proof(1, 1, NOW + half);
    assert_eq!(replays.record(&proof, NOW + half), ReplayOutcome::New);
    assert_eq!(replays.record(&proof, proof.expires_at), ReplayOutcome::Replayed);
    assert_eq!(replays.record(&proof, proof.expires_at + 2 * SECOND), ReplayOutcome::Expired);
}

#[test]
fn a_proof_that_expires_while_its_token_is_verified_is_not_accepted_twice() {
    let replays = MemoryReplays::new(10, 100);
    // Two requests with one proof pass the check of its time. The introspection of one of them takes longer.
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW + WINDOW), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW + WINDOW + 10 * SECOND), ReplayOutcome::Expired);
    // The request that takes longer is the only one.
    let replays = MemoryReplays::new(10, 100);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW + WINDOW + 10 * SECOND), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW + WINDOW + 10 * SECOND), ReplayOutcome::Expired);
}

#[test]
fn a_clock_that_jumps_does_not_make_a_used_proof_new() {
    let replays = MemoryReplays::new(10, 100);
    let used = proof(1, 1, NOW);
    assert_eq!(replays.record(&used, NOW), ReplayOutcome::New);
    // A clock before 1970 is `Duration::MAX`.
    for jump in [NOW + 3_600 * SECOND, Duration::MAX] {
        assert_eq!(replays.record(&used, jump), ReplayOutcome::Expired);
        for now in [NOW, NOW - WINDOW, NOW + WINDOW, Duration::ZERO] {
            assert_eq!(replays.record(&used, now), ReplayOutcome::Expired, "{now:?}");
        }
    }
    // New proofs are accepted as soon as they expire later than those that were removed.
    assert_eq!(replays.record(&proof(1, 2, NOW), NOW), ReplayOutcome::Expired);
    assert_eq!(replays.record(&proof(1, 2, NOW + SECOND), NOW + SECOND), ReplayOutcome::New);
}

#[test]
fn a_clock_that_jumps_back_removes_nothing() {
    let replays = MemoryReplays::new(10, 100);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW), ReplayOutcome::New);
    let before = NOW - 3_600 * SECOND;
    assert_eq!(replays.record(&proof(1, 2, before), before), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(1, 1, NOW), before), ReplayOutcome::Replayed);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW), ReplayOutcome::Replayed);
}

#[test]
fn a_key_over_its_limit_has_to_wait_and_other_keys_have_not() {
    let replays = MemoryReplays::new(3, 100);
    for second in 0..3 {
        let made = NOW + u32::try_from(second).unwrap() * SECOND;
        assert_eq!(replays.record(&proof(1, second, made), NOW), ReplayOutcome::New);
    }
    assert_eq!(replays.record(&proof(1, 9, NOW), NOW), full(WINDOW + SECOND));
    let half = Duration::from_millis(500);
    assert_eq!(replays.record(&proof(1, 9, NOW), NOW + half), full(WINDOW + half));
    assert_eq!(replays.record(&proof(1, 9, NOW), NOW + WINDOW), full(SECOND));
    // The time is never zero.
    assert_eq!(replays.record(&proof(1, 9, NOW), NOW + WINDOW + half), full(SECOND));
    assert_eq!(replays.record(&proof(2, 9, NOW), NOW), ReplayOutcome::New);
    // Nothing was forgotten, and a rejected proof is not recorded.
    for id in 0..3 {
        assert_eq!(replays.record(&proof(1, id, NOW), NOW), ReplayOutcome::Replayed);
    }
    let later = NOW + WINDOW + SECOND;
    assert_eq!(replays.record(&proof(1, 9, later), later), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(1, 10, later), later), full(SECOND));
}

#[test]
fn a_full_memory_rejects_new_proofs_until_one_expires() {
    let replays = MemoryReplays::new(10, 20);
    for key in 0..20 {
        assert_eq!(replays.record(&proof(key, 0, NOW + SECOND), NOW), ReplayOutcome::New);
    }
    assert_eq!(replays.record(&proof(20, 0, NOW), NOW), full(WINDOW + 2 * SECOND));
    for key in 0..20 {
        assert_eq!(replays.record(&proof(key, 0, NOW), NOW), ReplayOutcome::Replayed);
    }
    let later = NOW + WINDOW + 2 * SECOND;
    assert_eq!(replays.record(&proof(20, 0, later), later), ReplayOutcome::New);
}

#[test]
fn busy_keys_leave_room_for_other_keys() {
    for (busy, per_key) in [(1, 1_000), (9, 1_000), (10, 910), (100, 100)] {
        let replays = MemoryReplays::new(1_000, 10_000);
        // Each key sends as much as it can.
        let mut accepted = vec![0_usize; busy];
        for id in 0..1_010 {
            for (key, accepted) in accepted.iter_mut().enumerate() {
                *accepted += usize::from(replays.record(&proof(key, id, NOW), NOW) == ReplayOutcome::New);
            }
        }
        assert!(accepted.iter().all(|accepted| accepted.abs_diff(per_key) <= 1), "{busy}: {accepted:?}");
        for id in 0..10 {
            assert_eq!(replays.record(&proof(busy, id, NOW), NOW), ReplayOutcome::New, "{busy}");
        }
    }
}

#[test]
fn one_request_does_not_remove_all_expired_entries_unless_it_needs_the_room() {
    let remembered = |replays: &MemoryReplays| replays.used.lock().unwrap().proofs.len();
    let (seconds, per_second) = (10, 300);
    let count = seconds * per_second;
    let full_memory = || {
        let replays = MemoryReplays::new(count, 2 * count);
        for id in 0..count {
            let made = NOW + u32::try_from(id / per_second).unwrap() * SECOND;
            assert_eq!(replays.record(&proof(1, id, made), NOW), ReplayOutcome::New);
        }
        replays
    };
    let later = NOW + 2 * WINDOW;
    let replays = full_memory();
    assert_eq!(replays.record(&proof(2, 0, later), later), ReplayOutcome::New);
    // Two seconds have more than `REMOVED_AT_ONCE` entries.
    assert_eq!(remembered(&replays), count - 2 * per_second + 1);
    // An expired entry that is still there is not new.
    assert_eq!(replays.record(&proof(1, count - 1, NOW), later), ReplayOutcome::Replayed);
    assert_eq!(replays.record(&proof(1, 0, NOW), later), ReplayOutcome::Expired);
    for id in 1..10 {
        assert_eq!(replays.record(&proof(2, id, later), later), ReplayOutcome::New);
    }
    assert_eq!(remembered(&replays), 10);
    // One second after the first entries have expired, as many new ones are accepted.
    let replays = full_memory();
    let one_later = NOW + WINDOW + SECOND;
    for id in 0..per_second {
        assert_eq!(replays.record(&proof(1, count + id, later), one_later), ReplayOutcome::New);
    }
    assert_eq!(replays.record(&proof(1, 2 * count, later), one_later), full(SECOND));
    // Expired entries do not count against a limit.
    let replays = MemoryReplays::new(1, 2 * count);
    for key in 0..count {
        let made = NOW + u32::try_from(key / per_second).unwrap() * SECOND;
        assert_eq!(replays.record(&proof(key, 0, made), NOW), ReplayOutcome::New);
    }
    assert_eq!(replays.record(&proof(count - 1, 1, later), later), ReplayOutcome::New);
}

#[test]
fn limits_of_zero_accept_nothing() {
    for (per_key, total) in [(0, 100), (10, 0), (0, 0)] {
        let replays = MemoryReplays::new(per_key, total);
        assert_eq!(replays.record(&proof(1, 1, NOW), NOW), full(SECOND));
    }
}

#[test]
fn a_proof_in_many_threads_is_accepted_once() {
    const PROOFS: usize = 1_200;
    let seconds = |count: usize| u32::try_from(count).unwrap() * SECOND;
    for time_passes in [false, true] {
        let replays = MemoryReplays::new(PROOFS, 2 * PROOFS);
        let accepted: Vec<_> = (0..PROOFS).map(|_| AtomicUsize::new(0)).collect();
        thread::scope(|scope| {
            for thread in 0..8 {
                let (replays, accepted) = (&replays, &accepted);
                scope.spawn(move || {
                    let mut order: Vec<_> = (0..PROOFS).collect();
                    fastrand::Rng::with_seed(thread).shuffle(&mut order);
                    for (at, id) in order.into_iter().enumerate() {
                        // Half of the proofs expire, and their entries are removed, while the threads are running.
                        let now = if time_passes { NOW + WINDOW + seconds(at / 40) } else { NOW };
                        let outcome = replays.record(&proof(id % 3, id, NOW + seconds(id % 60)), now);
                        accepted[id].fetch_add(usize::from(outcome == ReplayOutcome::New), Ordering::Relaxed);
                    }
                });
            }
        });
        let accepted: Vec<_> = accepted.into_iter().map(AtomicUsize::into_inner).collect();
        let once = accepted.iter().filter(|accepted| **accepted == 1).count();
        assert!(accepted.iter().all(|accepted| *accepted <= 1), "{accepted:?}");
        assert!(once == PROOFS || time_passes && once > PROOFS / 2, "{once}");
    }
}

#[test]
fn a_panic_in_another_thread_does_not_stop_the_search() {
    let replays = MemoryReplays::new(10, 100);
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW), ReplayOutcome::New);
    thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _lock = replays.used.lock().unwrap();
            panic!("poisons the lock");
        });
        assert!(panicking.join().is_err() && replays.used.is_poisoned());
    });
    assert_eq!(replays.record(&proof(1, 1, NOW), NOW), ReplayOutcome::Replayed);
}

/// Other tests of this process would be counted too, so the test starts another process.
#[test]
fn a_hundred_thousand_proofs_take_less_than_32_mib_and_are_released() {
    let name = "sender::replay::memory::tests::a_hundred_thousand_proofs_take_less_than_32_mib_and_are_released";
    if std::env::var_os(ALONE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let output = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(output.contains("test result: ok. 1 passed"), "{output}");
        return;
    }
    for (keys, most) in [(1, 32), (10_000, 32), (100_000, 48)] {
        let start = Region::new(ALLOCATOR);
        let replays = MemoryReplays::new(100 + 100_000 / keys, 2 * 100_000);
        let mut peak = 0;
        for number in 0..100_000 {
            let made = NOW + u32::try_from(number / 1_667).unwrap() * SECOND;
            assert_eq!(replays.record(&proof(number % keys, number, made), NOW), ReplayOutcome::New);
            peak = peak.max(held(start.change()));
        }
        println!("{keys} keys: {} KiB, at most {} KiB", held(start.change()) >> 10, peak >> 10);
        assert!(peak <= most << 20, "{keys} keys: {peak} bytes");
        let later = NOW + 200 * SECOND;
        for id in 0..100 {
            assert_eq!(replays.record(&proof(id, 100_000 + id, later), later), ReplayOutcome::New);
        }
        assert!(held(start.change()) < 128 << 10, "{keys} keys: {} bytes", held(start.change()));
    }
}

fn held(change: Stats) -> usize {
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

const ALONE: &str = "MCP_BEARER_MEASURES_ALONE";
