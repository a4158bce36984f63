//! Which responses are introspection responses, and what an active response must contain.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::http_client::HttpErrorKind;
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;

use super::stub::{Page, Stub, active};
use super::{START, auth_info, credentials, server_of};
use crate::support::{App, ISSUER, RESOURCE};

/// The response for a valid token with these changes. `null` removes a member.
fn active_but(change: Value) -> Value {
    let mut answer = active();
    let members = answer.as_object_mut().unwrap();
    members.extend(change.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    answer
}

/// The reason why a token with this response is rejected, or `None` if it is accepted.
async fn rejection(issuer: impl FnOnce(Issuer) -> Issuer, answer: &Value) -> Option<RejectionKind> {
    let stub = Stub::with_page(Page::json(answer));
    let app = App::new(server_of(issuer(stub.issuer(credentials()))).bearer_layer());
    let given = app.with_token("opaque").await;
    assert_eq!(stub.introspections(), 1);
    given.rejection.map(|rejection| rejection.kind())
}

#[tokio::test(start_paused = true)]
async fn invalid_responses_are_an_outage_and_never_inactive() {
    let whole = active().to_string();
    let with_active = |value: &str| Page::ok(whole.replace("\"active\":true", &format!("\"active\":{value}")));
    for (what, page) in [
        ("no content", Page::status(204)),
        ("created", Page::status(201).body(whole.clone())),
        ("partial", Page::status(206).body(whole.clone())),
        ("redirect", Page::status(302).header("location", "https://evil.example.com/").body(whole.clone())),
        ("bad request", Page::status(400).body(r#"{"error":"invalid_request"}"#)),
        ("not found", Page::status(404)),
        ("not found, but active", Page::status(404).body(whole.clone())),
        ("not allowed", Page::status(405)),
        ("too many", Page::status(429)),
        ("server error", Page::status(500).body(whole.clone())),
        ("bad gateway", Page::status(502)),
        ("odd status", Page::status(599).body(whole.clone())),
        ("html", Page::ok("<!doctype html><title>Sign in</title>").header("content-type", "text/html")),
        ("empty", Page::ok("")),
        ("null", Page::ok("null")),
        ("true", Page::ok("true")),
        ("array", Page::ok(format!("[{whole}]"))),
        ("truncated", Page::ok(whole.as_bytes()[..whole.len() / 2].to_vec())),
        ("text after it", Page::ok(format!("{whole}{whole}"))),
        ("byte order mark", Page::ok(format!("\u{feff}{whole}"))),
        ("invalid UTF-8", Page::ok(b"{\"active\":true,\"sub\":\"\xff\"}".as_slice())),
        ("UTF-16", Page::ok(whole.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())),
        ("one byte too long", Page::ok(format!("{whole}{}", " ".repeat(64 * 1024 + 1 - whole.len())))),
        ("cut off by the client", Page::error(HttpErrorKind::TooLarge)),
        ("no active", Page::json(&active_but(json!({ "active": null })))),
        ("active null", with_active("null")),
        ("active string", with_active("\"true\"")),
        ("active number", with_active("1")),
        ("active array", with_active("[true]")),
        ("active object", with_active("{\"active\":true}")),
        ("Active", Page::ok(whole.replace("active", "Active"))),
        ("active twice", with_active("true,\"active\":true")),
        ("active or not", with_active("false,\"active\":true")),
        ("not or active", with_active("true,\"active\":false")),
        ("escaped twice", with_active("false,\"\\u0061ctive\":true")),
        ("scope twice", with_active("true,\"scope\":\"admin\"")),
        ("active within", Page::json(&json!({ "data": active() }))),
        ("exp as text", Page::json(&active_but(json!({ "exp": "1800000300" })))),
        ("aud as number", Page::json(&active_but(json!({ "aud": 1 })))),
        ("scope as number", Page::json(&active_but(json!({ "scope": 1 })))),
        ("iss as array", Page::json(&active_but(json!({ "iss": [ISSUER] })))),
    ] {
        let stub = Stub::with_page(page);
        let app = stub.app();
        let answer = app.with_token("opaque").await;
        assert_eq!(answer.verdict(), "R503", "{what}");
        assert_eq!((answer.header("www-authenticate"), answer.header("retry-after")), (None, Some("5")), "{what}");
        // The error is not cached.
        stub.set_page(Page::json(&active()));
        assert_eq!(app.with_token("opaque").await.verdict(), "OK", "{what}");
        stub.set_page(Page::ok(r#"{"active":false}"#));
        assert_eq!(app.with_token("other").await.verdict(), "R401", "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_of_64_kib_with_any_content_type_is_valid() {
    let whole = active().to_string();
    let padding = " ".repeat(64 * 1024 - whole.len());
    for page in [
        Page::ok(format!("{whole}{padding}")),
        Page::json(&active()).header("content-type", "text/plain"),
        Page::ok(format!("\r\n\t {whole} \r\n")),
    ] {
        assert_eq!(Stub::with_page(page).app().with_token("opaque").await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_members_of_an_inactive_response_are_ignored() {
    for body in [r#"{"active":false}"#, r#"{"active":false,"exp":"x","aud":7,"sub":"admin"}"#] {
        let stub = Stub::with_page(Page::ok(body));
        let answer = stub.app().with_token("opaque").await;
        let kind = answer.rejection.as_ref().unwrap().kind();
        assert_eq!(kind, RejectionKind::InvalidToken(CheckFailure::Inactive), "{body}");
        assert!(answer.challenge().is_some() && answer.header("retry-after").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_inactive_response_is_valid_with_any_status() {
    for status in [201, 302, 400, 401, 403, 404, 410, 429, 500, 503] {
        let stub = Stub::with_page(Page::status(status).body(r#"{"active":false}"#));
        let app = stub.app();
        for token in super::numbered("unknown", 20) {
            let kind = app.with_token(&token).await.rejection.unwrap().kind();
            assert_eq!(kind, RejectionKind::InvalidToken(CheckFailure::Inactive), "{status}");
        }
        // Each token costs one request, and the circuit breaker stays closed.
        assert_eq!(stub.introspections(), 20, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_400_that_blames_the_request_is_an_invalid_token_if_other_tokens_are_active() {
    let is_blamed = |code: &str| Page::status(400).body(json!({ "error": code }).to_string());
    for (page, expected) in [
        (is_blamed("invalid_request"), "R401"),
        (is_blamed("invalid_token"), "R401"),
        (is_blamed("server_error"), "R503"),
        (is_blamed("temporarily_unavailable"), "R503"),
        (is_blamed("invalid_client"), "R503"),
        (Page::status(400), "R503"),
        (Page::status(400).body("<html>"), "R503"),
        (Page::status(422).body(r#"{"error":"invalid_request"}"#), "R503"),
    ] {
        let stub =
            Stub::new(move |token| if token.starts_with("valid") { Page::json(&active()) } else { page.clone() });
        let app = stub.app();
        assert_eq!(app.with_token("unknown").await.verdict(), "R503");
        advance(Duration::from_secs(60)).await;
        assert_eq!(app.with_token("valid").await.verdict(), "OK");
        assert_eq!(app.with_token("unknown").await.verdict(), expected);
        // For two minutes, no response has shown that the endpoint works.
        advance(Duration::from_secs(121)).await;
        assert_eq!(app.with_token("unknown").await.verdict(), "R503");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_wrong_type_is_named_in_the_log() {
    let date = json!({ "date": "2026-11-28 18:00:00.000000", "timezone_type": 3, "timezone": "UTC" });
    for (claim, value) in [
        ("exp", json!("1800000300")),
        ("exp", date.clone()),
        ("nbf", json!("now")),
        ("iat", date),
        ("aud", json!({ "rs": true })),
        ("iss", json!(7)),
        ("scope", json!(7)),
        ("token_type", json!(["Bearer"])),
    ] {
        let capture = crate::capture::Capture::of_this_thread();
        let stub = Stub::with_page(Page::json(&active_but(json!({ claim: value }))));
        assert_eq!(stub.app().with_token("opaque").await.verdict(), "R503", "{claim}");
        let log = capture.take();
        let named = format!("its claim \\\"{claim}\\\" has a wrong type");
        let plain = format!("its claim \"{claim}\" has a wrong type");
        let is_named = log.iter().any(|(_, line)| {
            line.starts_with("mcp_bearer::introspection") && (line.contains(&named) || line.contains(&plain))
        });
        assert!(is_named, "{log:?}");
        assert!(!log.iter().any(|(_, line)| line.contains("timezone")), "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_for_an_encrypted_token_is_used_as_usual() {
    let header = r#"{"alg":"RSA-OAEP","enc":"A256CBC-HS512","kid":"e1","typ":"at+jwt","cty":"JWT"}"#;
    let token = format!("{}.QUFB.QkJC.Q0ND.RERE", URL_SAFE_NO_PAD.encode(header));
    let stub = Stub::with_page(Page::json(&active()));
    assert_eq!((stub.app().with_token(&token).await.verdict().as_str(), stub.introspections()), ("OK", 1));
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_token_type_is_an_invalid_token() {
    let unsupported = Page::status(400).body(r#"{"error":"unsupported_token_type"}"#);
    let stub = Stub::with_page(unsupported);
    let app = stub.app();
    for token in super::numbered("odd", 20) {
        assert_eq!(app.with_token(&token).await.verdict(), "R401");
        assert_eq!(app.with_token(&token).await.verdict(), "R401");
    }
    // The result is cached like that of any invalid token, and the circuit breaker stays closed.
    assert_eq!(stub.introspections(), 20);
    advance(Duration::from_secs(10)).await;
    assert_eq!((app.with_token("odd-0").await.verdict().as_str(), stub.introspections()), ("R401", 21));
}

#[tokio::test(start_paused = true)]
async fn active_responses_are_checked_like_jwts() {
    use CheckFailure as F;
    let array = |audience: &str| json!({ "aud": ["https://other.example.com", audience] });
    for (change, expected) in [
        (json!({}), None),
        // The token belongs to the issuer that was asked. A different `iss` in the response is rejected.
        (json!({ "iss": ISSUER }), None),
        (json!({ "iss": "https://evil.example.com" }), Some(F::Issuer)),
        (json!({ "iss": "https://auth.example.com/" }), Some(F::Issuer)),
        (json!({ "iss": "" }), Some(F::Issuer)),
        (json!({ "aud": null }), Some(F::NoAudience)),
        (json!({ "aud": [] }), Some(F::NoAudience)),
        (json!({ "aud": "" }), Some(F::Audience)),
        (json!({ "aud": "https://mcp.example.com" }), Some(F::Audience)),
        (array("https://mcp.example.com/mcp/"), Some(F::Audience)),
        (array(RESOURCE), None),
        (json!({ "aud": null, "resource": RESOURCE }), None),
        (json!({ "aud": null, "resource": [RESOURCE] }), None),
        (json!({ "aud": null, "resource": "https://other.example.com" }), Some(F::Audience)),
        // `aud` takes precedence. `resource` counts only without it.
        (json!({ "aud": "https://other.example.com", "resource": RESOURCE }), Some(F::Audience)),
        (json!({ "exp": START + 300 }), None),
        (json!({ "exp": START - 59 }), None),
        (json!({ "exp": START - 60 }), Some(F::Expired)),
        (json!({ "exp": 0 }), Some(F::Expired)),
        (json!({ "nbf": START + 60 }), None),
        (json!({ "nbf": START + 61 }), Some(F::NotYetValid)),
        (json!({ "iat": START + 61 }), Some(F::NotYetValid)),
        (json!({ "token_type": "Bearer" }), None),
        (json!({ "token_type": "bearer" }), None),
        (json!({ "token_type": "access_token" }), None),
        (json!({ "token_type": "refresh_token" }), Some(F::TokenType)),
        (json!({ "token_type": "Refresh_Token" }), Some(F::TokenType)),
        (json!({ "token_type": "DPoP" }), Some(F::SenderConstrained)),
        (json!({ "token_use": "id" }), Some(F::TokenType)),
        (json!({ "typ": "Refresh" }), Some(F::TokenType)),
        (json!({ "type": "refresh_token" }), Some(F::TokenType)),
        (json!({ "nonce": "n-0S6_WzA2Mj" }), Some(F::TokenType)),
        (json!({ "cnf": { "jkt": "x" } }), Some(F::SenderConstrained)),
        (json!({ "cnf": { "x5t#S256": "x" } }), Some(F::SenderConstrained)),
        (json!({ "cnf": {} }), Some(F::SenderConstrained)),
        (json!({ "cnf": "x" }), Some(F::SenderConstrained)),
        (json!({ "sub": null, "client_id": "service" }), None),
    ] {
        let kind = rejection(|issuer| issuer, &active_but(change.clone())).await;
        assert_eq!(kind, expected.map(RejectionKind::InvalidToken), "{change}");
    }
    // `cnf` counts as present even if it is null.
    let document = active().to_string().replacen('{', r#"{"cnf":null,"#, 1);
    let document = serde_json::from_str(&document).unwrap();
    let expected = RejectionKind::InvalidToken(F::SenderConstrained);
    assert_eq!(rejection(|issuer| issuer, &document).await, Some(expected));
    let document = active()
        .to_string()
        .replace(&format!("\"aud\":\"{RESOURCE}\""), &format!("\"aud\":null,\"resource\":\"{RESOURCE}\""));
    assert_eq!(rejection(|issuer| issuer, &serde_json::from_str(&document).unwrap()).await, None);
}

#[tokio::test(start_paused = true)]
async fn active_responses_need_an_audience_unless_that_check_is_disabled() {
    let anyone = |issuer: Issuer| issuer.dangerously_accept_missing_audience();
    let listed = |issuer: Issuer| issuer.dangerously_accept_clients_without_audience(["cli", "web"]);
    let wrong = Some(RejectionKind::InvalidToken(CheckFailure::Audience));
    let missing = Some(RejectionKind::InvalidToken(CheckFailure::NoAudience));
    for (change, for_anyone, for_listed) in [
        (json!({}), None, None),
        (json!({ "aud": null }), None, missing),
        (json!({ "aud": null, "client_id": "web" }), None, None),
        (json!({ "aud": null, "client_id": "other" }), None, missing),
        (json!({ "aud": null, "client_id": "" }), None, missing),
        (json!({ "aud": null, "azp": "cli" }), None, None),
        // A wrong audience does not count as missing.
        (json!({ "aud": "https://other.example.com", "client_id": "web" }), wrong, wrong),
        (json!({ "aud": null, "resource": "https://other.example.com", "client_id": "web" }), wrong, wrong),
    ] {
        let mut answer = active_but(change);
        answer["token_type"] = json!("Bearer");
        assert_eq!(rejection(anyone, &answer).await, for_anyone, "{answer}");
        assert_eq!(rejection(listed, &answer).await, for_listed, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn active_responses_need_exp_only_if_the_lifetime_is_limited() {
    use CheckFailure as F;
    for (change, expected) in [
        (json!({}), Some(F::NoExpiry)),
        (json!({ "exp": START + 600 }), None),
        (json!({ "exp": START + 601 }), Some(F::LifetimeTooLong)),
        (json!({ "exp": START + 300, "iat": START - 300 }), None),
        (json!({ "exp": START + 300, "iat": START - 301 }), Some(F::LifetimeTooLong)),
    ] {
        let stub = Stub::with_page(Page::json(&active_but(change.clone())));
        let builder = ResourceServer::builder(RESOURCE).issuer(stub.issuer(credentials()));
        let builder = builder.clock(mcp_bearer::testing::TestClock::new());
        let server = builder.max_token_lifetime(Duration::from_secs(600)).build_lazy().unwrap();
        let answer = App::new(server.bearer_layer()).with_token("opaque").await;
        let kind = answer.rejection.map(|rejection| rejection.kind());
        assert_eq!(kind, expected.map(RejectionKind::InvalidToken), "{change}");
        assert_eq!(Stub::with_page(Page::json(&active_but(change))).app().with_token("opaque").await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_gets_the_claims_of_the_response() {
    let stub = Stub::with_page(Page::json(&active()));
    let auth = auth_info(&stub.server(), "opaque").await.unwrap();
    assert_eq!((auth.issuer(), auth.identity(), auth.expires_at()), (Some(ISSUER), Some((ISSUER, "alice")), None));
    assert_eq!((auth.client_id(), auth.has_scope("mcp:tools"), auth.has_scope("admin")), (None, true, false));
    assert_eq!((auth.audience().collect::<Vec<_>>(), &auth.claims()["active"]), (vec![RESOURCE], &json!(true)));

    let answer = active_but(json!({ "sub": null, "client_id": "service", "exp": START + 300, "iss": ISSUER }));
    let auth = auth_info(&Stub::with_page(Page::json(&answer)).server(), "opaque").await.unwrap();
    assert_eq!((auth.issuer(), auth.identity(), auth.client_id()), (Some(ISSUER), None, Some("service")));
    let expires = auth.expires_at().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(expires.as_secs(), START + 300);
    assert!(auth_info(&Stub::with_page(Page::ok(r#"{"active":false}"#)).server(), "opaque").await.is_none());
}
