//! Which tokens are introspected. The configured issuer and the form of the token decide it, and no token is
//! introspected as a trial.

use mcp_bearer::ResourceServer;
use mcp_bearer::testing::{Endpoint, TestIssuer};
use serde_json::json;

use super::stub::active;
use super::{Fixture, credentials};
use crate::support::{App, ISSUER, RESOURCE};

const EVIL: &str = "https://evil.example.com";

/// The issuer reports the token as active, so any introspection would accept it.
fn report_active(issuer: &TestIssuer, token: &str) {
    let mut answer = active();
    answer["vouched"] = true.into();
    issuer.introspection_answer(token, answer);
}

/// The same token with an invalid signature of the same length.
fn tampered(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{rest}.{first}{}", &signature[1..])
}

#[tokio::test(start_paused = true)]
async fn introspect_opaque_introspects_only_opaque_tokens() {
    let fixture = Fixture::with(|issuer| issuer.introspect_opaque(credentials())).await;
    let (app, issuer) = (fixture.app(), &fixture.issuer);
    let valid = || issuer.token().audience(RESOURCE).scope("mcp:tools");
    let other = TestIssuer::new(EVIL);
    let unpublished = TestIssuer::new(ISSUER);
    for (what, token, expected, requests) in [
        ("opaque", "x".repeat(43), "OK", 1),
        ("one dot", "mock.token".to_owned(), "OK", 1),
        ("two dots", "abc.def.ghi".to_owned(), "OK", 1),
        ("two dots and a header that is not an object", "W10.W10.AAAA".to_owned(), "OK", 1),
        ("three dots", "a.b.c.d".to_owned(), "OK", 1),
        ("five parts", "eyJhbGciOiJkaXIifQ..aaaa.bbbb.cccc".to_owned(), "OK", 1),
        ("all characters of token68", "a~b_c-d+e/f==".to_owned(), "OK", 1),
        ("the maximum length", "x".repeat(16 * 1024), "OK", 1),
        ("too long", "x".repeat(16 * 1024 + 1), "R401", 0),
        ("JWT", valid().sign(), "OK", 0),
        ("JWT with an invalid signature", tampered(&valid().sign()), "R401", 0),
        ("JWT without a signature", valid().header("alg", "none").sign(), "R401", 0),
        ("JWT with an HMAC algorithm", valid().header("alg", "HS256").sign(), "R401", 0),
        ("JWT with an unknown algorithm", valid().header("alg", "rot13").sign(), "R401", 0),
        ("JWT with an unknown key", valid().header("kid", "other").sign(), "R401", 0),
        (
            "JWT of another server with our issuer",
            unpublished.token().audience(RESOURCE).scope("mcp:tools").sign(),
            "R401",
            0,
        ),
        ("JWT of an unknown issuer", other.token().audience(RESOURCE).scope("mcp:tools").sign(), "R401", 0),
        ("JWT without an issuer", valid().without("iss").sign(), "R401", 0),
        ("JWT for another audience", issuer.token().audience(EVIL).scope("mcp:tools").sign(), "R401", 0),
        ("JWT that has expired", valid().expired().sign(), "R401", 0),
        ("JWT of another type", valid().header("typ", "logout+jwt").sign(), "R401", 0),
        ("JWT that is bound", valid().claim("cnf", json!({ "jkt": "x" })).sign(), "R401", 0),
        (
            "JWT with spare bits in its base64url",
            valid().sign().rsplit_once('.').unwrap().0.to_owned() + ".AR",
            "R401",
            0,
        ),
        ("JWT with an invalid payload", issuer.sign_raw(&issuer.key_id(), r#"{"alg":"ES256"}"#, "no JSON"), "R401", 0),
    ] {
        report_active(issuer, &token);
        let before = fixture.introspections();
        assert_eq!(app.with_token(&token).await.verdict(), expected, "{what}");
        assert_eq!(fixture.introspections() - before, requests, "{what}");
    }
    assert_eq!((other.total_requests(), issuer.stray_requests()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn introspection_skips_tokens_that_no_response_could_make_valid() {
    let fixture = Fixture::new().await;
    let (app, issuer) = (fixture.app(), &fixture.issuer);
    let valid = || issuer.token().audience(RESOURCE).scope("mcp:tools");
    let other = TestIssuer::new(EVIL);
    let raw = |payload: String| issuer.sign_raw(&issuer.key_id(), r#"{"alg":"ES256"}"#, payload);
    let now = super::START;
    for (what, token, expected, requests) in [
        ("opaque", "x".repeat(43), "OK", 1),
        ("two dots", "abc.def.ghi".to_owned(), "OK", 1),
        ("five parts", "eyJhbGciOiJkaXIifQ..aaaa.bbbb.cccc".to_owned(), "OK", 1),
        ("JWT", valid().sign(), "OK", 1),
        // The authorization server may sign these tokens as it likes, so its response decides.
        ("JWT with an algorithm of the issuer", valid().header("alg", "x-own").sign(), "OK", 1),
        ("JWT without a kid", valid().without_header("kid").sign(), "OK", 1),
        ("JWT without an audience", valid().without("aud").sign(), "OK", 1),
        ("JWT without exp", valid().without("exp").sign(), "OK", 1),
        ("JWT within the skew", valid().claim("exp", now - 59).sign(), "OK", 1),
        ("JWT that has expired", valid().expired().sign(), "R401", 0),
        ("JWT that is not valid yet", valid().claim("nbf", now + 61).sign(), "R401", 0),
        ("JWT issued in the future", valid().claim("iat", now + 86_400).sign(), "R401", 0),
        ("JWT of another issuer", other.token().audience(RESOURCE).scope("mcp:tools").sign(), "R401", 0),
        ("JWT of a similar issuer", valid().claim("iss", "https://auth.example.com/").sign(), "R401", 0),
        ("JWT without an issuer", valid().without("iss").sign(), "R401", 0),
        ("JWT with a list of issuers", valid().claim("iss", json!([ISSUER, EVIL])).sign(), "R401", 0),
        ("JWT of another type", valid().header("typ", "logout+jwt").sign(), "R401", 0),
        ("JWT that is a proof", valid().header("typ", "dpop+jwt").sign(), "R401", 0),
        ("JWT that is bound", valid().claim("cnf", json!({ "jkt": "x" })).sign(), "R401", 0),
        ("refresh token", valid().claim("typ", "Refresh").sign(), "R401", 0),
        ("ID token", valid().claim("token_use", "id").sign(), "R401", 0),
        ("JWT with an invalid payload", raw("no JSON".to_owned()), "R401", 0),
        ("JWT with a repeated claim", raw(format!(r#"{{"iss":"{ISSUER}","sub":"a","sub":"b"}}"#)), "R401", 0),
        ("too long", "x".repeat(16 * 1024 + 1), "R401", 0),
    ] {
        report_active(issuer, &token);
        let before = fixture.introspections();
        assert_eq!(app.with_token(&token).await.verdict(), expected, "{what}");
        assert_eq!(fixture.introspections() - before, requests, "{what}");
    }
    assert_eq!((issuer.requests(Endpoint::KeySet), issuer.stray_requests(), other.total_requests()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_claims_of_an_introspected_jwt_are_those_of_the_response() {
    let fixture = Fixture::new().await;
    let claimed = fixture.issuer.token().audience(RESOURCE).scope("admin").subject("root").sign();
    fixture.issuer.introspection_answer(&claimed, active());
    let auth = super::auth_info(&fixture.server, &claimed).await.unwrap();
    assert_eq!((auth.subject(), auth.has_scope("admin"), auth.has_scope("mcp:tools")), (Some("alice"), false, true));
    // The issuer does not know the forged token.
    let forged = tampered(&fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").sign());
    assert_eq!((fixture.app().with_token(&forged).await.verdict().as_str(), fixture.introspections()), ("R401", 2));
}

#[tokio::test(start_paused = true)]
async fn no_token_is_introspected_without_introspection() {
    let (issuer, clock) = super::issuer(ISSUER);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    for token in ["opaque", "abc.def.ghi", "a.b.c.d.e"] {
        report_active(&issuer, token);
        assert_eq!(app.with_token(token).await.verdict(), "R401");
    }
    assert_eq!(issuer.requests(Endpoint::Introspection), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_causes_no_introspection() {
    let fixture = Fixture::new().await;
    let (app, token) = (fixture.app(), fixture.token());
    for (authorization, expected) in [
        ("Basic YTpi".to_owned(), "R401N"),
        ("Bearer".to_owned(), "R400"),
        (format!("Bearer {token}, Bearer {token}"), "R400"),
        (format!("Bearer {token} {token}"), "R400"),
        (format!("DPoP {token}"), "R401N"),
    ] {
        assert_eq!(app.get(&authorization).await.verdict(), expected, "{authorization}");
    }
    assert_eq!(fixture.introspections(), 0);
}
