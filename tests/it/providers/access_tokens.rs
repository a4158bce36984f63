//! Tokens that are not access tokens, and access tokens that look like other tokens: refresh tokens of Logto, ID tokens
//! of Spring, access tokens of Dex and of Azure AD B2C.

use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{BuildErrorKind, Issuer};
use serde_json::{Value, json};

use super::provider::{Configure, Provider, build, credentials, invalid, with};
use crate::support::{ISSUER, RESOURCE};

const CLIENT: &str = "mcp-client";

#[tokio::test(start_paused = true)]
async fn a_response_without_audience_and_token_type_is_rejected_unless_configured() {
    let anyone: Configure = Issuer::dangerously_accept_missing_audience;
    let listed: Configure = |issuer| issuer.dangerously_accept_clients_without_audience(["app"]);
    let untyped_anyone: Configure =
        |issuer| issuer.dangerously_accept_missing_audience().dangerously_accept_missing_token_type();
    let untyped_listed: Configure =
        |issuer| issuer.dangerously_accept_clients_without_audience(["app"]).dangerously_accept_missing_token_type();
    let rejected = Some(invalid(CheckFailure::TokenType));
    // The refresh tokens of Logto differ from its access tokens only in the missing `token_type`.
    for (members, strict, waived) in [
        (json!({}), rejected, None),
        (json!({"token_type": null}), rejected, None),
        (json!({"aud": []}), rejected, None),
        (json!({"token_use": "access"}), rejected, None),
        (json!({"token_type": "Bearer"}), None, None),
        (json!({"token_type": "bearer", "token_use": "access_token"}), None, None),
        (json!({"token_type": "Bearer", "token_use": null}), None, None),
        (json!({"token_type": "refresh_token"}), rejected, rejected),
        (json!({"token_type": "Bearer", "token_use": "refresh_token"}), rejected, rejected),
        (json!({"token_type": "Bearer", "token_use": "id"}), rejected, rejected),
        (json!({"token_type": "Bearer", "token_use": ""}), rejected, rejected),
        (json!({"token_type": "Bearer", "typ": "Refresh"}), rejected, rejected),
        // With an audience, `token_type` is not required.
        (json!({"aud": RESOURCE}), None, None),
    ] {
        for (configure, expected) in
            [(anyone, strict), (listed, strict), (untyped_anyone, waived), (untyped_listed, waived)]
        {
            let provider = Provider::new(ISSUER);
            let answer =
                with(json!({"active": true, "scope": "read:notes", "client_id": "app", "sub": "u"}), json!({}));
            let mut answer = with(answer, json!({"exp": 1_801_209_600}));
            // Here, `null` is a value and does not remove a member.
            answer.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let token = provider.issuer.token().opaque();
            provider.issuer.introspection_answer(&token, answer);
            let app = provider.trusted_as(configure(provider.introspecting()));
            assert_eq!(app.outcome(&token).await.err(), expected, "{members}");
        }
    }
}

#[test]
fn accepting_a_missing_token_type_needs_a_setting_for_missing_audiences() {
    let introspected = || Issuer::discover(ISSUER).introspect_all(credentials());
    for (issuer, is_valid) in [
        (introspected().dangerously_accept_missing_token_type(), false),
        (Issuer::discover(ISSUER).dangerously_accept_missing_audience().dangerously_accept_missing_token_type(), false),
        (introspected().dangerously_accept_missing_audience().dangerously_accept_missing_token_type(), true),
    ] {
        let built = build(mcp_bearer::ResourceServer::builder(RESOURCE).issuer(issuer));
        let kind = built.err().map(|error| error.kind());
        assert_eq!(kind, (!is_valid).then_some(BuildErrorKind::Setting));
    }
}

/// An ID token of Spring Authorization Server, without `typ`, `nonce` and `at_hash`.
fn id_token(provider: &Provider) -> Value {
    with(provider.claims(), json!({"aud": CLIENT, "azp": CLIENT, "auth_time": 1_800_000_000, "sid": "s", "jti": "j"}))
}

#[tokio::test(start_paused = true)]
async fn a_token_with_only_a_client_id_as_audience_must_be_recognizable_as_an_access_token() {
    let provider = Provider::new(ISSUER);
    let by_client: Configure = |issuer| issuer.accept_client_id_as_audience(CLIENT);
    let with_roles: Configure = |issuer| issuer.accept_client_id_as_audience(CLIENT).scope_claim("/realm/roles");
    for (configure, members, is_valid) in [
        (by_client, json!({}), false),
        (by_client, json!({"aud": [CLIENT]}), false),
        (by_client, json!({"aud": [CLIENT, "another"]}), false),
        (by_client, json!({"scope": ""}), false),
        (by_client, json!({"scope": " "}), false),
        (by_client, json!({"scope": []}), false),
        (by_client, json!({"scp": []}), false),
        (by_client, json!({"roles": []}), false),
        (by_client, json!({"roles": {"admin": true}}), false),
        (by_client, json!({"groups": ["admin"], "permissions": ["p"]}), false),
        (by_client, json!({"realm": {"roles": ["r"]}}), false),
        (by_client, json!({"scope": "openid"}), true),
        (by_client, json!({"scope": ["notes"]}), true),
        (by_client, json!({"scp": "notes"}), true),
        (by_client, json!({"scopes": ["notes"]}), true),
        (by_client, json!({"roles": ["Mcp.Call"]}), true),
        (with_roles, json!({"realm": {"roles": ["r"]}}), true),
        (with_roles, json!({"realm": {"roles": []}}), false),
        // The audience of an access token, beside the client id.
        (by_client, json!({"aud": [CLIENT, RESOURCE]}), true),
        (by_client, json!({"aud": RESOURCE}), true),
        // Other claims that mark an ID token still count.
        (by_client, json!({"scope": "openid", "nonce": "n"}), false),
        (by_client, json!({"scope": "openid", "typ": "ID"}), false),
        (by_client, json!({"scope": "openid", "token_use": "id"}), false),
    ] {
        let claims = with(id_token(&provider), members.clone());
        let expected = (!is_valid).then_some(invalid(CheckFailure::TokenType));
        let local = provider.trusted_as(configure(provider.by_default()));
        let jwt = provider.sign_with(&json!({}), &claims);
        // The second result may come from the cache of verified tokens.
        for _ in 0..2 {
            assert_eq!(local.outcome(&jwt).await.err(), expected, "{members}");
        }
        let introspected = provider.trusted_as(configure(provider.introspecting()));
        let answer = with(claims, json!({"token_type": "Bearer"}));
        assert_eq!(introspected.outcome(&provider.opaque(&answer)).await.err(), expected, "{members}, introspected");
    }
    let local = provider.trusted_as(by_client(provider.by_default()));
    let typed = provider.sign_with(&json!({"typ": "at+jwt"}), &id_token(&provider));
    assert_eq!(local.verdict(&typed).await, "OK");
    for other in ["another", "MCP-CLIENT", ""] {
        let token = provider.sign(&with(id_token(&provider), json!({"aud": other, "scope": "a"})));
        assert_eq!(local.outcome(&token).await.err(), Some(invalid(CheckFailure::Audience)), "{other}");
    }
}

#[test]
fn a_client_id_is_configured_as_an_audience_in_one_way_only() {
    for (issuer, part) in [
        (Issuer::discover(ISSUER).accept_client_id_as_audience(""), "audience is empty"),
        (
            Issuer::discover(ISSUER).accept_audience(CLIENT).accept_client_id_as_audience(CLIENT),
            "`accept_client_id_as_audience(\"mcp-client\")` has no effect",
        ),
        (Issuer::discover(ISSUER).accept_client_id_as_audience(RESOURCE), "or as the resource"),
    ] {
        let error = build(mcp_bearer::ResourceServer::builder(RESOURCE).issuer(issuer)).unwrap_err();
        assert!(error.kind() == BuildErrorKind::Setting && error.to_string().contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_tokens_with_claims_of_an_id_token_need_a_setting() {
    let provider = Provider::new(ISSUER);
    for members in [
        json!({"at_hash": "Tn2lr4rJ2rJmFrzQ", "email": "user@example.com", "groups": ["eng"]}),
        json!({"nonce": "n"}),
        json!({"c_hash": "h"}),
        json!({"nonce": "n", "at_hash": "h", "c_hash": "h"}),
    ] {
        let claims = with(provider.claims(), members.clone());
        for (configure, expected) in [
            ((|issuer| issuer) as Configure, Some(invalid(CheckFailure::TokenType))),
            (Issuer::dangerously_accept_id_token_claims, None),
        ] {
            let local = provider.trusted_as(configure(provider.by_default()));
            let introspected = provider.trusted_as(configure(provider.introspecting()));
            assert_eq!(local.outcome(&provider.sign_with(&json!({}), &claims)).await.err(), expected, "{members}");
            assert_eq!(
                introspected.outcome(&provider.opaque(&claims)).await.err(),
                expected,
                "{members}, introspected"
            );
        }
    }
    // Tokens that other claims mark as not being access tokens are still rejected.
    let local = provider.trusted_as(provider.by_default().dangerously_accept_id_token_claims());
    for members in [json!({"typ": "ID"}), json!({"token_use": "id"}), json!({"events": {}}), json!({"cnf": {}})] {
        let claims = with(provider.claims(), with(members.clone(), json!({"nonce": "n"})));
        assert_eq!(local.verdict(&provider.sign_with(&json!({}), &claims)).await, "R401", "{members}");
    }
}

#[tokio::test(start_paused = true)]
async fn access_tokens_and_id_tokens_of_azure_ad_b2c_are_distinguished() {
    const TENANT: &str = "https://contoso.b2clogin.com/775527ff-9a37-4307-8b3d-cc311f58d925/v2.0/";
    for (url, members, is_valid) in [
        (ISSUER, json!({}), true),
        (TENANT, json!({}), true),
        (TENANT, json!({"tfp": null}), true),
        (ISSUER, json!({"tfp": null, "acr": "b2c_1a_signin"}), true),
        (ISSUER, json!({"tfp": null, "acr": "B2C_1_SignUpIn"}), true),
        // An ID token of the same server, and other tokens.
        (TENANT, json!({"scp": null, "c_hash": "h"}), false),
        (TENANT, json!({"scp": null}), false),
        (TENANT, json!({"c_hash": "h"}), false),
        (TENANT, json!({"at_hash": "h"}), false),
        (TENANT, json!({"azp": null}), false),
        (TENANT, json!({"scp": ""}), false),
        (TENANT, json!({"scp": null, "scope": "read"}), false),
        (ISSUER, json!({"tfp": null}), false),
        (ISSUER, json!({"tfp": null, "acr": "1"}), false),
        ("https://b2clogin.com.evil.example/t/v2.0/", json!({"tfp": null}), false),
    ] {
        let provider = Provider::new(url);
        let claims = json!({"aud": "6f1e0000", "tfp": "B2C_1_SignUpIn", "nonce": "defaultNonce", "azp": "12340000",
            "scp": "App.Write App.Read", "ver": "1.0"});
        let claims = with(with(provider.claims(), claims), members.clone());
        let token = provider.sign_with(&json!({"typ": "JWT"}), &claims);
        let expected = (!is_valid).then_some(invalid(CheckFailure::TokenType));
        for accepted in [
            provider.by_default().accept_audience("6f1e0000"),
            provider.by_default().accept_client_id_as_audience("6f1e0000"),
        ] {
            assert_eq!(provider.trusted_as(accepted).outcome(&token).await.err(), expected, "{url} {members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn required_access_tokens_have_all_claims_of_rfc_9068() {
    let provider = Provider::new(ISSUER);
    let strict = provider.trusted_as(provider.by_default().require_at_jwt());
    let lenient = provider.trusted_as(provider.by_default());
    let complete = with(provider.claims(), json!({"client_id": "app", "jti": "1"}));
    assert_eq!(strict.verdict(&provider.sign(&complete)).await, "OK");
    for (name, wrong) in [
        ("sub", json!(["", null])),
        ("client_id", json!(["", 1, null])),
        ("jti", json!(["", 1, null])),
        ("iat", json!([null])),
    ] {
        for wrong in wrong.as_array().unwrap() {
            let claims = with(complete.clone(), json!({name: wrong}));
            let token = provider.sign(&claims);
            assert_eq!(strict.outcome(&token).await.err(), Some(invalid(CheckFailure::Claims)), "{name} {wrong}");
            assert_eq!(lenient.verdict(&token).await, "OK", "{name} {wrong}");
        }
    }
    for (name, failure) in
        [("iss", CheckFailure::Issuer), ("aud", CheckFailure::NoAudience), ("exp", CheckFailure::NoExpiry)]
    {
        let token = provider.sign(&with(complete.clone(), json!({name: null})));
        assert_eq!(strict.outcome(&token).await.err(), Some(invalid(failure)), "{name}");
    }
    // `require_at_jwt` requires an audience, even if missing audiences are accepted.
    let waived = provider.by_default().require_at_jwt().dangerously_accept_missing_audience();
    let token = provider.sign(&with(complete, json!({"aud": null})));
    assert_eq!(provider.trusted_as(waived).outcome(&token).await.err(), Some(invalid(CheckFailure::Claims)));
}
