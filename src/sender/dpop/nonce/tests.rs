#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const LIFETIME: Duration = DEFAULT_NONCE_LIFETIME;
const SECOND: Duration = Duration::from_secs(1);

fn key(byte: u8) -> NonceKey {
    NonceKey::new([byte; 32])
}

fn server(key: NonceKey) -> Nonces {
    Nonces::new(Some(key), LIFETIME).unwrap()
}

fn fresh(server: &Nonces, now: Duration) -> String {
    server.fresh(now).to_str().unwrap().to_owned()
}

/// The value comes from an independent implementation. Replicas with different versions of this crate must agree on it.
#[test]
fn a_nonce_has_the_documented_form() {
    assert_eq!(fresh(&server(key(7)), NOW), "AAAAAGtJ0gCLE1CGOQw5jDtS8Ldkc6Yk6Qgtzi4Oy1JXh0vW44nmng");
}

impl Nonces {
    fn accepts(&self, nonce: &str, now: Duration) -> bool {
        self.made_at(nonce, now).is_some()
    }
}

#[test]
fn a_nonce_is_accepted_by_the_servers_with_its_key() {
    let nonce = fresh(&server(key(1)), NOW);
    assert!(server(key(1)).accepts(&nonce, NOW) && !server(key(2)).accepts(&nonce, NOW));
    let (random, other) = (Nonces::new(None, LIFETIME).unwrap(), Nonces::new(None, LIFETIME).unwrap());
    let nonce = fresh(&random, NOW);
    assert!(random.accepts(&nonce, NOW) && !other.accepts(&nonce, NOW));
}

#[test]
fn a_nonce_is_not_accepted_after_its_lifetime_or_from_the_future() {
    let server = server(key(1));
    let nonce = fresh(&server, NOW);
    let ahead = REPLICA_CLOCK_DIFFERENCE;
    for (now, accepted) in [
        (NOW + LIFETIME, true),
        (NOW + LIFETIME + SECOND, false),
        (NOW - ahead, true),
        (NOW - ahead - SECOND, false),
        (Duration::ZERO, false),
        (Duration::MAX, false),
    ] {
        assert_eq!(server.accepts(&nonce, now), accepted, "{now:?}");
    }
    for now in [Duration::ZERO, Duration::MAX] {
        assert!(server.accepts(&fresh(&server, now), now) && !server.accepts(&fresh(&server, now), NOW), "{now:?}");
    }
}

#[test]
fn only_the_exact_text_of_a_nonce_is_accepted() {
    let server = server(key(1));
    let nonce = fresh(&server, NOW);
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&nonce).unwrap();
    let time = NOW.as_secs().to_be_bytes();
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    // The last character has two bits that are not part of the nonce.
    let unused_bits = {
        let (start, last) = nonce.split_at(53);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.find(last).unwrap();
        format!("{start}{}", &alphabet[at + 1..=at + 1])
    };
    for (what, wrong) in [
        ("empty", String::new()),
        ("another text", "nonce".to_owned()),
        ("padded", format!("{nonce}==")),
        ("with a space", format!(" {nonce}")),
        ("without the last character", nonce[..53].to_owned()),
        ("twice", nonce.repeat(2)),
        ("long", "A".repeat(1_000_000)),
        ("not ASCII", "ü".repeat(27)),
        ("with bits left over", unused_bits),
        ("a truncated HMAC", encoded(&bytes[..24])),
        ("no HMAC", encoded(&time)),
        ("an HMAC of zeros", encoded(&[&time[..], &[0; 32]].concat())),
        ("a later time", encoded(&[&(NOW + SECOND).as_secs().to_be_bytes()[..], &bytes[8..]].concat())),
        // The secret may be used for another purpose, where a client may choose the message.
        ("an HMAC under the secret itself", {
            encoded(&[&time[..], &Hmac::with_key(&[1; 32]).unwrap().sign(&time)].concat())
        }),
    ] {
        assert!(!server.accepts(&wrong, NOW), "{what}");
    }
    assert!(server.accepts(&nonce, NOW));
}

#[test]
fn the_nonces_of_one_second_are_equal() {
    let server = server(key(1));
    let nonce = fresh(&server, NOW);
    assert_eq!(fresh(&server, NOW + Duration::from_millis(999)), nonce);
    assert_ne!(fresh(&server, NOW + SECOND), nonce);
    assert_eq!(fresh(&server, NOW), nonce);
}

#[test]
fn the_previous_key_is_accepted_for_one_lifetime_after_the_rotation() {
    let (server, other) = (server(key(1)), server(key(1)));
    let before = fresh(&server, NOW);
    server.rotate(key(2), NOW);
    assert_ne!(fresh(&server, NOW), before);
    assert!(server.accepts(&before, NOW) && server.accepts(&fresh(&server, NOW), NOW));
    let end = NOW + LIFETIME;
    // A replica that has not rotated makes nonces with the previous key until the end.
    assert!(server.accepts(&before, end) && server.accepts(&fresh(&other, end), end));
    assert!(!server.accepts(&fresh(&other, end), end + SECOND));
}

#[test]
fn a_second_rotation_drops_the_older_key() {
    let server = server(key(1));
    let first = fresh(&server, NOW);
    server.rotate(key(2), NOW);
    let second = fresh(&server, NOW);
    server.rotate(key(3), NOW + SECOND);
    assert!(!server.accepts(&first, NOW + SECOND) && server.accepts(&second, NOW + SECOND));
}

#[test]
fn a_rotation_to_the_same_key_changes_nothing() {
    let (server, other) = (server(key(1)), server(key(1)));
    let before = fresh(&server, NOW);
    server.rotate(key(2), NOW);
    for seconds in 1..=300 {
        server.rotate(key(2), NOW + seconds * SECOND);
    }
    let end = NOW + LIFETIME;
    assert!(server.accepts(&before, end) && !server.accepts(&fresh(&other, end), end + SECOND));
}

/// The steps of the table in the documentation of [`NonceKey`].
#[test]
fn replicas_that_change_their_key_one_after_the_other_accept_all_nonces() {
    let steps = [
        key(1),
        key(1).also_accepts(key(2)),
        key(2).also_accepts(key(1)),
        // One lifetime has passed before the last step.
        key(2),
    ];
    let replicas = [server(key(1)), server(key(1)), server(key(1))];
    let mut now = NOW;
    for step in steps {
        for changed in &replicas {
            changed.rotate(step.clone(), now);
            for (made, checked) in replicas.iter().flat_map(|made| replicas.iter().map(move |checked| (made, checked)))
            {
                assert!(checked.accepts(&fresh(made, now), now));
            }
            now += SECOND;
        }
        now += LIFETIME;
    }
    assert!(!replicas[0].accepts(&fresh(&server(key(1)), now), now));
}

#[test]
fn nothing_prints_a_key() {
    let server = server(key(123));
    let printed = format!("{:?} {server:?}", key(123).also_accepts(key(124)));
    assert!(!printed.contains("123") && !printed.contains("124"), "{printed}");
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_nonce_is_accepted_exactly_in_its_lifetime(lifetime in 60_u64..=3_600, made in 0_u64..1 << 40, after in -4_000_i64..4_000) {
        let nonces = Nonces::new(None, Duration::from_secs(lifetime)).unwrap();
        let now = made.saturating_add_signed(after);
        let age = i128::from(now) - i128::from(made);
        let accepted = nonces.accepts(&fresh(&nonces, Duration::from_secs(made)), Duration::from_secs(now));
        prop_assert_eq!(accepted, (-10..=i128::from(lifetime)).contains(&age));
    }

    #[test]
    fn no_other_text_is_a_nonce(at in 0_usize..54, other in "[ -~]") {
        let nonces = Nonces::new(None, LIFETIME).unwrap();
        let mut nonce = fresh(&nonces, NOW);
        prop_assume!(nonce[at..=at] != other);
        nonce.replace_range(at..=at, &other);
        prop_assert!(!nonces.accepts(&nonce, NOW));
    }
}
