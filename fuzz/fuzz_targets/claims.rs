//! Claims that the crate accepts are also valid in the JSON document.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use mcp_bearer::claims::Claims;
use mcp_bearer::fuzzing::judge;
use mcp_bearer_fuzz::token::{ISSUER, NOW, RESOURCE};
use mcp_bearer_fuzz::tree::Tree;
use serde_json::Value;

fuzz_target!(|json: &[u8]| {
    let Ok(claims) = Claims::from_json(json) else { return };
    let value: Value = serde_json::from_slice(json).expect("the document is JSON");
    let members = value.as_object().expect("the document is an object");
    assert_eq!(claims.members(), members);
    assert!(!Tree::parse(json).expect("the document is JSON").repeats_a_name_anywhere());

    // `null` means absent, except where it is malformed.
    let stated = |name: &str| members.get(name).filter(|member| !member.is_null());
    for name in ["iss", "aud", "exp", "cnf"] {
        assert_ne!(members.get(name), Some(&Value::Null), "{name}");
    }
    assert!(stated("sub").is_none_or(Value::is_string), "a subject is a string");
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    assert_eq!(claims.issuer(), text("iss"));
    assert_eq!(claims.subject(), text("sub").filter(|subject| !subject.is_empty()));
    let audience: Vec<&str> = texts(members.get("aud"));
    assert!(claims.audience().eq(audience.iter().copied()));
    for (name, read) in [("exp", claims.expires_at()), ("iat", claims.issued_at())] {
        let read = read.map(|time| time.duration_since(UNIX_EPOCH).expect("no time is before 1970"));
        let stated = stated(name);
        assert_eq!(stated.is_some(), read.is_some(), "{name}");
        let Some((read, stated)) = read.zip(stated.and_then(Value::as_f64)) else { continue };
        assert!((read.as_secs_f64() - stated).abs() <= 1e-3, "{name}: {read:?}, {stated}");
    }
    check_scopes(&claims, ["scope", "scp", "scopes"].iter().find_map(|name| stated(name)));

    if judge(&claims, ISSUER, RESOURCE, Duration::from_secs(NOW)).is_ok() {
        let now = NOW as f64;
        let time = |name: &str| stated(name).map(|time| time.as_f64().expect("a time is a number"));
        assert_eq!(text("iss"), Some(ISSUER));
        assert!(audience.iter().any(|audience| audience.eq_ignore_ascii_case(RESOURCE) || is_other_spelling(audience)));
        assert!(time("exp").expect("an accepted token has an expiry") > now - 60.0);
        assert!(time("nbf").is_none_or(|time| time <= now + 60.0));
        assert!(time("iat").is_none_or(|time| time <= now + 60.0));
        assert!(!members.contains_key("cnf") && stated("events").is_none());
    }
});

/// A granted scope must be a complete scope of the document.
fn check_scopes(claims: &Claims, stated: Option<&Value>) {
    let is_list_of_texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
    assert!(stated.is_none_or(|stated| stated.is_string() || stated.as_array().is_some_and(is_list_of_texts)));
    let stated: Vec<&str> = match stated {
        Some(Value::String(text)) => text.split(' ').collect(),
        list => texts(list),
    };
    for scope in claims.scopes().iter() {
        assert!(stated.contains(&scope), "{scope:?} is granted, but the claim is {stated:?}");
    }
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The default port is the only difference that the crate ignores, besides case.
fn is_other_spelling(audience: &str) -> bool {
    let plain = audience.replacen(":443/", "/", 1);
    plain.len() + 4 == audience.len() && plain.eq_ignore_ascii_case(RESOURCE) && plain.ends_with("/mcp")
}
