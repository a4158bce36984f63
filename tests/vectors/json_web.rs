//! Wycheproof's four JSON web sets: signatures, keys, encryption, and a mixed set ("crypto").

use crate::collection;
use crate::judge::{judge, key_set, trial_with_keys};
use crate::ledger::{Counts, Ledger};
use crate::overrides::Overrides;

#[tokio::test]
async fn json_web_signatures_end_as_published() {
    let Some(counts) = run("wycheproof/json_web_signature").await else { return };
    assert_eq!(counts, Counts { cases: 401, exceptions: 20, unsupported: 0 });
}

#[tokio::test]
async fn json_web_keys_end_as_published() {
    let Some(counts) = run("wycheproof/json_web_key").await else { return };
    assert_eq!(counts, Counts { cases: 26, exceptions: 5, unsupported: 0 });
}

#[tokio::test]
async fn json_web_crypto_ends_as_published() {
    let Some(counts) = run("wycheproof/json_web_crypto").await else { return };
    assert_eq!(counts, Counts { cases: 83, exceptions: 5, unsupported: 0 });
}

#[tokio::test]
async fn encrypted_tokens_are_rejected() {
    let Some(counts) = run("wycheproof/json_web_encryption").await else { return };
    assert_eq!(counts, Counts { cases: 139, exceptions: 65, unsupported: 0 });
}

async fn run(set: &'static str) -> Option<Counts> {
    let file = format!("{}_test.json", set.strip_prefix("wycheproof/").unwrap());
    let vectors = collection::json(&format!("wycheproof/{file}"))?;
    let (mut ledger, mut overrides) = (Ledger::open(set), Overrides::of(&file)?);
    for group in vectors["testGroups"].as_array().unwrap() {
        // An issuer publishes the public keys of a group. A group without public keys tests an issuer that publishes
        // its secret keys by mistake.
        let published = group.get("public").unwrap_or(&group["private"]);
        let keys = published["keys"].as_array().cloned().unwrap_or_else(|| vec![published.clone()]);
        let (trial, known) = (trial_with_keys(&keys), key_set(&keys));
        for test in group["tests"].as_array().unwrap() {
            let case = test["tcId"].as_u64().unwrap();
            let what = format!("{set} {case} {}", test["comment"]);
            // A JWE is rejected because of its shape or its header. The server does not decrypt it or look up a key for
            // it.
            let token = test.get("jws").or(test.get("jwe")).unwrap();
            let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            let ours = judge(&trial, known.as_ref(), &what, &token).await;
            ledger.record(case, test["result"].as_str().unwrap(), ours);
            overrides.check(case, group.get("public").is_some(), ours);
        }
        trial.accept_a_valid_token().await;
    }
    overrides.close();
    Some(ledger.close())
}
