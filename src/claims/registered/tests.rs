use super::super::{AcceptedAudiences, AcceptedConfirmations, Claims, DEFAULT_SKEW, Policy, WithoutAudience, check};
use super::*;
use crate::identifier::ResourceUrl;

const RESOURCE: &str = "https://rs.example.com/mcp";
const NOW: u64 = 1_700_000_000;

fn policy() -> Policy {
    Policy {
        issuers: vec!["https://as.example.com".into()],
        audiences: AcceptedAudiences::new(&ResourceUrl::new(RESOURCE).unwrap()),
        without_audience: WithoutAudience::Rejected,
        skew: DEFAULT_SKEW,
        max_lifetime: None,
        rfc9068_required: false,
        id_token_claims_accepted: false,
        missing_token_type_accepted: false,
        confirmations: AcceptedConfirmations::default(),
    }
}

/// Checks valid claims with some changes: a JSON text replaces a claim, and `absent` removes it.
fn judge(changes: &[(&str, &str)]) -> Result<(), CheckFailure> {
    judge_by(&policy(), changes)
}

fn judge_by(policy: &Policy, changes: &[(&str, &str)]) -> Result<(), CheckFailure> {
    let mut members = vec![
        ("iss", r#""https://as.example.com""#.to_owned()),
        ("aud", format!("{RESOURCE:?}")),
        ("exp", (NOW + 300).to_string()),
        ("sub", r#""alice""#.to_owned()),
    ];
    for (name, value) in changes {
        members.retain(|(known, _)| known != name);
        if *value != "absent" {
            members.push((name, (*value).to_owned()));
        }
    }
    let json = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect::<Vec<_>>().join(",");
    let claims = Claims::from_json(format!("{{{json}}}"))?;
    check(&claims, policy, false, Duration::from_secs(NOW)).map_err(|error| error.failure)
}

#[test]
fn claims_are_checked_in_order() {
    use CheckFailure::*;
    for (changes, expected) in [
        (&[][..], Ok(())),
        (&[("iss", "absent")], Err(Issuer)),
        (&[("iss", "null")], Err(Claims)),
        (&[("iss", "1")], Err(Claims)),
        (&[("iss", r#"["https://as.example.com"]"#)], Err(Claims)),
        (&[("iss", r#""https://as.example.com/""#)], Err(Issuer)),
        (&[("iss", r#""https://AS.example.com""#)], Err(Issuer)),
        (&[("iss", r#""https://as.example.com:443""#)], Err(Issuer)),
        (&[("iss", r#""https://as.example.com\u0000""#)], Err(Issuer)),
        (&[("iss", r#""https:\/\/as.example.com""#)], Ok(())),
        (&[("aud", "absent")], Err(NoAudience)),
        (&[("aud", "null")], Err(Claims)),
        (&[("aud", "[]")], Err(NoAudience)),
        (&[("aud", r#""""#)], Err(Audience)),
        (&[("aud", r#"[""]"#)], Err(Audience)),
        (&[("aud", r#"["x","https://rs.example.com/mcp"]"#)], Ok(())),
        (&[("aud", r#"["https://rs.example.com/mcp",1]"#)], Err(Claims)),
        (&[("aud", r#"{"a":1}"#)], Err(Claims)),
        (&[("exp", "absent")], Err(NoExpiry)),
        (&[("exp", "null")], Err(Claims)),
        (&[("exp", r#""9999999999""#)], Err(Claims)),
        (&[("exp", "true")], Err(Claims)),
        (&[("exp", "[]")], Err(Claims)),
        (&[("exp", "-1")], Err(Claims)),
        (&[("exp", "1e400")], Err(Claims)),
        (&[("exp", "1700000300000")], Err(Claims)),
        (&[("exp", "4.1e9")], Ok(())),
        (&[("exp", "1700000000.5")], Ok(())),
        (&[("exp", "1699999940")], Err(Expired)),
        (&[("exp", "1699999940.5")], Ok(())),
        (&[("exp", "1699999941")], Ok(())),
        (&[("nbf", "1700000060")], Ok(())),
        (&[("nbf", "1700000061")], Err(NotYetValid)),
        (&[("nbf", "null")], Ok(())),
        (&[("iat", "null")], Ok(())),
        (&[("nbf", r#""1""#)], Err(Claims)),
        (&[("nbf", "-5")], Err(Claims)),
        (&[("iat", "1700000061")], Err(NotYetValid)),
        (&[("iat", "1600000000")], Ok(())),
        (&[("cnf", r#"{"jkt":"x"}"#)], Err(SenderConstrained)),
        (&[("cnf", "null")], Err(Claims)),
        (&[("cnf", "[]")], Err(SenderConstrained)),
        (&[("typ", r#""Refresh""#)], Err(TokenType)),
        (&[("typ", r#""ID""#)], Err(TokenType)),
        (&[("typ", r#""Bearer""#)], Ok(())),
        (&[("token_use", r#""id""#)], Err(TokenType)),
        (&[("token_use", r#""access""#)], Ok(())),
        (&[("token_type", r#""refresh_token""#)], Err(TokenType)),
        (&[("token_type", r#""DPoP""#)], Err(SenderConstrained)),
        (&[("type", r#""refresh_token""#)], Err(TokenType)),
        (&[("events", "{}")], Err(TokenType)),
        (&[("nonce", r#""n""#)], Err(TokenType)),
        (&[("at_hash", r#""h""#)], Err(TokenType)),
        (&[("nonce", r#""n""#), ("typ", r#""Bearer""#)], Ok(())),
        (&[("sub", "absent")], Ok(())),
        (&[("sub", "null")], Ok(())),
        (&[("sub", "1")], Err(Claims)),
        (&[("sub", r#"["alice"]"#)], Err(Claims)),
        (&[("nonce", "null"), ("events", "null"), ("typ", "null"), ("token_use", "null")], Ok(())),
        (&[("scope", "1")], Err(Claims)),
        (&[("EXP", "1")], Ok(())),
    ] {
        assert_eq!(judge(changes), expected, "{changes:?}");
    }
}

#[test]
fn invalid_claims_sets_are_rejected() {
    let nested = format!("{{\"x\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    for json in [
        "",
        "[]",
        "\"x\"",
        "null",
        "1",
        "{",
        "{}{}",
        "{} x",
        "{}\0",
        "\u{feff}{}",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\":NaN}",
        r#"[9999999999,0,"admin","https://as.example.com","https://rs.example.com/mcp"]"#,
        r#"{"$serde_json::private::RawValue":"{}"}"#,
        r#"{"x":{"a":1,"a":2}}"#,
        &nested,
    ] {
        assert_eq!(Claims::from_json(json).err(), Some(CheckFailure::Claims), "{json:.60}");
    }
    assert!(Claims::from_json(b"{\"a\":\"\xff\"}".to_vec()).is_err());
    assert!(Claims::from_json(r#"{"a":"\ud800"}"#).is_err());
}

#[test]
fn a_repeated_claim_is_rejected() {
    for name in ["aud", "exp", "iss", "sub", "scope", "client_id", "cnf", "tenant"] {
        assert!(Claims::from_json(format!(r#"{{"{name}":1,"{name}":1}}"#)).is_err(), "{name}");
    }
    assert!(Claims::from_json(r#"{"scope":"a","s\u0063ope":"b"}"#).is_err());
}

#[test]
fn scopes_come_from_the_first_source_only() {
    for (json, expected) in [
        (r#"{"scope":"a b"}"#, "a b"),
        (r#"{"scope":["a","b"]}"#, "a b"),
        (r#"{"scp":["a","b c"]}"#, "a"),
        (r#"{"scp":"a b"}"#, "a b"),
        (r#"{"scopes":["a"]}"#, "a"),
        (r#"{"scope":"read","scp":["admin"],"scopes":["root"]}"#, "read"),
        (r#"{"scope":"","scp":["admin"]}"#, ""),
        (r#"{"scope":null,"scp":["admin"]}"#, "admin"),
        (r#"{"scope":null,"scp":null,"scopes":"a"}"#, "a"),
        (r#"{"roles":["admin"],"permissions":["x"]}"#, ""),
    ] {
        assert_eq!(Claims::from_json(json).unwrap().scopes().as_str(), expected, "{json}");
    }
    let mut claims = Claims::from_json(r#"{"scope":"a","realm_access":{"roles":["b","c d"]},"nothing":null}"#).unwrap();
    claims.add_scopes_from("/realm_access/roles").unwrap();
    claims.add_scopes_from("/nowhere").unwrap();
    claims.add_scopes_from("/nothing").unwrap();
    assert_eq!(claims.scopes().as_str(), "a b");
}

#[test]
fn numbers_are_not_read_as_names() {
    for json in [r#"{"client_id":2}"#, r#"{"sub":"","client_id":[]}"#, "{}", r#"{"sub":null,"client_id":null}"#] {
        let claims = Claims::from_json(json).unwrap();
        assert_eq!((claims.subject(), claims.client_id()), (None, None), "{json}");
    }
    for name in ["client_id", "azp", "cid", "appid"] {
        assert_eq!(Claims::from_json(format!(r#"{{"{name}":"app"}}"#)).unwrap().client_id(), Some("app"));
    }
    assert_eq!(Claims::from_json(r#"{"azp":"b","client_id":"a"}"#).unwrap().client_id(), Some("a"));
}

#[test]
fn all_claims_can_be_read_by_name() {
    let claims = Claims::from_json(r#"{"tenant":{"id":7},"big":1.5e300}"#).unwrap();
    assert_eq!(claims.members()["tenant"]["id"], 7);
}

#[test]
fn debug_output_has_no_personal_data() {
    let claims = Claims::from_json(r#"{"iss":"https://as","sub":"alice","email":"secret"}"#).unwrap();
    let text = format!("{claims:?}");
    assert!(!text.contains("alice") && !text.contains("secret"), "{text}");
}

#[test]
fn optional_rules_hold_when_they_are_switched_on() {
    let strict = Policy { max_lifetime: Some(Duration::from_secs(3600)), ..policy() };
    for (changes, expected) in [
        (&[][..], Ok(())),
        (&[("iat", "1699999000")], Ok(())),
        (&[("iat", "1699990000")], Err(CheckFailure::LifetimeTooLong)),
        (&[("exp", "2015360000")], Err(CheckFailure::LifetimeTooLong)),
    ] {
        assert_eq!(judge_by(&strict, changes), expected, "{changes:?}");
    }
    let exact = Policy { skew: Duration::ZERO, ..policy() };
    assert_eq!(judge_by(&exact, &[("exp", "1700000000")]), Err(CheckFailure::Expired));
    assert_eq!(judge_by(&exact, &[("exp", "1700000001")]), Ok(()));
}

#[test]
fn claims_of_rfc_9068_can_be_required() {
    let strict = Policy { rfc9068_required: true, ..policy() };
    let complete = [("client_id", r#""app""#), ("jti", r#""1""#), ("iat", "1700000000")];
    assert_eq!(judge_by(&strict, &complete), Ok(()));
    for (name, texts) in [
        ("sub", &["absent", "null", r#""""#][..]),
        ("client_id", &["absent", "null", r#""""#, "1"]),
        ("jti", &["absent", "null", r#""""#, "1"]),
        ("iat", &["absent", "null"]),
    ] {
        for text in texts {
            let changes: Vec<_> =
                complete.into_iter().filter(|(known, _)| *known != name).chain([(name, *text)]).collect();
            assert_eq!(judge_by(&strict, &changes), Err(CheckFailure::Claims), "{name}: {text}");
        }
    }
    // Another name of the client is not that of RFC 9068.
    let other = [("azp", r#""app""#), ("jti", r#""1""#), ("iat", "1700000000")];
    assert_eq!(judge_by(&strict, &other), Err(CheckFailure::Claims));
}

#[test]
fn a_text_of_the_document_is_not_copied() {
    let document = "alice and bob";
    let (start, end) = document.split_at(10);
    let text = ClaimText::new(end, document);
    assert!(matches!(&text, ClaimText::Range(range) if *range == (10..13)));
    assert_eq!(text.read(document), "bob");
    assert!(matches!(ClaimText::new(start.split_at(0).0, document), ClaimText::Range(range) if range.is_empty()));
}

#[test]
fn a_text_from_elsewhere_is_copied() {
    let (document, other) = (String::from("alice"), String::from("alice"));
    let text = ClaimText::new(&other, &document);
    assert!(matches!(text, ClaimText::Owned(_)));
    assert_eq!(text.read(&document), "alice");
}

/// Checks the claims of a credential that is not an access token.
fn judge_credential(members: &serde_json::Value) -> Result<(), CheckFailure> {
    let members = members.as_object().unwrap().clone();
    let claims = Claims::from_credential(CredentialKind::ApiKey, None, members)?;
    check(&claims, &policy(), false, Duration::from_secs(NOW)).map_err(|error| error.failure)
}

#[test]
fn a_credential_that_is_not_an_access_token_needs_no_issuer_audience_or_expiry() {
    use serde_json::json;
    for (members, expected) in [
        (json!({}), Ok(())),
        (json!({ "sub": "ci", "scope": "a b" }), Ok(())),
        (json!({ "iss": "https://other.example.com", "aud": "https://other.example.com" }), Ok(())),
        (json!({ "typ": "refresh", "nonce": "n", "events": {} }), Ok(())),
        (json!({ "exp": NOW + 1, "nbf": NOW - 1, "iat": NOW - 1 }), Ok(())),
        (json!({ "exp": NOW - 60 }), Err(CheckFailure::Expired)),
        (json!({ "nbf": NOW + 61 }), Err(CheckFailure::NotYetValid)),
        (json!({ "cnf": { "jkt": "x" } }), Err(CheckFailure::SenderConstrained)),
        (json!({ "cnf": null }), Err(CheckFailure::SenderConstrained)),
        (json!({ "sub": 1 }), Err(CheckFailure::Claims)),
        (json!({ "exp": "soon" }), Err(CheckFailure::Claims)),
    ] {
        assert_eq!(judge_credential(&members), expected, "{members}");
    }
}

#[test]
fn the_issuer_of_a_credential_is_the_configured_one() {
    let members = serde_json::json!({ "iss": "https://evil.example.com", "sub": "ci", "scope": "a" });
    let members = members.as_object().unwrap();
    for issuer in [None, Some("urn:example:keys")] {
        let claims = Claims::from_credential(CredentialKind::Custom, issuer, members.clone()).unwrap();
        assert_eq!((claims.issuer(), claims.subject()), (issuer, Some("ci")));
        assert_eq!((claims.kind(), claims.exp()), (CredentialKind::Custom, None));
        assert!(claims.scopes().contains("a"));
    }
    assert_eq!(Claims::from_json("{}").unwrap().kind(), CredentialKind::AccessToken);
}
