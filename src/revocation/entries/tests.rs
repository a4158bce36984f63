use std::time::Duration;

use super::*;

const CAPACITY: usize = 200;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Both clocks agree.
const fn at(time: u64) -> ListTime {
    ListTime { now: seconds(time), uptime: seconds(time) }
}

fn digest(number: u64) -> RevocationDigest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    digest
}

fn entry(number: u64, until: u64, issued_before: Option<u64>) -> RevocationEntry {
    let issued_before = issued_before.map(seconds);
    RevocationEntry { kind: RevocationKind::Subject, digest: digest(number), until: seconds(until), issued_before }
}

fn list(entries: &[RevocationEntry]) -> Entries {
    let mut list = Entries::new(CAPACITY);
    entries.iter().for_each(|entry| list.add(entry, at(0)).unwrap());
    list
}

#[test]
fn an_entry_has_an_effect_until_its_time() {
    let list = list(&[entry(1, 10, None)]);
    for (number, now, rejected) in [(1, 0, true), (1, 9, true), (1, 10, false), (1, 11, false), (2, 0, false)] {
        assert_eq!(list.reject(&digest(number), Some(seconds(5)), seconds(now)), rejected, "{number} at {now}");
    }
}

#[test]
fn a_token_that_was_issued_later_is_accepted() {
    let list = list(&[entry(1, 10, Some(5))]);
    for (issued_at, rejected) in [(Some(4), true), (Some(5), false), (Some(6), false), (None, true)] {
        assert_eq!(list.reject(&digest(1), issued_at.map(seconds), seconds(9)), rejected, "{issued_at:?}");
    }
}

/// The second revocation of one digest never accepts a token that the first one rejects, and the other way round.
#[test]
fn entries_of_one_digest_are_all_in_effect() {
    let terms = [(10, None), (20, None), (10, Some(5)), (20, Some(5)), (20, Some(3)), (30, Some(3)), (30, Some(0))];
    let all = || terms.iter().map(|(until, issued_before)| entry(1, *until, *issued_before));
    for first in all() {
        for (second, third) in all().flat_map(|second| all().map(move |third| (second, third))) {
            let together = list(&[first, second, third]);
            for (now, issued_at) in (0..31).flat_map(|now| [None, Some(2), Some(4), Some(6)].map(|iat| (now, iat))) {
                let reject = |list: &Entries| list.reject(&digest(1), issued_at.map(seconds), seconds(now));
                let expected = [first, second, third].into_iter().any(|entry| reject(&list(&[entry])));
                assert_eq!(reject(&together), expected, "{first:?} {second:?} {third:?} {now} {issued_at:?}");
            }
            assert!(together.len() <= 3);
        }
    }
}

#[test]
fn a_repeated_revocation_takes_no_memory() {
    let mut list = list(&[]);
    for until in 1..10_000 {
        list.add(&entry(1, until, None), at(0)).unwrap();
        list.add(&entry(1, until, Some(3)), at(0)).unwrap();
    }
    assert_eq!((list.len(), list.revoked.len(), list.removals.len()), (1, 1, 1));
}

#[test]
fn a_full_list_keeps_its_entries_and_adds_no_other() {
    let mut list = list(&[]);
    for number in 0..200 {
        list.add(&entry(number, 10 + number, None), at(0)).unwrap();
    }
    assert_eq!(list.add(&entry(500, 10, None), at(0)), Err(ListFull));
    assert!(!list.reject(&digest(500), None, seconds(1)));
    assert!((0..200).all(|number| list.reject(&digest(number), None, seconds(9))));
    // An entry that exists can be prolonged.
    list.add(&entry(7, 1000, None), at(0)).unwrap();
    // More terms of a known digest are one more entry.
    list.add(&entry(8, 10, Some(5)), at(0)).unwrap();
    assert_eq!(list.add(&entry(8, 999, Some(5)), at(0)), Err(ListFull));
    // An entry that has ended is removed for a new one.
    list.add(&entry(500, 100, None), at(10)).unwrap();
    assert_eq!(list.add(&entry(501, 100, None), at(10)), Err(ListFull));
    assert!(list.reject(&digest(500), None, seconds(11)) && list.reject(&digest(7), None, seconds(11)));
}

#[test]
fn expired_entries_are_removed_in_small_steps() {
    let mut list = list(&[]);
    for number in 0..150 {
        list.add(&entry(number, 10, None), at(0)).unwrap();
    }
    assert_eq!((list.kinds(), list.next_removal()), (RevocationKind::Subject.bit(), seconds(10)));
    for left in [86, 22, 0, 0] {
        list.remove_expired(at(10));
        assert_eq!((list.len(), list.revoked.len(), list.removals.len()), (left, left, left));
    }
    assert_eq!((list.kinds(), list.next_removal()), (0, Duration::MAX));
}

#[test]
fn a_wall_clock_that_is_set_loses_no_revocation() {
    let mut list = list(&[entry(1, 100, None)]);
    // Far forward, and before 1970, which is the longest time.
    for (now, rejected) in [(seconds(1_000_000), false), (Duration::MAX, true)] {
        list.remove_expired(ListTime { now, uptime: seconds(1) });
        assert_eq!(list.reject(&digest(1), None, now), rejected);
    }
    assert!(list.reject(&digest(1), None, seconds(50)));
    // Back: the entry is needed for longer.
    list.remove_expired(ListTime { now: seconds(40), uptime: seconds(100) });
    assert!(list.reject(&digest(1), None, seconds(99)));
    assert_eq!(list.next_removal(), seconds(160));
    list.remove_expired(ListTime { now: seconds(100), uptime: seconds(160) });
    assert_eq!(list.len(), 0);
}
