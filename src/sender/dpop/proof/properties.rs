//! A proof is accepted for its method, its URL, its token and its time, and for nothing else.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests know their data")]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::identifier::ResourceUrl;
use crate::properties::cases;
use crate::testing::TestDpopKey;

static KEY: LazyLock<TestDpopKey> = LazyLock::new(TestDpopKey::new);
const MADE_AT: u64 = 1_700_000_000;

/// A request. Few values, so that two requests are often the same in a part.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    method: &'static str,
    path: &'static str,
    token: &'static str,
}

fn requests() -> impl Strategy<Value = Sent> {
    let methods = prop::sample::select(vec!["GET", "POST", "DELETE", "get", "x-own"]);
    let paths =
        prop::sample::select(vec!["/", "/a", "/A", "/a/", "/a/b", "/a%2Fb", "/a//b", "/~", "/%C3%A9", "/a;b=c"]);
    let tokens = prop::sample::select(vec!["a", "b", "a.b.c", "A", "aa"]);
    (methods, paths, tokens).prop_map(|(method, path, token)| Sent { method, path, token })
}

fn proof_for(sent: &Sent) -> String {
    let proof = KEY.proof(sent.method, &format!("https://rs.example.com{}", sent.path));
    proof.access_token(sent.token).claim("iat", MADE_AT).sign()
}

fn check(proof: &[u8], sent: &Sent, max_age: Duration, now: Duration) -> Result<Proof, ProofError> {
    let resource = ResourceUrl::new("https://rs.example.com/a").unwrap();
    let algorithms = AllowedAlgorithms::supported();
    let rules = ProofRules { algorithms, max_age, target: ProofTarget::new(&resource, None) };
    let method = Method::from_bytes(sent.method.as_bytes()).unwrap();
    let request = ProofRequest {
        method: &method,
        path: sent.path,
        token: sent.token.as_bytes(),
        now,
        nonces: None,
        nonce_required: false,
    };
    rules.check(proof, &request)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_proof_is_accepted_for_its_request_only(made_for in requests(), sent in requests()) {
        let now = Duration::from_secs(MADE_AT);
        let checked = check(proof_for(&made_for).as_bytes(), &sent, Duration::from_secs(60), now);
        let expected = if made_for.method != sent.method {
            Some(ProofFailure::Method)
        } else if made_for.path != sent.path {
            Some(ProofFailure::Target)
        } else if made_for.token != sent.token {
            Some(ProofFailure::TokenHash)
        } else {
            None
        };
        prop_assert_eq!(checked.map_err(|error| error.failure).err(), expected);
    }

    #[test]
    fn a_proof_is_accepted_in_its_time_window_only(
        sent in requests(),
        max_age in 10_u64..=300,
        offset in prop_oneof![-400_000_i64..400_000, Just(0)],
    ) {
        let (max_age, made_at) = (Duration::from_secs(max_age), Duration::from_secs(MADE_AT));
        let distance = Duration::from_millis(offset.unsigned_abs());
        let now = if offset < 0 { made_at - distance } else { made_at + distance };
        let is_within = if offset < 0 { distance <= max_age } else { distance < max_age };
        match check(proof_for(&sent).as_bytes(), &sent, max_age, now) {
            Ok(proof) => {
                prop_assert!(is_within);
                // A store that forgets the proof at this time does so when it can no longer be accepted.
                prop_assert_eq!(proof.expires_at, made_at + max_age);
                prop_assert!(proof.expires_at > now);
            }
            Err(error) => prop_assert!(!is_within && error.failure == ProofFailure::Time),
        }
    }

    #[test]
    fn a_proof_with_another_byte_is_rejected(
        sent in requests(),
        place in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"ABCwxyz0189-_.=".to_vec())],
    ) {
        let proof = proof_for(&sent).into_bytes();
        let (max_age, now) = (Duration::from_secs(60), Duration::from_secs(MADE_AT));
        let check = |proof: &[u8]| check(proof, &sent, max_age, now).is_ok();
        let place = place.index(proof.len());
        let with = |change: &[u8], after: usize| [&proof[..place], change, &proof[after..]].concat();
        prop_assert!(check(&proof));
        let (replaced, longer, shorter) = (with(&[byte], place + 1), with(&[byte], place), with(&[], place + 1));
        prop_assert!(!check(&replaced) || replaced == proof);
        prop_assert!(!check(&longer) && !check(&shorter));
    }
}
