#![allow(clippy::string_slice, clippy::arithmetic_side_effects, reason = "the test data is ASCII")]

use proptest::prelude::*;

use super::super::form::is_id;
use super::*;

/// Made with another program: the checksum is `zlib.crc32` of Python.
const PUBLISHED: &str = "mcpk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef1iKlEe";

#[test]
fn the_checksum_is_the_published_crc_32() {
    // 0xcbf43926 is the check value of the catalogue of CRC algorithms.
    let digits = checksum(b"123456789").map(|digit| BASE62.iter().position(|known| *known == digit).unwrap());
    assert_eq!(digits.iter().fold(0, |value, digit| value * 62 + digit), 0xcbf4_3926);
    assert_eq!(ApiKey::parse(PUBLISHED).unwrap().id(), "mcpk_0123456789AB");
}

#[test]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
fn a_generated_key_is_a_key_with_its_prefix_and_matches_the_documented_expression() {
    let expression = regex::Regex::new(r"^\w+_[0-9A-Za-z]{48}$").unwrap();
    let mut seen = std::collections::HashSet::new();
    for prefix in ["mcpk", "ab", "acme_live", "e", "eyes", "a2345678901234567890"] {
        let Ok(key) = ApiKey::generate_with_prefix(prefix) else {
            assert!(matches!(prefix, "e" | "eyes"), "{prefix}");
            continue;
        };
        assert!(expression.is_match(key.expose()), "{prefix}");
        assert!(key.expose().starts_with(prefix) && is_id(key.id(), prefix), "{prefix}");
        assert_eq!(ApiKey::parse(key.expose()).unwrap().id(), key.id());
        assert!(seen.insert(key.expose().to_owned()));
        assert!(!format!("{key:?}").contains(&key.expose()[key.id().len()..]));
    }
    assert!(ApiKey::generate().unwrap().expose().starts_with("mcpk_"));
}

#[test]
fn a_prefix_that_cannot_be_used_is_an_error_that_shows_it() {
    for prefix in
        ["", "a", "1a", "_a", "a_", "Acme", "a-b", "a b", "ey", "ewok", "e30", "a23456789012345678901", "a\nb"]
    {
        let error = ApiKey::generate_with_prefix(prefix).unwrap_err();
        assert_eq!(error.kind(), ApiKeyErrorKind::Prefix, "{prefix}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn a_text_that_is_not_a_key_is_an_error_without_the_text() {
    let long = format!("{PUBLISHED}x");
    let secret = &PUBLISHED[17..];
    for text in ["", "mcpk", "mcpk_", "mcpk_short", &PUBLISHED[..52], &long, &PUBLISHED[1..], secret, "_", "é_é"] {
        let error = ApiKey::parse(text).unwrap_err();
        assert!(matches!(error.kind(), ApiKeyErrorKind::Form | ApiKeyErrorKind::Checksum), "{text}");
        assert!(text.len() < 6 || !error.to_string().contains(text), "{error}");
    }
}

proptest! {
    #[test]
    fn every_wrong_character_is_found_without_a_look_up(at in 0..PUBLISHED.len(), wrong in "[ -~]") {
        prop_assume!(PUBLISHED[at..=at] != wrong);
        let text = [&PUBLISHED[..at], &wrong, &PUBLISHED[at + 1..]].concat();
        prop_assert!(ApiKey::parse(&text).is_err(), "{text}");
    }

    #[test]
    fn two_neighbours_that_change_places_are_found_without_a_look_up(at in 0..PUBLISHED.len() - 1) {
        let (before, after) = (&PUBLISHED[at..=at], &PUBLISHED[at + 1..=at + 1]);
        prop_assume!(before != after);
        let text = [&PUBLISHED[..at], after, before, &PUBLISHED[at + 2..]].concat();
        prop_assert!(ApiKey::parse(&text).is_err(), "{text}");
    }

    #[test]
    fn no_text_causes_a_panic(text in "(mcpk_)?\\PC{0,60}") {
        let _either = ApiKey::parse(&text);
        let _either = is_id(&text, "mcpk");
    }
}
