use super::*;

#[test]
fn a_token_has_three_parts_that_are_not_empty() {
    for token in ["", "a", "a.b", "..", ".b.c", "a..c", "a.b.", "a.b.c.d", "a.b.c.d.e.f"] {
        assert_eq!(Compact::parse(token.as_bytes()).err(), Some(CheckFailure::Malformed), "{token:?}");
    }
    assert_eq!(Compact::parse(b"a.b.c.d.e").err(), Some(CheckFailure::Encrypted));
    assert!(Compact::parse(b"a.b.c").is_ok());
}

#[test]
fn sizes_are_bounded() {
    let long = |length: usize| "A".repeat(length);
    assert_eq!(Compact::parse(long(16 << 20).as_bytes()).err(), Some(CheckFailure::TooLong));
    assert_eq!(Compact::parse(format!("{}.b.c", long(MAX_HEADER + 1)).as_bytes()).err(), Some(CheckFailure::TooLong));
    assert_eq!(
        Compact::parse(format!("a.b.{}", long(MAX_SIGNATURE + 1)).as_bytes()).err(),
        Some(CheckFailure::TooLong)
    );
}

#[test]
fn base64url_is_strict() {
    assert_eq!(decode("AQ").unwrap(), [1]);
    for text in ["AR", "AQ==", "AQ=", "A", "AAAAA", "A Q", "A\nQ", "+w", "/w", "A%2B", "AQ?", "AQ#", "é"] {
        assert!(decode(text).is_err(), "{text:?}");
    }
}

fn parse(json: &str) -> Result<Algorithm, CheckFailure> {
    let allowed = AllowedAlgorithms::from_iter([Algorithm::RS256, Algorithm::EdDSA]);
    Header::parse(json.as_bytes()).and_then(|header| header.check(allowed).map_err(|error| error.failure))
}

#[test]
fn headers_are_read_strictly() {
    for (json, expected) in [
        (r#"{"alg":"RS256","typ":"at+jwt","kid":"k","cty":"x","x5t":"y"}"#, Ok(Algorithm::RS256)),
        (r#"{"alg":"Ed25519"}"#, Ok(Algorithm::EdDSA)),
        (r#"{"alg":"ES256"}"#, Err(CheckFailure::Algorithm)),
        (r#"{"alg":"none"}"#, Err(CheckFailure::Algorithm)),
        (r#"{"alg":""}"#, Err(CheckFailure::Algorithm)),
        (r#"{"Alg":"RS256"}"#, Err(CheckFailure::Header)),
        (r#"{"alg":null}"#, Err(CheckFailure::Header)),
        (r#"{"alg":["RS256"]}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","alg":"RS256"}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","x":1,"x":1}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","$serde_json::private::Number":"1"}"#, Err(CheckFailure::Header)),
        (r#"{"$serde_json::private::RawValue":"1","alg":"RS256"}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","kid":1}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","kid":null,"typ":null,"x5t":null,"x5t#S256":null,"sub":null}"#, Ok(Algorithm::RS256)),
        (r#"{"alg":"RS256","b64":null,"enc":null,"zip":null}"#, Ok(Algorithm::RS256)),
        (r#"{"alg":"RS256","kid":null,"kid":"k"}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","b64":{"x":1,"x":1}}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","x5t":1}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","typ":["at+jwt"]}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256","crit":["exp"]}"#, Err(CheckFailure::CriticalHeader)),
        (r#"{"alg":"RS256","crit":[]}"#, Err(CheckFailure::CriticalHeader)),
        (r#"{"alg":"RS256","crit":null}"#, Err(CheckFailure::CriticalHeader)),
        (r#"{"alg":"RS256","b64":true}"#, Err(CheckFailure::CriticalHeader)),
        (r#"{"alg":"RS256","enc":"A256GCM"}"#, Err(CheckFailure::CriticalHeader)),
        (r#"{"alg":"RS256","zip":"DEF"}"#, Err(CheckFailure::CriticalHeader)),
        (r#"["RS256"]"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256"}{}"#, Err(CheckFailure::Header)),
        (r#"{"alg":"RS256",}"#, Err(CheckFailure::Header)),
        ("", Err(CheckFailure::Header)),
    ] {
        assert_eq!(parse(json), expected, "{json}");
    }
}

#[test]
fn a_key_id_is_bounded() {
    assert!(parse(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(MAX_KID))).is_ok());
    assert!(parse(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(MAX_KID + 1))).is_err());
}
