//! Each token has exactly one text, and the parser does not panic for any text.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;
use crate::properties::cases;

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn only_the_canonical_encoding_is_decoded(text in texts()) {
        match decode(&text) {
            Ok(bytes) => prop_assert_eq!(URL_SAFE_NO_PAD.encode(bytes), text),
            // Bits are counted without a decoder: a rejected text is not the encoding of any bytes.
            Err(_) => {
                let values: Option<Vec<u32>> = text.bytes().map(value).collect();
                let is_encoding = values.is_some_and(|values| match (values.len() % 4, values.last()) {
                    (0, _) => true,
                    (2, Some(last)) => last.trailing_zeros() >= 4 || *last == 0,
                    (3, Some(last)) => last.trailing_zeros() >= 2 || *last == 0,
                    _ => false,
                });
                prop_assert!(!is_encoding, "{:?} was rejected", text);
            }
        }
    }

    #[test]
    fn encoded_bytes_are_decoded_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(decode(URL_SAFE_NO_PAD.encode(&bytes)).unwrap(), bytes);
    }

    #[test]
    fn a_token_is_split_only_at_its_two_dots(
        token in prop_oneof![any::<Vec<u8>>(), "[aA_.=-]{0,12}".prop_map(String::into_bytes)],
    ) {
        let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
        match Compact::parse(&token) {
            Ok(compact) => {
                prop_assert_eq!(&parts, &[compact.header, compact.payload, compact.signature]);
                prop_assert!(parts.iter().all(|part| !part.is_empty()));
                prop_assert_eq!(compact.signing_input, [compact.header, compact.payload].join(&b'.'));
            }
            Err(_) => prop_assert!(parts.len() != 3 || parts.iter().any(|part| part.is_empty())),
        }
    }
}

/// Texts inside and outside of the alphabet, mostly of a valid length. Long ones are decoded by other code than short ones.
fn texts() -> impl Strategy<Value = String> {
    let with_one_other = (any::<prop::sample::Index>(), any::<char>()).prop_flat_map(|(place, other)| {
        "[A-Za-z0-9_-]{60,200}".prop_map(move |text| {
            let (before, after) = text.split_at(place.index(text.len()));
            format!("{before}{other}{after}")
        })
    });
    prop_oneof![
        3 => "[A-Za-z0-9_-]{40,300}",
        3 => with_one_other,
        4 => "[AQgw048_-]{0,9}",
        4 => "[A-Za-z0-9_-]{0,40}",
        1 => "[A-Za-z0-9_+/=. -]{0,12}",
        1 => any::<String>(),
    ]
}

fn value(character: u8) -> Option<u32> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    alphabet.iter().position(|known| *known == character).and_then(|at| u32::try_from(at).ok())
}
