//! Point 3: what names itself something else is no access token. Keycloak marks the payload (`typ`), Cognito too
//! (`token_use`), others leave ID tokens and refresh tokens to be told by what is in them; many leave the header's `typ`
//! at `JWT`, or out.

use mcp_bearer::Issuer;
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use super::provider::{Configure, Provider, invalid, with};
use crate::support::ISSUER;

#[tokio::test(start_paused = true)]
async fn the_header_names_an_access_token_or_nothing_in_particular() {
    let provider = Provider::new(ISSUER);
    let lenient = provider.trusted_as(provider.by_default());
    let strict = provider.trusted_as(provider.by_default().require_at_jwt());
    let asked = provider.trusted_as(provider.asked());
    // By default; where RFC 9068 is required; where the authorization server is asked about JWTs.
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
        for (door, is_good) in [&lenient, &strict, &asked].into_iter().zip(verdicts) {
            let requests = provider.issuer.total_requests();
            let failure = door.judge(&token).await.err();
            assert_eq!(failure, (!is_good).then_some(invalid(CheckFailure::TokenType)), "{typ}");
            assert!(is_good || provider.issuer.total_requests() == requests, "{typ}: somebody was asked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn marks_of_other_tokens_count_wherever_they_stand() {
    let provider = Provider::new(ISSUER);
    let here = provider.trusted_as(provider.by_default());
    let asked = provider.trusted_as(provider.asked());
    const REFUSED: [bool; 4] = [false; 4];
    const GOOD: [bool; 4] = [true; 4];
    // Of an ID token: a header that says "access token" knows better, and so does an answer about the token.
    const LIKE_ID_TOKEN: [bool; 4] = [false, true, false, true];
    // In a JWT of no particular type; in one that is typed as an access token; in an answer about an opaque token; in a
    // JWT of no particular type of which the answer says nothing but good.
    for (marks, verdicts) in [
        // Keycloak.
        (json!({"typ": "Bearer"}), GOOD),
        (json!({"typ": "ID"}), REFUSED),
        (json!({"typ": "Refresh"}), REFUSED),
        (json!({"typ": "Offline"}), REFUSED),
        (json!({"typ": "Logout"}), REFUSED),
        (json!({"typ": "id"}), REFUSED),
        (json!({"typ": "Bearer", "nonce": "n"}), GOOD),
        // Cognito.
        (json!({"token_use": "access"}), GOOD),
        (json!({"token_use": "id"}), REFUSED),
        (json!({"token_use": "ID"}), REFUSED),
        (json!({"token_use": "refresh"}), REFUSED),
        (json!({"token_use": "access", "nonce": "n"}), GOOD),
        // Others.
        (json!({"type": "access_token"}), GOOD),
        (json!({"type": "refresh_token"}), REFUSED),
        (json!({"type": "id_token"}), REFUSED),
        (json!({"token_type": "Bearer"}), GOOD),
        (json!({"token_type": "refresh_token"}), REFUSED),
        (json!({"token_type": "N_A"}), REFUSED),
        (json!({"nonce": "n"}), LIKE_ID_TOKEN),
        (json!({"at_hash": "x"}), LIKE_ID_TOKEN),
        (json!({"c_hash": "x"}), LIKE_ID_TOKEN),
        (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), REFUSED),
        // Of no meaning here.
        (json!({"idtyp": "app", "gty": "client-credentials", "ver": "2.0"}), GOOD),
        (json!({"auth_time": 1_800_000_000, "acr": "1", "sid": "s"}), GOOD),
    ] {
        let claims = with(provider.claims(), marks.clone());
        let unspecific = provider.sign_with(&json!({"typ": "JWT"}), &claims);
        let typed = provider.sign_with(&json!({"typ": "at+jwt"}), &claims);
        let vouched = provider.sign_with(&json!({"typ": "JWT"}), &with(claims.clone(), json!({"jti": "vouched"})));
        provider.answer(&vouched, &provider.claims());
        let judged = [
            here.judge(&unspecific).await,
            here.judge(&typed).await,
            asked.judge(&provider.opaque(&claims)).await,
            asked.judge(&vouched).await,
        ];
        for (number, (judged, is_good)) in judged.into_iter().zip(verdicts).enumerate() {
            let refused = (!is_good).then_some(invalid(CheckFailure::TokenType));
            assert_eq!(judged.err(), refused, "{marks}, presented in way {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_a_jwt_that_names_itself_something_else() {
    let provider = Provider::new(ISSUER);
    let asked = provider.asked().introspection_endpoint(format!("{ISSUER}/introspect"));
    let door = provider.trusted_as(asked);
    for marks in
        [json!({"typ": "ID"}), json!({"token_use": "id"}), json!({"type": "refresh_token"}), json!({"cnf": {}})]
    {
        let token = provider.sign(&with(provider.claims(), marks.clone()));
        provider.answer(&token, &provider.claims());
        assert_eq!(door.verdict(&token).await, "R401", "{marks}");
        assert_eq!(provider.issuer.total_requests(), 0, "{marks}");
    }
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn required_access_tokens_have_a_subject_too() {
    let provider = Provider::new(ISSUER);
    let claims = with(provider.claims(), json!({"sub": null}));
    for (configure, is_good) in [((|issuer| issuer) as Configure, true), (Issuer::require_at_jwt, false)] {
        let door = provider.trusted_as(configure(provider.by_default()));
        let failure = door.judge(&provider.sign(&claims)).await.err();
        assert_eq!(failure, (!is_good).then_some(invalid(CheckFailure::Claims)));
    }
}
