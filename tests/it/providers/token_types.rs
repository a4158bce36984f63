//! Token types: a token that is marked as another kind of token is not an access token. Keycloak marks the payload with
//! `typ`, and Cognito with `token_use`. Other servers leave ID and refresh tokens to be recognized by their claims.
//! Many set the header `typ` to `JWT` or omit it.

use mcp_bearer::Issuer;
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use super::provider::{Configure, Provider, invalid, with};
use crate::support::ISSUER;

#[tokio::test(start_paused = true)]
async fn typ_must_be_an_access_token_type_or_jwt_or_absent() {
    let provider = Provider::new(ISSUER);
    let lenient = provider.trusted_as(provider.by_default());
    let strict = provider.trusted_as(provider.by_default().require_at_jwt());
    let introspected = provider.trusted_as(provider.introspecting());
    // The default, `require_at_jwt`, and introspection of JWTs.
    for (typ, verdicts) in [
        (json!("at+jwt"), [true, true, true]),
        (json!("AT+JWT"), [true, true, true]),
        (json!("At+Jwt"), [true, true, true]),
        (json!("application/at+jwt"), [true, true, true]),
        (json!("Application/AT+JWT"), [true, true, true]),
        (json!("JWT"), [true, false, true]),
        (json!("jwt"), [true, false, true]),
        (json!("application/jwt"), [true, false, true]),
        (Value::Null, [true, false, true]),
        (json!("ID"), [false, false, false]),
        (json!("Bearer"), [false, false, false]),
        (json!("id_token+jwt"), [false, false, false]),
        (json!("refresh+jwt"), [false, false, false]),
        (json!("rt+jwt"), [false, false, false]),
        (json!("logout+jwt"), [false, false, false]),
        (json!("dpop+jwt"), [false, false, false]),
        (json!("oauth-id-jag+jwt"), [false, false, false]),
        (json!("token-introspection+jwt"), [false, false, false]),
        (json!("application/application/jwt"), [false, false, false]),
        (json!("text/jwt"), [false, false, false]),
        (json!(""), [false, false, false]),
    ] {
        let claims = with(provider.claims(), json!({"client_id": "c", "jti": "j"}));
        let token = provider.sign_with(&json!({"typ": typ}), &claims);
        for (app, is_valid) in [&lenient, &strict, &introspected].into_iter().zip(verdicts) {
            let requests = provider.issuer.total_requests();
            let failure = app.outcome(&token).await.err();
            assert_eq!(failure, (!is_valid).then_some(invalid(CheckFailure::TokenType)), "{typ}");
            assert!(is_valid || provider.issuer.total_requests() == requests, "{typ}: the token caused a request");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn claims_of_other_token_types_are_checked_everywhere() {
    let provider = Provider::new(ISSUER);
    let local = provider.trusted_as(provider.by_default());
    let introspected = provider.trusted_as(provider.introspecting());
    const REJECTED: [bool; 4] = [false; 4];
    const ACCEPTED: [bool; 4] = [true; 4];
    // Claims of an ID token are ignored in a JWT with `typ: at+jwt`, and in an introspected JWT whose response lacks
    // them.
    const LIKE_ID_TOKEN: [bool; 4] = [false, true, false, true];
    // In this order: an untyped JWT, a JWT with `typ: at+jwt`, the response for an opaque token, and an introspected
    // untyped JWT whose response contains no marks.
    for (marks, verdicts) in [
        // Keycloak.
        (json!({"typ": "Bearer"}), ACCEPTED),
        (json!({"typ": "ID"}), REJECTED),
        (json!({"typ": "Refresh"}), REJECTED),
        (json!({"typ": "Offline"}), REJECTED),
        (json!({"typ": "Logout"}), REJECTED),
        (json!({"typ": "id"}), REJECTED),
        (json!({"typ": "Bearer", "nonce": "n"}), ACCEPTED),
        // Cognito.
        (json!({"token_use": "access"}), ACCEPTED),
        (json!({"token_use": "id"}), REJECTED),
        (json!({"token_use": "ID"}), REJECTED),
        (json!({"token_use": "refresh"}), REJECTED),
        (json!({"token_use": "access", "nonce": "n"}), ACCEPTED),
        // Other servers.
        (json!({"type": "access_token"}), ACCEPTED),
        (json!({"type": "refresh_token"}), REJECTED),
        (json!({"type": "id_token"}), REJECTED),
        (json!({"token_type": "Bearer"}), ACCEPTED),
        (json!({"token_type": "refresh_token"}), REJECTED),
        (json!({"token_type": "N_A"}), REJECTED),
        (json!({"nonce": "n"}), LIKE_ID_TOKEN),
        (json!({"at_hash": "x"}), LIKE_ID_TOKEN),
        (json!({"c_hash": "x"}), LIKE_ID_TOKEN),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), REJECTED),
        // Claims that do not tell the kind of token.
        (json!({"idtyp": "app", "gty": "client-credentials", "ver": "2.0"}), ACCEPTED),
        (json!({"auth_time": 1_800_000_000, "acr": "1", "sid": "s"}), ACCEPTED),
    ] {
        let claims = with(provider.claims(), marks.clone());
        let untyped = provider.sign_with(&json!({"typ": "JWT"}), &claims);
        let typed = provider.sign_with(&json!({"typ": "at+jwt"}), &claims);
        let confirmed = provider.sign_with(&json!({"typ": "JWT"}), &with(claims.clone(), json!({"jti": "confirmed"})));
        provider.answer(&confirmed, &provider.claims());
        let outcome = [
            local.outcome(&untyped).await,
            local.outcome(&typed).await,
            introspected.outcome(&provider.opaque(&claims)).await,
            introspected.outcome(&confirmed).await,
        ];
        for (number, (outcome, is_valid)) in outcome.into_iter().zip(verdicts).enumerate() {
            let rejected = (!is_valid).then_some(invalid(CheckFailure::TokenType));
            assert_eq!(outcome.err(), rejected, "{marks}, case {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_jwt_marked_as_another_type_is_not_introspected() {
    let provider = Provider::new(ISSUER);
    let introspected = provider.introspecting().introspection_endpoint(format!("{ISSUER}/introspect"));
    let app = provider.trusted_as(introspected);
    for marks in
        [json!({"typ": "ID"}), json!({"token_use": "id"}), json!({"type": "refresh_token"}), json!({"cnf": {}})]
    {
        let token = provider.sign(&with(provider.claims(), marks.clone()));
        provider.answer(&token, &provider.claims());
        assert_eq!(app.verdict(&token).await, "R401", "{marks}");
        assert_eq!(provider.issuer.total_requests(), 0, "{marks}");
    }
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn require_at_jwt_needs_a_subject() {
    let provider = Provider::new(ISSUER);
    let claims = with(provider.claims(), json!({"sub": null}));
    for (configure, is_valid) in [((|issuer| issuer) as Configure, true), (Issuer::require_at_jwt, false)] {
        let app = provider.trusted_as(configure(provider.by_default()));
        let failure = app.outcome(&provider.sign(&claims)).await.err();
        assert_eq!(failure, (!is_valid).then_some(invalid(CheckFailure::Claims)));
    }
}
