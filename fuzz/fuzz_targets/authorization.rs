//! The `Authorization` header contains exactly one bearer token or none, and an independent parser finds the same. Each
//! line of the input is the value of one header.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::bearer_token;

fuzz_target!(|lines: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(header::AUTHORIZATION, value);
    }
    let fields: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    let parsed = bearer_token(&headers);
    match (expected(&fields), &parsed) {
        (Expected::Token(token), Ok(parsed)) => assert_eq!(token, parsed.as_slice()),
        (Expected::Malformed, Err(reason)) => assert_eq!(reason, "Malformed"),
        (Expected::TooLong, Err(reason)) => assert_eq!(reason, "Rejected(TooLong)"),
        (Expected::OtherScheme, Err(reason)) => assert!(reason == "OtherScheme" || reason == "Malformed"),
        (expected, parsed) => panic!("expected {expected:?}, but found {parsed:?}"),
    }
});

#[derive(Debug)]
enum Expected<'f> {
    Token(&'f [u8]),
    Malformed,
    TooLong,
    /// Another scheme. The crate may also call such a header malformed.
    OtherScheme,
}

/// RFC 6750, section 2.1: `"Bearer" 1*SP b64token`, in one header, without surrounding white space.
fn expected<'f>(fields: &[&'f [u8]]) -> Expected<'f> {
    let [field] = fields else { return Expected::Malformed };
    let is_white_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = field.iter().position(|byte| !is_white_space(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !is_white_space(byte)).map_or(start, |last| last + 1);
    let field = &field[start..end];
    let Some(rest) = field.get(6..).filter(|_| field[..6].eq_ignore_ascii_case(b"bearer")) else {
        return Expected::OtherScheme;
    };
    let Some((next, _)) = rest.split_first() else { return Expected::Malformed };
    if next.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(next) {
        return Expected::OtherScheme;
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = &rest[spaces..];
    if token.len() > 64 * 1024 {
        return Expected::TooLong;
    }
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let characters = &token[..token.len() - padding];
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if spaces > 0 && !characters.is_empty() && characters.iter().all(is_allowed) {
        Expected::Token(token)
    } else {
        Expected::Malformed
    }
}
