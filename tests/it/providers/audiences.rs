//! Audiences: a set of strings that are compared exactly, independent of the published resource. Keycloak writes an
//! array, Entra a GUID, Scalekit `res_...`, WorkOS `client_...`, and Cognito no audience.

use mcp_bearer::Issuer;
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use super::provider::{Configure, Provider, invalid, with};
use crate::support::{ISSUER, RESOURCE};

const GUID: &str = "6e74172b-0000-4000-8000-e66a39bb12e3";

/// The claims of a valid token with this audience. `null` means none.
fn with_audience(provider: &Provider, aud: &Value) -> Value {
    with(provider.claims(), json!({"aud": aud}))
}

#[tokio::test(start_paused = true)]
async fn audiences_are_compared_exactly() {
    let provider = Provider::new(ISSUER);
    for (aliases, aud, is_valid) in [
        (&[][..], json!(RESOURCE), true),
        (&[], json!([RESOURCE, "account"]), true),
        (&[], json!("account"), false),
        (&[], json!([GUID]), false),
        (&[GUID], json!(GUID), true),
        (&[GUID], json!([GUID]), true),
        (&[GUID], json!(["another", GUID]), true),
        // The resource itself is still accepted.
        (&[GUID], json!(RESOURCE), true),
        (&[GUID], json!(GUID.to_uppercase()), false),
        (&[GUID], json!(format!("api://{GUID}")), false),
        (&[GUID], json!(format!("{GUID}/.default")), false),
        (&[GUID], json!(&GUID[..8]), false),
        (&[GUID], json!(format!("{GUID} {RESOURCE}")), false),
        (&["api://ef1da9d4"], json!("api://ef1da9d4"), true),
        (&["api://ef1da9d4"], json!("api://ef1da9d4/"), false),
        (&["res_1", "client_01"], json!(["res_1"]), true),
        (&["res_1", "client_01"], json!("client_01"), true),
        (&["res_1", "client_01"], json!(["res_2", "res_10"]), false),
        (&["res_1", "client_01"], json!("res_1 client_01"), false),
        (&["https://api.example.com/"], json!("https://api.example.com"), false),
        (&["https://api.example.com/"], json!("https://API.example.com/"), false),
        (&["urn:logto:organization:org1"], json!("urn:logto:organization:org1"), true),
        (&["urn:logto:organization:org1"], json!("urn:logto:organization:org2"), false),
    ] {
        let claims = with_audience(&provider, &aud);
        let configure = |issuer: Issuer| aliases.iter().fold(issuer, |issuer, alias| issuer.accept_audience(*alias));
        for verdict in provider.outcomes(configure, &claims).await {
            let failure = verdict.err();
            assert_eq!(failure, (!is_valid).then_some(invalid(CheckFailure::Audience)), "{aliases:?} {aud}");
        }
        // These audiences apply to every issuer of the resource.
        let app = provider.app(|server| {
            aliases.iter().fold(server.issuer(provider.by_default()), |server, alias| server.accept_audience(*alias))
        });
        assert_eq!(app.outcome(&provider.sign(&claims)).await.is_ok(), is_valid, "{aliases:?} {aud}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_audience_alias_of_one_issuer_does_not_apply_to_another() {
    let (entra, keycloak) = (Provider::new("https://login.example.com"), Provider::new("https://kc.example.com"));
    let app = entra.app(|server| {
        server.issuer(entra.by_default().accept_audience(GUID)).issuer(keycloak.by_default().accept_audience("account"))
    });
    for (provider, aud, verdict) in
        [(&entra, GUID, "OK"), (&keycloak, "account", "OK"), (&entra, "account", "R401"), (&keycloak, GUID, "R401")]
    {
        let token = provider.sign(&with_audience(provider, &json!(aud)));
        assert_eq!(app.verdict(&token).await, verdict, "{} {aud}", provider.issuer.url());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_audience_is_rejected_unless_configured() {
    let provider = Provider::new(ISSUER);
    let none: Configure = |issuer| issuer;
    let clients: Configure = |issuer| issuer.dangerously_accept_clients_without_audience(["xxx", "yyy"]);
    let every: Configure = Issuer::dangerously_accept_missing_audience;
    for (setting, claims, is_valid) in [
        (none, json!({}), false),
        (none, json!({"client_id": "xxx"}), false),
        (none, json!({"aud": []}), false),
        (clients, json!({}), false),
        (clients, json!({"client_id": "xxx"}), true),
        (clients, json!({"client_id": "yyy"}), true),
        (clients, json!({"client_id": "XXX"}), false),
        (clients, json!({"client_id": "xxxx"}), false),
        (clients, json!({"client_id": ""}), false),
        (clients, json!({"client_id": ["xxx"]}), false),
        (clients, json!({"client_id": "xxx yyy"}), false),
        (clients, json!({"sub": "xxx"}), false),
        (clients, json!({"azp": "xxx"}), true),
        // The first claim that contains a client id decides.
        (clients, json!({"client_id": "zzz", "azp": "xxx"}), false),
        // A token with a wrong audience is rejected, whatever its client.
        (clients, json!({"client_id": "xxx", "aud": "another"}), false),
        (clients, json!({"client_id": "xxx", "aud": [""]}), false),
        (clients, json!({"client_id": "xxx", "aud": "xxx"}), false),
        (clients, json!({"client_id": "zzz", "aud": RESOURCE}), true),
        (every, json!({}), true),
        (every, json!({"aud": []}), true),
        (every, json!({"aud": "another"}), false),
        (every, json!({"aud": ["another", ""]}), false),
        (every, json!({"aud": RESOURCE}), true),
    ] {
        // Without an audience, an introspection response needs a `token_type`.
        let common = json!({"aud": null, "sub": "s", "token_type": "Bearer"});
        let claims = with(with(provider.claims(), common), claims);
        for verdict in provider.outcomes(setting, &claims).await {
            let has_audience = claims["aud"].is_string() || claims["aud"][0].is_string();
            let expected = if has_audience { CheckFailure::Audience } else { CheckFailure::NoAudience };
            assert_eq!(verdict.err(), (!is_valid).then_some(invalid(expected)), "{claims}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_introspection_response_may_contain_resource_in_place_of_aud() {
    let provider = Provider::new(ISSUER);
    let (local, introspected) =
        (provider.trusted_as(provider.by_default()), provider.trusted_as(provider.introspecting()));
    for (members, verdict) in [
        (json!({"resource": RESOURCE}), "OK"),
        (json!({"resource": ["https://other.example.com", RESOURCE]}), "OK"),
        (json!({"resource": "https://other.example.com"}), "R401"),
        (json!({"resource": []}), "R401"),
        // `aud` takes precedence.
        (json!({"aud": "https://other.example.com", "resource": RESOURCE}), "R401"),
        // An empty list counts as absent.
        (json!({"aud": [], "resource": RESOURCE}), "OK"),
        (json!({"aud": [], "resource": "https://other.example.com"}), "R401"),
        (json!({"aud": []}), "R401"),
        (json!({"aud": RESOURCE, "resource": "https://other.example.com"}), "OK"),
        // A response with a malformed audience is invalid.
        (json!({"resource": 1}), "R503"),
        (json!({"aud": {"resource": RESOURCE}}), "R503"),
    ] {
        let claims = with(with(provider.claims(), json!({"aud": null})), members.clone());
        assert_eq!(introspected.verdict(&provider.opaque(&claims)).await, verdict, "{members}");
        // In a JWT, `resource` is not used.
        let expected = if members["aud"] == RESOURCE { "OK" } else { "R401" };
        assert_eq!(local.verdict(&provider.sign(&claims)).await, expected, "{members}");
    }
}
