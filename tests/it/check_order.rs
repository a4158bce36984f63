//! The order of the checks: a token that fails a local check causes no request.

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::verify::CheckFailure;
use serde_json::json;

use crate::support::{ALGORITHMS, Fixture, ISSUER, RESOURCE};

#[tokio::test(start_paused = true)]
async fn a_token_that_fails_a_local_check_causes_no_request() {
    // The server has fetched nothing, so the first token that passes all local checks causes requests.
    let fixture = Fixture::cold();
    let app = fixture.app();
    let other = TestIssuer::new("https://evil.example.com");
    let issuer = &fixture.issuer;
    let valid = || issuer.token().audience(RESOURCE).scope("mcp:tools");
    for (token, expected) in [
        ("A".repeat(16 * 1024 + 1), CheckFailure::TooLong),
        ("garbage".to_owned(), CheckFailure::NotJwt),
        ("a.b.c".to_owned(), CheckFailure::Malformed),
        ("a.b.c.d.e".to_owned(), CheckFailure::Encrypted),
        (with_signature(&valid().header("kid", "other").sign(), "AQ=="), CheckFailure::Malformed),
        (with_signature(&valid().header("kid", "other").sign(), "~+/"), CheckFailure::Malformed),
        (with_signature(&valid().header("kid", "other").sign(), "AR"), CheckFailure::Malformed),
        (valid().header("alg", "none").sign(), CheckFailure::Algorithm),
        (valid().header("alg", "HS256").sign(), CheckFailure::Algorithm),
        (valid().header("crit", json!(["exp"])).sign(), CheckFailure::CriticalHeader),
        (valid().header("typ", "logout+jwt").sign(), CheckFailure::TokenType),
        (valid().header("iss", "https://other").sign(), CheckFailure::Header),
        (valid().claim("sub", "alice").claim("exp", "1").sign(), CheckFailure::Claims),
        (other.token().audience(RESOURCE).scope("mcp:tools").sign(), CheckFailure::Issuer),
        (valid().claim("iss", "https://auth.example.com/").sign(), CheckFailure::Issuer),
        (valid().audience("https://other.example.com/mcp").without("aud").sign(), CheckFailure::NoAudience),
        (valid().claim("aud", json!(["https://mcp.example.com"])).sign(), CheckFailure::Audience),
        (valid().without("exp").sign(), CheckFailure::NoExpiry),
        (valid().expired().sign(), CheckFailure::Expired),
        (valid().claim("nbf", 4_000_000_000_u64).sign(), CheckFailure::NotYetValid),
        (valid().claim("cnf", json!({"jkt": "x"})).sign(), CheckFailure::SenderConstrained),
        (valid().claim("token_use", "id").sign(), CheckFailure::TokenType),
    ] {
        let answer = app.with_token(&token).await;
        assert_eq!(answer.verdict(), "R401", "{expected}");
        assert_eq!(answer.rejection.unwrap().kind(), RejectionKind::InvalidToken(expected), "{expected}");
    }
    assert_eq!((issuer.total_requests(), issuer.stray_requests()), (0, 0));
    assert_eq!(other.total_requests(), 0);
    assert_eq!(app.with_token(&valid().sign()).await.verdict(), "OK");
    assert!(issuer.total_requests() > 0);
}

fn with_signature(token: &str, signature: &str) -> String {
    let (rest, _) = token.rsplit_once('.').unwrap();
    format!("{rest}.{signature}")
}

#[tokio::test(start_paused = true)]
async fn keys_and_urls_in_the_header_are_ignored() {
    let fixture = Fixture::new().await;
    let (app, before) = (fixture.app(), fixture.issuer.total_requests());
    let other = TestIssuer::new(ISSUER);
    let key = other.jwk_set()["keys"][0].clone();
    for (name, value) in [
        ("jku", json!("https://evil.example.com/jwks")),
        ("x5u", json!("https://evil.example.com/cert")),
        ("x5c", json!(["MIIB"])),
        ("jwk", key),
    ] {
        let forged = other.token().audience(RESOURCE).scope("mcp:tools").header("kid", fixture.issuer.key_id());
        assert_eq!(app.with_token(&forged.header(name, value.clone()).sign()).await.verdict(), "R401", "{name}");
        let valid = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").header(name, value);
        assert_eq!(app.with_token(&valid.sign()).await.verdict(), "OK", "{name}");
    }
    assert_eq!(fixture.issuer.total_requests(), before);
    assert_eq!((fixture.issuer.stray_requests(), other.total_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_signature_under_a_known_key_id_causes_no_fetch() {
    let fixture = Fixture::new().await;
    let (app, before) = (fixture.app(), fixture.issuer.total_requests());
    let token = fixture.token();
    let (rest, signature) = token.rsplit_once('.').unwrap();
    for index in 0..200 {
        let mut forged: Vec<u8> = signature.into();
        let at = index % 80;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let answer = app.with_token(&format!("{rest}.{}", String::from_utf8(forged).unwrap())).await;
        assert_eq!(answer.verdict(), "R401");
    }
    assert_eq!(fixture.issuer.total_requests(), before);
}

#[tokio::test(start_paused = true)]
async fn every_algorithm_needs_a_key_of_its_type() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    for algorithm in ALGORITHMS.into_iter().filter(|algorithm| algorithm.is_supported()) {
        fixture.issuer.add_key(algorithm);
        // More time than the minimum between two fetches for unknown keys, so that each new key is fetched.
        tokio::time::advance(std::time::Duration::from_secs(31)).await;
        let token = || fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").algorithm(algorithm);
        assert_eq!(app.with_token(&token().sign()).await.verdict(), "OK", "{algorithm}");
        let other = if algorithm == Algorithm::RS256 { "PS256" } else { "RS256" };
        assert_eq!(app.with_token(&token().header("alg", other).sign()).await.verdict(), "R401", "{algorithm}");
    }
}
