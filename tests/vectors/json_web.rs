//! Wycheproof's four JSON web sets: signatures, keys, both with encryption among them, and encryption.

use crate::collection;
use crate::judge::{court, judge, key_set};
use crate::ledger::{Counts, Ledger};
use crate::overrides::Overrides;

#[tokio::test]
async fn json_web_signatures() {
    let Some(counts) = run("wycheproof/json_web_signature").await else { return };
    assert_eq!(counts, Counts { cases: 401, exceptions: 20, unsupported: 0 });
}

#[tokio::test]
async fn json_web_keys() {
    let Some(counts) = run("wycheproof/json_web_key").await else { return };
    assert_eq!(counts, Counts { cases: 26, exceptions: 5, unsupported: 0 });
}

#[tokio::test]
async fn json_web_crypto() {
    let Some(counts) = run("wycheproof/json_web_crypto").await else { return };
    assert_eq!(counts, Counts { cases: 83, exceptions: 5, unsupported: 0 });
}

#[tokio::test]
async fn json_web_encryption() {
    let Some(counts) = run("wycheproof/json_web_encryption").await else { return };
    assert_eq!(counts, Counts { cases: 139, exceptions: 65, unsupported: 0 });
}

async fn run(set: &'static str) -> Option<Counts> {
    let file = format!("{}_test.json", set.strip_prefix("wycheproof/").unwrap());
    let vectors = collection::json(&format!("wycheproof/{file}"))?;
    let (mut ledger, mut overrides) = (Ledger::open(set), Overrides::of(&file)?);
    for group in vectors["testGroups"].as_array().unwrap() {
        // What an issuer would publish; where there is nothing to publish, the mistake of publishing the rest.
        let published = group.get("public").unwrap_or(&group["private"]);
        let keys = published["keys"].as_array().cloned().unwrap_or_else(|| vec![published.clone()]);
        let (trial, known) = (court(&keys), key_set(&keys));
        for test in group["tests"].as_array().unwrap() {
            let case = test["tcId"].as_u64().unwrap();
            let what = format!("{set} {case} {}", test["comment"]);
            // A JWE is refused by its shape or its header: nothing is decrypted here, nor is a key looked for.
            let token = test.get("jws").or(test.get("jwe")).unwrap();
            let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            let ours = judge(&trial, known.as_ref(), &what, &token).await;
            ledger.enter(case, test["result"].as_str().unwrap(), ours);
            overrides.check(case, group.get("public").is_some(), ours);
        }
        trial.accept_a_good_token().await;
    }
    overrides.close();
    Some(ledger.close())
}
