//! The examples of RFC 7520, and the examples for RFC 7797 and RFC 8037 in the same collection.

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::{Algorithm, UnusableKey};
use mcp_bearer::verify::CheckFailure;
use serde_json::Value;

use crate::collection;
use crate::judge::{judge, key_set, rejection, trial_with_keys};
use crate::jwk::unusable;
use crate::ledger::{Counts, Ledger, Outcome};

#[tokio::test]
async fn signed_examples_end_as_published() {
    let Some(files) = examples(&["jws", "curve25519", "rfc7797"]) else { return };
    let (mut compact, mut other) = (Ledger::open("rfc7520/jws"), Ledger::open("rfc7520/json"));
    for (name, example) in files.iter().filter(|(_, example)| example.get("signing").is_some()) {
        check_signed_example(&mut compact, &mut other, name, example).await;
    }
    let Some(nested) = nested() else { return };
    check_signed_example(&mut compact, &mut other, "6.nesting", &nested["sign"]).await;

    let unsupported = usize::from(!Algorithm::ES512.is_supported());
    assert_eq!(compact.close(), Counts { cases: 8, exceptions: 3, unsupported });
    assert_eq!(other.close(), Counts { cases: 21, exceptions: 21, unsupported: 0 });
}

#[tokio::test]
async fn encrypted_examples_are_rejected() {
    let Some(files) = examples(&["jwe", "curve25519"]) else { return };
    let Some(nested) = nested() else { return };
    let mut ledger = Ledger::open("rfc7520/jwe");
    let encrypted = files.iter().filter(|(_, example)| example.get("encrypting_content").is_some());
    let encrypted = encrypted.map(|(name, example)| (name.as_str(), example));
    for (name, example) in encrypted.chain([("6.nesting", &nested["encrypt"])]) {
        let key = public_part(&example["input"]["key"]);
        let trial = trial_with_keys(std::slice::from_ref(&key));
        for (form, token) in example["output"].as_object().unwrap() {
            let what = format!("{name} {form}");
            let (expected, token) = match token.as_str() {
                Some(token) => (RejectionKind::InvalidToken(CheckFailure::Encrypted), token.to_owned()),
                None => (RejectionKind::InvalidRequest, token.to_string()),
            };
            assert_eq!(rejection(&trial, &what, &token).await, Some(expected), "{what}");
            ledger.record(what, "valid", Outcome::Rejected);
        }
        trial.accept_a_valid_token().await;
    }
    assert_eq!(ledger.close(), Counts { cases: 40, exceptions: 40, unsupported: 0 });
}

#[test]
fn only_public_signature_keys_are_imported() {
    let Some(files) = collection::files("rfc7520-cookbook/jwk") else { return };
    let p521 = (!Algorithm::ES512.is_supported()).then_some(UnusableKey::Unsupported);
    let expected = [
        ("3_1.ec_public_key", p521),
        ("3_2.ec_private_key", Some(UnusableKey::Private)),
        ("3_3.rsa_public_key", None),
        ("3_4.rsa_private_key", Some(UnusableKey::Private)),
        ("3_5.symmetric_key_mac_computation", Some(UnusableKey::NotForSignatures)),
        ("3_6.symmetric_key_encryption", Some(UnusableKey::NotForSignatures)),
    ];
    let found: Vec<_> = files.iter().map(|(name, key)| (name.as_str(), unusable(&parse(key)))).collect();
    assert_eq!(found, expected);
}

/// Checks one example in its compact form, and in the JSON forms, which are not bearer tokens.
async fn check_signed_example(compact: &mut Ledger, other: &mut Ledger, name: &str, example: &Value) {
    let input = &example["input"];
    let keys: Vec<Value> = match &input["key"] {
        Value::Array(keys) => keys.iter().map(public_part).collect(),
        key => vec![public_part(key)],
    };
    let (trial, known) = (trial_with_keys(&keys), key_set(&keys));
    for (form, token) in example["output"].as_object().unwrap() {
        let what = format!("{name} {form}");
        let algorithm = input["alg"].as_str().and_then(Algorithm::from_name);
        match token.as_str() {
            Some(token) => {
                let ours = judge(&trial, known.as_ref(), &what, token).await;
                if algorithm.is_none_or(Algorithm::is_supported) {
                    compact.record(name, "valid", ours);
                } else {
                    assert_eq!(ours, Outcome::Rejected, "{what}");
                    compact.unsupported(name);
                }
            }
            // RFC 6750, section 2.1: a bearer token does not contain braces, quotes or commas.
            None => {
                let rejected = rejection(&trial, &what, &token.to_string()).await;
                assert_eq!(rejected, Some(RejectionKind::InvalidRequest), "{what}");
                other.record(what, "valid", Outcome::Rejected);
            }
        }
    }
    trial.accept_a_valid_token().await;
}

/// Returns the part of a key that an issuer publishes. A symmetric key stays whole, as if the issuer published it by
/// mistake.
fn public_part(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(members) = key.as_object_mut() {
        members.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
    }
    key
}

fn examples(folders: &[&str]) -> Option<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for folder in folders {
        let files = collection::files(&format!("rfc7520-cookbook/{folder}"))?;
        all.extend(files.into_iter().map(|(name, example)| (format!("{folder}/{name}"), parse(&example))));
    }
    Some(all)
}

fn nested() -> Option<Value> {
    collection::json("rfc7520-cookbook/6.nesting_signatures_and_encryption.json")
}

fn parse(document: &[u8]) -> Value {
    serde_json::from_slice(document).unwrap()
}
