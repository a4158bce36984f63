//! The reasons why keys of a key set are skipped.

use mcp_bearer::jose::{JwkSet, UnusableKey};
use serde_json::{Value, json};

use crate::collection;
use crate::trial::own_key;

#[test]
fn each_unusable_key_is_skipped_with_its_reason() {
    let Some(vectors) = collection::json("wycheproof/json_web_key_test.json") else { return };
    let (mut of_public_groups, mut of_others) = (Vec::new(), Vec::new());
    for group in vectors["testGroups"].as_array().unwrap() {
        let (published, read) = match group.get("public") {
            Some(published) => (published, &mut of_public_groups),
            None => (&group["private"], &mut of_others),
        };
        for key in published["keys"].as_array().unwrap() {
            read.push((group["comment"].as_str().unwrap(), unusable(key)));
        }
    }
    assert_eq!(
        of_public_groups,
        [
            ("rs256", None),
            ("rs256", Some(UnusableKey::NotForSignatures)),
            // Only the form of its modulus shows that this key is weak, and the crate does not check that form.
            ("jws_rsa_roca_key", None),
            ("keysize_too_small", Some(UnusableKey::Size)),
            ("exponentOne", Some(UnusableKey::Size)),
            ("wrong_algorithm", Some(UnusableKey::Unsupported)),
            ("invalid_algorithm", Some(UnusableKey::Unsupported)),
            ("invalid_use", Some(UnusableKey::NotForSignatures)),
            ("invalid_point", Some(UnusableKey::InvalidPoint)),
            ("wrong_curve", Some(UnusableKey::InvalidPoint)),
            ("wrong_kty", Some(UnusableKey::Malformed)),
        ]
    );
    // All keys of these groups are symmetric, except for one public key.
    let (usable, symmetric): (Vec<_>, Vec<_>) = of_others.into_iter().partition(|(_, reason)| reason.is_none());
    assert_eq!(usable, [("jws_mixedSymmetryKeyset", None)]);
    assert_eq!(symmetric.len(), 16);
    assert!(symmetric.iter().all(|(_, reason)| *reason == Some(UnusableKey::NotForSignatures)), "{symmetric:?}");
}

/// Returns why a key is skipped in a set that also has a usable key.
pub fn unusable(jwk: &Value) -> Option<UnusableKey> {
    let set = JwkSet::from_json(json!({"keys": [own_key::jwk("own"), jwk]}).to_string()).unwrap();
    assert_eq!(set.keys().len() + set.skipped().len(), 2);
    set.skipped().first().copied()
}
