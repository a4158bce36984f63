//! Every key that is used comes from a valid entry of the key set, and no signature is valid without a private key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer::jose::JwkSet;
use mcp_bearer_fuzz::tree::Tree;

fuzz_target!(|json: &[u8]| {
    let read = JwkSet::from_json(json);
    assert_eq!(format!("{read:?}"), format!("{:?}", JwkSet::from_json(json)));
    let Ok(set) = read else { return };
    let tree = Tree::parse(json).expect("the document is JSON");
    let entries = tree.only("keys").and_then(Tree::elements).expect("an accepted key set has a list of keys");
    assert_eq!(set.keys().len() + set.skipped().len(), entries.len());
    assert!((1..=100).contains(&set.keys().len()));

    // Each key must belong to a valid entry, in the order of the document.
    let mut candidates = entries.iter().filter(|entry| is_usable(entry));
    for key in set.keys() {
        let kid_of = |entry: &&Tree| stated(entry, "kid").and_then(Tree::text) == key.kid();
        assert!(candidates.any(|entry| kid_of(&entry)), "the document does not contain {key:?}");
        assert!(!key.algorithms().is_empty());
        for algorithm in key.algorithms().iter() {
            assert!(algorithm.is_supported());
            for signature in FORGERIES.iter().map(|(length, first)| forgery(*length, *first)) {
                assert!(!key.verifies(algorithm, b"message", &signature), "{key:?} accepts a forged signature");
            }
        }
    }
});

/// Returns a member that appears once. `null` means absent.
fn stated<'t>(entry: &'t Tree, name: &str) -> Option<&'t Tree> {
    entry.only(name).filter(|member| !matches!(member, Tree::Null))
}

fn is_usable(entry: &Tree) -> bool {
    let text = |name: &str| stated(entry, name).and_then(Tree::text);
    let has = |name: &str| stated(entry, name).is_some();
    let verifies = match stated(entry, "key_ops") {
        None => true,
        Some(operations) => operations.elements().is_some_and(|list| list.contains(&Tree::Text("verify".into()))),
    };
    let algorithms: &[&str] = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        (Some("EC"), Some("P-256")) => &["ES256"],
        (Some("EC"), Some("P-384")) => &["ES384"],
        (Some("EC"), Some("P-521")) => &["ES512"],
        (Some("OKP"), Some("Ed25519")) => &["EdDSA", "Ed25519"],
        _ => &[],
    };
    let fits = if has("alg") { text("alg").is_some_and(|name| algorithms.contains(&name)) } else { true };
    !entry.repeats_a_name_anywhere()
        && !algorithms.is_empty()
        && fits
        && verifies
        && (!has("use") || text("use") == Some("sig"))
        && !["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| has(name))
}

fn forgery(length: usize, first: u8) -> Vec<u8> {
    let mut signature = vec![0; length];
    signature.iter_mut().take(1).for_each(|byte| *byte = first);
    signature
}

/// The lengths and first bytes of forged signatures: zeros, and for Ed25519 the neutral element with the scalar zero.
const FORGERIES: [(usize, u8); 5] = [(0, 0), (64, 0), (64, 1), (96, 0), (256, 0)];
