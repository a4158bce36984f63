//! Forms of claims: `null` for unknown values, and scopes in strings, arrays and objects.

use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};

use super::provider::{Provider, build, invalid, with};
use crate::support::{ISSUER, RESOURCE};

/// The claims of a valid token with these members. Here, `null` is a value.
fn with_members(provider: &Provider, members: &Value) -> Value {
    let mut claims = provider.claims();
    claims.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    claims
}

#[tokio::test(start_paused = true)]
async fn null_means_absent_in_claims() {
    let provider = Provider::new(ISSUER);
    let (local, introspected) =
        (provider.trusted_as(provider.by_default()), provider.trusted_as(provider.introspecting()));
    for name in [
        "sub",
        "nbf",
        "iat",
        "scope",
        "scp",
        "scopes",
        "client_id",
        "azp",
        "cid",
        "appid",
        "typ",
        "token_use",
        "token_type",
        "type",
        "nonce",
        "at_hash",
        "c_hash",
        "events",
        "roles",
        "jti",
        "tfp",
        "acr",
        "resource",
        "anything",
    ] {
        let claims = with_members(&provider, &json!({name: null}));
        assert_eq!(local.verdict(&provider.sign_with(&json!({}), &claims)).await, "OK", "{name}");
        assert_eq!(introspected.verdict(&provider.opaque(&claims)).await, "OK", "{name}, introspected");
    }
    for name in ["iss", "aud", "exp", "cnf"] {
        let token = provider.sign(&with_members(&provider, &json!({name: null})));
        assert_eq!(local.outcome(&token).await.err(), Some(invalid(CheckFailure::Claims)), "{name}");
    }
    for (members, scopes) in [
        (json!({"scope": null, "scp": "mcp:tools"}), "mcp:tools"),
        (json!({"scope": null, "scp": ["mcp:tools"]}), "mcp:tools"),
        (json!({"scope": null, "scp": null, "scopes": ["mcp:tools"]}), "mcp:tools"),
        (json!({"scope": null, "scp": null, "scopes": null}), ""),
    ] {
        for outcome in provider.outcomes(|issuer| issuer, &with_members(&provider, &members)).await {
            assert_eq!(outcome.unwrap().1, scopes, "{members}");
        }
    }
    // A repeated name is malformed, even if one of its values is `null`.
    let claims = provider.claims().to_string();
    for repeated in [r#""scope":null,"scope":"admin","#, r#""scope":"admin","scope":null,"#, r#""sub":null,"#] {
        let payload = claims.replacen('{', &format!("{{{repeated}"), 1);
        let header = json!({"alg": "ES256", "kid": provider.issuer.key_id(), "typ": "at+jwt"}).to_string();
        let token = provider.issuer.sign_raw(&provider.issuer.key_id(), header, payload);
        assert_eq!(local.outcome(&token).await.err(), Some(invalid(CheckFailure::Claims)), "{repeated}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subject_is_a_string() {
    let provider = Provider::new(ISSUER);
    let (local, introspected) =
        (provider.trusted_as(provider.by_default()), provider.trusted_as(provider.introspecting()));
    for sub in [json!(1), json!(true), json!(["alice"]), json!({"id": "alice"}), json!(1.5), json!([])] {
        let claims = with(provider.claims(), json!({"sub": sub}));
        assert_eq!(local.outcome(&provider.sign(&claims)).await.err(), Some(invalid(CheckFailure::Claims)), "{sub}");
        // An introspection response with such a claim is malformed.
        assert_eq!(introspected.verdict(&provider.opaque(&claims)).await, "R503", "{sub}");
    }
}

#[tokio::test(start_paused = true)]
async fn scopes_are_a_string_or_an_array_of_strings() {
    let provider = Provider::new(ISSUER);
    for value in [
        json!(1),
        json!(true),
        json!({}),
        json!({"admin": true}),
        json!([1]),
        json!(["admin", 1]),
        json!([null, "admin"]),
        json!([["admin"]]),
        json!(["admin", {"name": "root"}]),
    ] {
        for name in ["scope", "scp", "scopes"] {
            let claims = with(provider.claims(), json!({name: value}));
            let app = provider.trusted_as(provider.by_default());
            let failure = app.outcome(&provider.sign(&claims)).await.err();
            assert_eq!(failure, Some(invalid(CheckFailure::Claims)), "{name} {value}");
            assert_eq!(provider.trusted_as(provider.introspecting()).verdict(&provider.opaque(&claims)).await, "R503");
        }
        // At a configured location, the names of an object are scopes.
        if value.is_object() {
            continue;
        }
        for pointer in ["/permissions", "/realm_access/roles"] {
            let claims = match pointer {
                "/permissions" => json!({"scope": "s", "permissions": value}),
                _ => json!({"scope": "s", "realm_access": {"roles": value}}),
            };
            let claims = with(provider.claims(), claims);
            for outcome in provider.outcomes(|issuer| issuer.scope_claim(pointer), &claims).await {
                assert_eq!(outcome.err(), Some(invalid(CheckFailure::Claims)), "{pointer} {value}");
            }
            // By default, this location is not read.
            for outcome in provider.outcomes(|issuer| issuer, &claims).await {
                assert_eq!(outcome.unwrap().1, "s", "{pointer} {value}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_with_malformed_scopes_causes_no_request() {
    let provider = Provider::new(ISSUER);
    let app = provider.trusted_as(provider.by_default().scope_claim("/roles"));
    let token = provider.sign(&with(provider.claims(), json!({"roles": ["admin", 1]})));
    assert_eq!(app.outcome(&token).await.err(), Some(invalid(CheckFailure::Claims)));
    assert_eq!(provider.issuer.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_names_of_an_object_are_roles() {
    let provider = Provider::new(ISSUER);
    // The claim of Zitadel.
    const ROLES: &str = "urn:zitadel:iam:org:project:roles";
    for (roles, expected) in [
        (json!({"notes:admin": {"2208": "acme.example.com"}}), Ok("s notes:admin")),
        (json!({"a": {"1": "x"}, "b": {"2": "y"}}), Ok("s a b")),
        (json!({"a": {}, "two words": {}}), Ok("s a")),
        (json!({"a": true, "b": false, "c": null}), Ok("s a")),
        (json!({}), Ok("s")),
        (json!({"a": {}, "b": 1}), Err(invalid(CheckFailure::Claims))),
        (json!({"a": "no"}), Err(invalid(CheckFailure::Claims))),
        (json!({"a": ["x"]}), Err(invalid(CheckFailure::Claims))),
    ] {
        let claims = with(provider.claims(), json!({"scope": "s", ROLES: roles}));
        for outcome in provider.outcomes(|issuer| issuer.scope_claim(format!("/{ROLES}")), &claims).await {
            assert_eq!(outcome.as_ref().map(|outcome| outcome.1.as_str()).map_err(|kind| *kind), expected, "{roles}");
        }
    }
}

#[test]
fn a_pointer_that_can_never_match_is_an_error_with_a_suggestion() {
    for (pointer, repair) in [
        ("https://example.com/roles", Some("\"/https:~1~1example.com~1roles\"")),
        ("/https://example.com/roles", Some("\"/https:~1~1example.com~1roles\"")),
        ("http://example.com", Some("\"/http:~1~1example.com\"")),
        ("permissions", Some("\"/permissions\"")),
        ("realm_access/roles", Some("\"/realm_access~1roles\"")),
        ("", Some("JSON pointer")),
        ("/a~b", Some("\"~0\"")),
        ("/a~", Some("\"~0\"")),
        ("/a~2", Some("\"~0\"")),
        ("/https:~1~1example.com~1roles", None),
        ("/urn:zitadel:iam:org:project:roles", None),
        ("/realm_access/roles", None),
        ("/a~0b", None),
    ] {
        let issuer = Issuer::discover(ISSUER).scope_claim(pointer);
        let error = build(ResourceServer::builder(RESOURCE).issuer(issuer)).err();
        assert_eq!(error.as_ref().map(|error| error.kind()), repair.map(|_| BuildErrorKind::Setting), "{pointer}");
        let shows = |repair: &str| error.as_ref().unwrap().to_string().contains(repair);
        assert!(repair.is_none_or(shows), "{pointer}: {error:?}");
    }
}
