//! Responses of introspection endpoints beside active and inactive. oidc-provider does not introspect JWTs. glewlwyd
//! and django-oauth-toolkit reject an unknown client without a JSON body. Some servers report refresh tokens as active.
//!
//! `hostile::introspection` tests every invalid form of a response.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::Issuer;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::jose::JwkSet;
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};
use tokio::time::advance;

use super::provider::{Provider, credentials, invalid, with};
use crate::support::{ISSUER, RESOURCE, unavailable};

/// An introspection endpoint with the same response for every request. It counts its requests.
#[derive(Clone)]
struct Endpoint(Arc<Mutex<State>>);

struct State {
    status: u16,
    body: String,
    requests: usize,
}

impl Endpoint {
    fn answering(status: u16, body: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(State { status, body: body.into(), requests: 0 })))
    }

    /// Sets the response.
    fn set_response(&self, status: u16, body: impl Into<String>) {
        let mut state = self.0.lock().unwrap();
        (state.status, state.body) = (status, body.into());
    }

    fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }

    /// An issuer with this endpoint, and with introspection of every token.
    fn issuer(&self) -> Issuer {
        let issuer = Issuer::discover(ISSUER).introspection_endpoint(format!("{ISSUER}/introspect"));
        issuer.introspect_all(credentials()).http_client(self.clone())
    }
}

impl HttpClient for Endpoint {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let mut state = self.0.lock().unwrap();
        state.requests += 1;
        let mut response = Response::new(state.body.clone().into());
        *response.status_mut() = state.status.try_into().unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

fn active(members: Value) -> String {
    let active =
        json!({"active": true, "aud": RESOURCE, "exp": 1_800_000_300, "client_id": "c", "scope": "read:notes"});
    with(active, members).to_string()
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_opaque_token_is_invalid_and_an_unsupported_jwt_is_an_outage() {
    // The response of oidc-provider for every JWT (RFC 7009, section 2.2.1).
    let unsupported =
        json!({"error": "unsupported_token_type", "error_description": "introspection of JWTs"}).to_string();
    let endpoint = Endpoint::answering(400, &unsupported);
    let provider = Provider::new(ISSUER);
    let app = provider.trusted_as(endpoint.issuer());
    // Any number of such responses leaves the circuit breaker closed, so other tokens are introspected.
    for number in 0..20 {
        let token = format!("opaque-{number}");
        assert_eq!(app.outcome(&token).await, Err(invalid(CheckFailure::Inactive)), "{number}");
    }
    assert_eq!(endpoint.requests(), 20);
    // The JWT may be valid, and without a key set the server cannot verify it.
    let token = provider.sign(&provider.claims());
    assert!(matches!(app.outcome(&token).await, Err(RejectionKind::Unavailable { .. })));
    endpoint.set_response(200, active(json!({})));
    assert_eq!(app.verdict("opaque").await, "OK");
    // The result is cached for ten seconds, like that of any invalid token.
    endpoint.set_response(400, &unsupported);
    for (seconds, requests) in [(0, 1), (9, 0), (1, 1)] {
        advance(Duration::from_secs(seconds)).await;
        let before = endpoint.requests();
        assert_eq!(app.verdict("another").await, "R401", "{seconds}");
        assert_eq!(endpoint.requests() - before, requests, "{seconds}");
    }
    // Other errors do not make the token invalid.
    for error in ["invalid_request", "unsupported_response_type", "Unsupported_Token_Type", ""] {
        let endpoint = Endpoint::answering(400, json!({"error": error}).to_string());
        assert_eq!(provider.trusted_as(endpoint.issuer()).verdict("opaque").await, "R503", "{error}");
    }
    for status in [200, 401, 404, 500] {
        let endpoint = Endpoint::answering(status, &unsupported);
        assert_eq!(provider.trusted_as(endpoint.issuer()).verdict("opaque").await, "R503", "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_check_needs_a_server_that_introspects_jwts() {
    let unsupported = json!({"error": "unsupported_token_type"}).to_string();
    let endpoint = Endpoint::answering(400, unsupported);
    let provider = Provider::new(ISSUER);
    let keys = JwkSet::from_json(provider.issuer.jwk_set().to_string()).unwrap();
    let issuer = Issuer::with_jwks(ISSUER, keys).introspection_endpoint(format!("{ISSUER}/introspect"));
    let issuer = issuer.introspect_opaque(credentials()).http_client(endpoint.clone());
    let token = provider.sign(&provider.claims());
    let checking = provider.trusted_as(issuer.clone().revocation_check(Duration::from_secs(60)));
    assert_eq!(checking.outcome(&token).await, Err(RejectionKind::Misconfigured));
    assert_eq!(checking.outcome("opaque").await, Err(invalid(CheckFailure::Inactive)));
    assert_eq!(provider.trusted_as(issuer).verdict(&token).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_client_is_a_configuration_mistake() {
    const PAGE: &str = "<!doctype html><h1>403 Forbidden</h1>";
    let misconfigured = RejectionKind::Misconfigured;
    let unavailable = unavailable();
    for (status, body, kind) in [
        // glewlwyd, django-oauth-toolkit and Keycloak. Other servers answer like this for unknown tokens.
        (401, "", unavailable),
        (403, PAGE, unavailable),
        (401, r#"{"error":"invalid_request","error_description":"Authentication failed."}"#, unavailable),
        (401, PAGE, unavailable),
        (403, "", unavailable),
        (403, r#"{"active":true}"#, unavailable),
        (401, r#"{"error":"invalid_client"}"#, misconfigured),
        (400, r#"{"error":"invalid_client"}"#, misconfigured),
        (400, r#"{"error":"unauthorized_client"}"#, misconfigured),
    ] {
        let endpoint = Endpoint::answering(status, body);
        let provider = Provider::new(ISSUER);
        let app = provider.trusted_as(endpoint.issuer());
        assert_eq!(app.outcome("opaque").await, Err(kind), "{status} {body}");
        let answer = app.answer("opaque").await;
        assert_eq!(answer.verdict(), "R503", "{status} {body}");
        assert!(matches!(answer.header("retry-after"), Some("5" | "6")), "{status} {body}");
        assert!(answer.header("www-authenticate").is_none(), "{status} {body}: clients would discard the token");
        // After a repair, the token is accepted after the pause at the latest. No result was cached.
        tokio::time::advance(Duration::from_secs(5)).await;
        endpoint.set_response(200, active(json!({})));
        assert_eq!(app.verdict("opaque").await, "OK", "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_active_token_must_be_an_access_token_for_this_resource() {
    for (what, answer, expected) in [
        // Keycloak since 26.6.2, if the caller is not in `aud`.
        ("caller not in aud", json!({"active": false}).to_string(), Some(CheckFailure::Inactive)),
        ("django-oauth-toolkit", active(json!({})), None),
        ("Logto", json!({"active": true, "sub": "u"}).to_string(), Some(CheckFailure::NoAudience)),
        (
            "glewlwyd, refresh token",
            active(json!({"token_type": "refresh_token", "aud": "public-client"})),
            Some(CheckFailure::Audience),
        ),
        (
            "refresh token for this resource",
            active(json!({"token_type": "refresh_token"})),
            Some(CheckFailure::TokenType),
        ),
        ("refresh token without audience", active(json!({"aud": null})), Some(CheckFailure::NoAudience)),
        (
            "Keycloak, refresh token",
            active(json!({"typ": "Refresh", "token_type": "Refresh"})),
            Some(CheckFailure::TokenType),
        ),
        ("ID token", active(json!({"typ": "ID", "aud": [RESOURCE, "c"]})), Some(CheckFailure::TokenType)),
        (
            "with DPoP",
            active(json!({"token_type": "DPoP", "cnf": {"jkt": "x"}})),
            Some(CheckFailure::SenderConstrained),
        ),
        ("nanoidp", active(json!({"iss": ISSUER, "token_use": "access", "token_type": "Bearer"})), None),
    ] {
        let endpoint = Endpoint::answering(200, answer);
        let provider = Provider::new(ISSUER);
        let outcome = provider.trusted_as(endpoint.issuer()).outcome("opaque").await;
        assert_eq!(outcome.err(), expected.map(invalid), "{what}");
    }
    // Even if a missing audience is accepted, `token_type` is checked.
    for (members, is_valid) in [
        (json!({"aud": null, "token_type": "Bearer"}), true),
        (json!({"aud": null, "token_type": "refresh_token"}), false),
    ] {
        let endpoint = Endpoint::answering(200, active(members.clone()));
        let provider = Provider::new(ISSUER);
        let waived = provider.trusted_as(endpoint.issuer().dangerously_accept_missing_audience());
        assert_eq!(waived.outcome("opaque").await.is_ok(), is_valid, "{members}");
        assert_eq!(provider.trusted_as(endpoint.issuer()).verdict("opaque").await, "R401", "{members}");
    }
}
