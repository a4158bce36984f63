//! The crate parses a JOSE header as other parsers do, and rejects every header that changes the meaning of the
//! signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::{has_unique_names, header};
use mcp_bearer_fuzz::tree::Tree;
use serde_json::Value;

fuzz_target!(|json: &[u8]| {
    let [parsed, scanned] = has_unique_names(json);
    assert_eq!(parsed, scanned);
    if parsed {
        let tree = Tree::parse(json).expect("the document is JSON");
        assert!(tree.members().is_some() && !tree.repeats_a_name_anywhere());
    }
    let Ok((algorithm, kid, typ, replicated)) = header(json) else { return };
    assert!(parsed, "a name appears twice");
    let value: Value = serde_json::from_slice(json).expect("the document is JSON");
    let members = value.as_object().expect("the document is an object");
    // `null` means absent.
    let stated = |name: &str| members.get(name).filter(|member| !member.is_null());
    let text = |name: &str| stated(name).map(|member| member.as_str().expect("the member is a string"));
    let name = text("alg").expect("an accepted header has an algorithm");
    assert!(name == algorithm.name() || (name, algorithm.name()) == ("Ed25519", "EdDSA"), "{name}");
    assert!(algorithm.is_supported());
    assert_eq!((text("kid"), text("typ")), (kid.as_deref(), typ.as_deref()));
    assert!(kid.is_none_or(|kid| kid.len() <= 512));
    assert!(!members.contains_key("crit"));
    for critical in ["b64", "enc", "zip"] {
        assert_eq!(stated(critical), None, "{critical}");
    }
    for name in ["iss", "sub", "aud"] {
        let found = replicated.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let stated = if name == "sub" { stated(name) } else { members.get(name) };
        assert_eq!(stated, found, "{name}");
    }
});
