//! E: claims of a token with a valid signature (RFC 7519, section 4.1; RFC 9068, section 4).

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::{AuthInfo, BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};

use super::trial::{self, Trial, bearer, with};
use crate::support::{Answer, ISSUER, RESOURCE};
use crate::transport;

/// The time of the test clock, which does not advance.
const NOW: u64 = 1_800_000_000;

/// A server without a key set and with this clock skew.
fn with_skew(seconds: u64) -> Trial {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer();
    Trial::of(issuer, clock, |server| server.issuer(accepted).clock_skew(Duration::from_secs(seconds)))
}

/// A token with a claim that has exactly this JSON text.
fn with_text(trial: &Trial, claim: &str, text: &str) -> String {
    let claims = with(trial.claims(), json!({claim: null})).to_string();
    trial.with_payload(format!("{{\"{claim}\":{text},{}", &claims[1..]))
}

/// Asserts that the token is accepted, or rejected without a request to the issuer.
async fn expect(trial: &Trial, id: &str, what: &str, token: &str, verdict: &str) {
    match verdict {
        "R401" => drop(trial.reject(id, what, token).await),
        verdict => drop(trial.token(id, what, token, verdict).await),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_expires() {
    for (id, skew, exp, verdict) in [
        ("E02", 60, "\"9999999999\"".to_owned(), "R401"),
        ("E02", 60, "true".to_owned(), "R401"),
        ("E02", 60, "[]".to_owned(), "R401"),
        ("E02", 60, "[9999999999]".to_owned(), "R401"),
        ("E02", 60, "{}".to_owned(), "R401"),
        ("E02", 60, "null".to_owned(), "R401"),
        ("E02", 60, "-1".to_owned(), "R401"),
        ("E02", 60, "1e400".to_owned(), "R401"),
        // Milliseconds instead of seconds, and larger values. All of them lie after the year 9999.
        ("E02", 60, format!("{NOW}000"), "R401"),
        ("E02", 60, "18446744073709551616".to_owned(), "R401"),
        ("E02", 60, "1e30".to_owned(), "R401"),
        ("E04", 0, format!("{}.5", NOW + 60), "OK"),
        ("E04", 0, "4.1e9".to_owned(), "OK"),
        ("E04", 0, format!("{}.4", NOW), "OK"),
        ("E04", 0, format!("{}.6", NOW - 1), "R401"),
        ("E04", 60, format!("{}.6", NOW - 61), "R401"),
        ("E05", 0, NOW.to_string(), "R401"),
        ("E05", 0, (NOW + 1).to_string(), "OK"),
        ("E05", 0, (NOW - 1).to_string(), "R401"),
        ("E05", 60, NOW.to_string(), "OK"),
        ("E05", 60, (NOW - 59).to_string(), "OK"),
        ("E05", 60, (NOW - 60).to_string(), "R401"),
        ("E05", 60, (NOW - 61).to_string(), "R401"),
        ("E05", 300, (NOW - 299).to_string(), "OK"),
        ("E05", 300, (NOW - 300).to_string(), "R401"),
    ] {
        let trial = with_skew(skew);
        expect(&trial, id, &format!("{exp} skew {skew}"), &with_text(&trial, "exp", &exp), verdict).await;
    }
    let trial = Trial::cold();
    let without = trial.with_payload(with(trial.claims(), json!({"exp": null})).to_string());
    trial.reject("E01", "no exp", &without).await;
    trial.accept_a_valid_token().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_rejected_before_its_nbf() {
    for (id, claim, text, verdict) in [
        ("E06", "nbf", (NOW + 60).to_string(), "OK"),
        ("E06", "nbf", format!("{}.5", NOW + 60), "R401"),
        ("E06", "nbf", (NOW + 61).to_string(), "R401"),
        ("E06", "nbf", "0".to_owned(), "OK"),
        ("E06", "nbf", format!("\"{NOW}\""), "R401"),
        // `null` means that the claim is absent.
        ("E06", "nbf", "null".to_owned(), "OK"),
        ("E06", "nbf", "-1".to_owned(), "R401"),
        ("E06", "nbf", "1e400".to_owned(), "R401"),
        ("E06", "nbf", "true".to_owned(), "R401"),
        ("E06", "iat", (NOW + 60).to_string(), "OK"),
        ("E06", "iat", (NOW + 61).to_string(), "R401"),
        ("E06", "iat", format!("\"{NOW}\""), "R401"),
    ] {
        let trial = Trial::cold();
        expect(&trial, id, &format!("{claim} {text}"), &with_text(&trial, claim, &text), verdict).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_audience_of_a_token_must_be_this_resource() {
    let thousand = |last: &str| Value::from_iter((0..999).map(|n| format!("a{n}")).chain([last.to_owned()]));
    let trial = Trial::cold();
    for (id, aud) in [
        ("E10", json!([])),
        ("E10", json!("")),
        ("E10", json!([""])),
        ("E10", json!(1)),
        ("E10", json!({"aud": RESOURCE})),
        // An audience list may contain only strings.
        ("E10", json!([RESOURCE, 1])),
        ("E10", json!([[RESOURCE]])),
        ("E12", json!("https://mcp.example.com.evil.org")),
        ("E12", json!("https://mcp.example.com.evil.org/mcp")),
        ("E12", json!("https://mcp.example.com/mcp-evil")),
        ("E12", json!("https://mcp.example.com/mcp/../admin")),
        ("E12", json!("https://mcp.example.com/admin/../mcp")),
        ("E12", json!("https://mcp.example.com@evil.org/mcp")),
        ("E12", json!("https://evil.org/?https://mcp.example.com/mcp")),
        ("E12", json!(" https://mcp.example.com/mcp")),
        ("E12", json!("https://mcp.example.com/mcp ")),
        ("E12", json!("*")),
        ("E12", json!("https://mcp.example.com/*")),
        ("E12", json!("https://mcp.example.com")),
        ("E12", json!("https://mcp.example.com/")),
        ("E13", json!("https://mcp.example.com/mcp/")),
        ("E13", json!("https://mcp.example.com/%6dcp")),
        ("E13", json!("https://mcp.example.com/MCP")),
        ("E13", json!("https://mcp.example.com/mcp#x")),
        ("E13", json!("https://mcp.example.com/mcp?")),
        ("E13", json!("https://mcp.example.com./mcp")),
        ("E13", json!("https://mcp.example.com:8443/mcp")),
        ("E13", json!("http://mcp.example.com/mcp")),
        ("E14", json!("a,https://mcp.example.com/mcp")),
        ("E14", json!("a https://mcp.example.com/mcp")),
        ("E14", json!(["a,https://mcp.example.com/mcp"])),
        ("E09", thousand("another")),
    ] {
        let token = trial.with_payload(with(trial.claims(), json!({"aud": aud})).to_string());
        trial.reject(id, &aud.to_string(), &token).await;
    }
    trial.reject("E10", "null", &with_text(&trial, "aud", "null")).await;
    let without = trial.with_payload(with(trial.claims(), json!({"aud": null})).to_string());
    trial.reject("E10", "absent", &without).await;
    for (id, aud) in [
        ("E08", json!(RESOURCE)),
        ("E09", json!([RESOURCE])),
        ("E09", json!(["https://other", RESOURCE, "x"])),
        ("E09", thousand(RESOURCE)),
        // The case of scheme and host and the default port make no difference.
        ("E13", json!("HTTPS://MCP.Example.com/mcp")),
        ("E13", json!("https://mcp.example.com:443/mcp")),
    ] {
        let token = trial.with_payload(with(trial.claims(), json!({"aud": aud})).to_string());
        trial.token(id, &aud.to_string(), &token, "OK").await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_audience_is_accepted_only_if_configured_exactly() {
    for (id, alias, aud, verdict) in [
        ("E13", "https://mcp.example.com/mcp/", "https://mcp.example.com/mcp/", "OK"),
        ("E13", "api://guid", "api://guid", "OK"),
        // An alias is compared byte by byte, even if it is a URL.
        ("E13", "https://alias.example.com/x", "https://ALIAS.example.com/x", "R401"),
        ("E13", "api://guid", "api://guid/", "R401"),
        ("E13", "https://xn--bcher-kva.example/", "https://b\u{fc}cher.example/", "R401"),
    ] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).accept_audience(alias));
        let token = trial.with_payload(with(trial.claims(), json!({"aud": aud})).to_string());
        expect(&trial, id, &format!("{alias} {aud}"), &token, verdict).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_issuer_of_a_token_must_equal_a_configured_issuer() {
    let trial = Trial::cold();
    for (id, iss) in [
        ("E16", "\"https://auth.example.com/\""),
        ("E16", "\"https://AUTH.example.com\""),
        ("E16", "\"HTTPS://auth.example.com\""),
        ("E16", "\"http://auth.example.com\""),
        ("E16", "\"https://auth.example.com:443\""),
        ("E16", "\"https://auth.example.com \""),
        ("E16", "\" https://auth.example.com\""),
        ("E16", "\"https://auth.example.com\\u0000\""),
        ("E16", "\"https://auth.example.com/\u{e9}\""),
        ("E16", "\"https://auth.example.com/e\\u0301\""),
        ("E16", "\"auth.example.com\""),
        ("E16", "\"https://auth.example.com.evil.org\""),
        ("E16", "\"\""),
        ("E17", "null"),
        ("E17", "1"),
        ("E17", "{}"),
        ("E17", "true"),
        ("E18", "[\"https://auth.example.com\"]"),
        ("E18", "[\"https://evil\",\"https://auth.example.com\"]"),
        ("E20", "\"https://login.example.com/other/v2.0\""),
        ("I10", "\"http://canary/\""),
    ] {
        trial.reject(id, iss, &with_text(&trial, "iss", iss)).await;
    }
    let without = trial.with_payload(with(trial.claims(), json!({"iss": null})).to_string());
    trial.reject("E17", "absent", &without).await;
    // An equivalent JSON text with an escape is the same issuer.
    trial.token("E16", "escaped", &with_text(&trial, "iss", "\"https:\\/\\/auth.example.c\\u006fm\""), "OK").await;
}

#[tokio::test(start_paused = true)]
async fn a_tenant_placeholder_in_an_issuer_matches_only_itself() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let template = Issuer::discover("https://auth.example.com/{tenantid}/v2.0").http_client(issuer.http_client());
    let trial = Trial::of(issuer, clock, |server| server.issuer(template));
    for (id, tenant) in [("E20", "0f9a"), ("E20", "*"), ("E20", "")] {
        let iss = format!("https://auth.example.com/{tenant}/v2.0");
        let token = trial.with_payload(with(trial.claims(), json!({"iss": iss})).to_string());
        trial.reject(id, &iss, &token).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subject_is_a_string_or_absent() {
    let lenient = Trial::cold();
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer().require_at_jwt();
    let strict = Trial::of(issuer, clock, |server| server.issuer(accepted));
    for (id, sub) in [("E21", "1"), ("E21", "[]"), ("E21", "[\"alice\"]"), ("E21", "{}"), ("E21", "true")] {
        for trial in [&lenient, &strict] {
            trial.reject(id, sub, &with_text(trial, "sub", sub)).await;
        }
    }
    for (id, sub) in [("E21", "\"\""), ("E21", "null")] {
        let answer = lenient.token(id, sub, &with_text(&lenient, "sub", sub), "OK").await;
        assert_eq!(answer.body, "service", "{id} {sub}");
        strict.reject(id, sub, &with_text(&strict, "sub", sub)).await;
    }
    for trial in [&lenient, &strict] {
        let long = format!("\"{}\"", "x".repeat(1 << 20));
        trial.reject("E21", "1 MiB", &with_text(trial, "sub", &long)).await;
        // Control characters are part of the string. Its consumers escape them for logs or pages.
        let answer = trial.token("E21", "control", &with_text(trial, "sub", "\"a\\u0000\\r\\nb\""), "OK").await;
        assert_eq!(answer.body, "a\0\r\nb");
    }
    let without = with(lenient.claims(), json!({"sub": null})).to_string();
    assert_eq!(lenient.token("E21", "absent", &lenient.with_payload(&without), "OK").await.body, "service");
    strict.reject("E21", "absent", &strict.with_payload(&without)).await;
}

#[tokio::test(start_paused = true)]
async fn issuer_subject_and_client_are_kept_apart() {
    async fn handler(auth: AuthInfo) -> String {
        format!("{} {:?} {:?}", auth.issuer().unwrap(), auth.subject(), auth.client_id())
    }
    let trial = Trial::warm().await;
    let app = Router::new().route("/mcp", get(handler)).route_layer(trial.fixture.server.bearer_layer());
    for (id, changes, subject, client) in [
        ("E22", json!({"sub": "alice", "client_id": "alice"}), "Some(\"alice\")", "Some(\"alice\")"),
        ("E22", json!({"sub": null, "client_id": "alice"}), "None", "Some(\"alice\")"),
        ("E22", json!({"sub": "alice", "client_id": null}), "Some(\"alice\")", "None"),
        ("E22", json!({"sub": null, "client_id": null, "azp": "alice"}), "None", "Some(\"alice\")"),
        ("E22", json!({"sub": null, "client_id": null, "cid": "alice"}), "None", "Some(\"alice\")"),
        ("E22", json!({"sub": null, "client_id": "a", "azp": "b", "cid": "c"}), "None", "Some(\"a\")"),
        ("E22", json!({"sub": null, "client_id": 1, "username": "alice", "uid": "alice"}), "None", "None"),
    ] {
        let token = trial.with_payload(with(trial.claims(), changes.clone()).to_string());
        let answer = Answer::of(transport::send(app.clone(), bearer(&token)).await).await;
        assert_eq!(answer.body, format!("{ISSUER} {subject} {client}"), "{id} {changes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_constrained_token_is_not_a_bearer_token() {
    let trial = Trial::cold();
    for (id, cnf) in [
        ("E24", r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#),
        ("E24", r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#),
        ("E24", r#"{"jkt":"x","x5t#S256":"y"}"#),
        ("E24", r#"{"jwk":{}}"#),
        ("E24", r#"{"foo":1}"#),
        ("E24", "{}"),
        ("E24", "null"),
        ("E24", "\"x\""),
        ("E24", "[]"),
        ("E24", "false"),
    ] {
        trial.reject(id, cnf, &with_text(&trial, "cnf", cnf)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_of_other_kinds_are_not_access_tokens() {
    let trial = Trial::cold();
    let typed = trial.header();
    let untyped = with(typed.clone(), json!({"typ": "JWT"}));
    for (id, claims) in [
        ("E25", json!({"typ": "Refresh"})),
        ("E25", json!({"typ": "Offline"})),
        ("E25", json!({"typ": "ID"})),
        ("E25", json!({"typ": "Logout"})),
        ("E25", json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}})),
        ("E25", json!({"token_use": "id"})),
        ("E25", json!({"token_use": "refresh"})),
        ("E25", json!({"token_type": "refresh_token"})),
        ("E25", json!({"type": "refresh"})),
    ] {
        for header in [&typed, &untyped] {
            let token = trial.sign(header.to_string(), with(trial.claims(), claims.clone()).to_string());
            trial.reject(id, &format!("{header} {claims}"), &token).await;
        }
    }
    // The claims of an ID token count only if `typ` does not say `at+jwt`. A token that is explicitly typed as an
    // access token may contain them.
    for (id, claims) in
        [("E25", json!({"nonce": "n"})), ("E25", json!({"at_hash": "h"})), ("E25", json!({"c_hash": "h"}))]
    {
        let payload = with(trial.claims(), claims.clone()).to_string();
        trial.reject(id, &claims.to_string(), &trial.sign(untyped.to_string(), &payload)).await;
        trial.token(id, &claims.to_string(), &trial.sign(typed.to_string(), &payload), "OK").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_maximum_lifetime_counts_from_iat() {
    const HOUR: u64 = 3600;
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer();
    let limited =
        Trial::of(issuer, clock, |server| server.issuer(accepted).max_token_lifetime(Duration::from_secs(HOUR)));
    let unlimited = Trial::cold();
    for (id, iat, exp, verdict) in [
        ("E26", NOW, NOW + 10 * 365 * 24 * HOUR, "R401"),
        ("E26", NOW, NOW + HOUR + 1, "R401"),
        ("E26", NOW - HOUR, NOW + 1, "R401"),
        ("E26", NOW, NOW + HOUR, "OK"),
    ] {
        let claims = json!({"iat": iat, "exp": exp});
        for (trial, verdict) in [(&limited, verdict), (&unlimited, "OK")] {
            let token = trial.with_payload(with(trial.claims(), claims.clone()).to_string());
            expect(trial, id, &claims.to_string(), &token, verdict).await;
        }
    }
}

#[test]
fn the_clock_skew_is_bounded() {
    for (id, seconds, fits) in
        [("E28", 0, true), ("E28", 300, true), ("E28", 301, false), ("E28", 601, false), ("E28", u64::MAX, false)]
    {
        let builder = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER));
        // `Duration` cannot be negative, so a negative skew cannot be configured.
        let built = trial::server(builder.clock_skew(Duration::from_secs(seconds)));
        assert_eq!(built.err().map(|error| error.kind()), (!fits).then_some(BuildErrorKind::Setting), "{id} {seconds}");
    }
}
