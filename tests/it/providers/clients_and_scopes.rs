//! Clients and scopes: vendors use different claims. Keycloak and Auth0 write `azp`, Okta `cid`, Entra `azp` or `appid`
//! (v1). Entra and Okta call scopes `scp`. Permissions and roles are scopes only if configured.

use axum::body::Body;
use http::Request;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::provider::{Provider, with};
use crate::support::{Answer, App, ISSUER, RESOURCE};

#[tokio::test(start_paused = true)]
async fn the_first_claim_with_a_client_id_counts() {
    let provider = Provider::new(ISSUER);
    for (members, expected) in [
        (json!({}), None),
        (json!({"client_id": "a", "azp": "b", "cid": "c", "appid": "d"}), Some("a")),
        (json!({"azp": "b", "cid": "c", "appid": "d"}), Some("b")),
        (json!({"cid": "c", "appid": "d"}), Some("c")),
        (json!({"appid": "d"}), Some("d")),
        // Empty values are skipped.
        (json!({"client_id": "", "azp": "b"}), Some("b")),
        (json!({"client_id": 1, "azp": ["b"], "cid": "c"}), Some("c")),
        (json!({"client_id": {"id": "a"}}), None),
        // Values of other types are not client ids.
        (json!({"username": "a", "uid": "b", "oid": "c", "clientId": "d", "Client_id": "e"}), None),
    ] {
        for outcome in provider.outcomes(|issuer| issuer, &with(provider.claims(), members.clone())).await {
            let (client, _, subject) = outcome.unwrap();
            assert_eq!((client.as_deref(), subject.as_deref()), (expected, Some("alice")), "{members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scopes_are_read_from_one_claim() {
    let provider = Provider::new(ISSUER);
    for (members, expected) in [
        (json!({}), ""),
        (json!({"scope": "a b", "scp": "c", "scopes": ["d"]}), "a b"),
        (json!({"scp": "c d", "scopes": ["e"]}), "c d"),
        (json!({"scp": ["c", "d"], "scopes": ["e"]}), "c d"),
        (json!({"scopes": ["d", "e"]}), "d e"),
        (json!({"scopes": "d e"}), "d e"),
        (json!({"scope": ["a", "b"]}), "a b"),
        // An empty claim is present, so no other claim is read.
        (json!({"scope": "", "scp": "admin"}), ""),
        (json!({"scope": [], "scp": "admin"}), ""),
        // Each member of a list is one scope, or it is ignored.
        (json!({"scp": ["a b", "c"]}), "c"),
        (json!({"scope": "https://mcp.example.com/mcp/read openid"}), "https://mcp.example.com/mcp/read openid"),
        (json!({"scp": "api://6e74172b/mcp.tools"}), "api://6e74172b/mcp.tools"),
        // These claims are not configured.
        (json!({"permissions": ["admin"], "roles": ["admin"], "groups": ["admin"]}), ""),
        (json!({"realm_access": {"roles": ["admin"]}, "resource_access": {"a": {"roles": ["admin"]}}}), ""),
        (json!({"scope": "a", "permissions": ["admin"], "roles": ["admin"]}), "a"),
        (json!({"Scope": "admin", "SCP": "admin"}), ""),
    ] {
        for outcome in provider.outcomes(|issuer| issuer, &with(provider.claims(), members.clone())).await {
            assert_eq!(outcome.unwrap().1, expected, "{members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn permissions_and_roles_are_scopes_if_configured() {
    let provider = Provider::new(ISSUER);
    for (pointers, members, expected) in [
        (&["/permissions"][..], json!({"permissions": ["read:notes", "write:notes"]}), "read:notes write:notes"),
        (&["/permissions"], json!({"scope": "openid", "permissions": ["read:notes"]}), "openid read:notes"),
        (&["/permissions"], json!({"scope": "a b", "permissions": ["b", "c"]}), "a b c"),
        (&["/permissions"], json!({"permissions": "read write"}), "read write"),
        (&["/permissions"], json!({"scope": "a"}), "a"),
        (&["/roles"], json!({"roles": ["Mcp.Call"], "permissions": ["admin"]}), "Mcp.Call"),
        (&["/realm_access/roles"], json!({"realm_access": {"roles": ["r"]}, "roles": ["admin"]}), "r"),
        (&["/resource_access/mcp/roles"], json!({"resource_access": {"mcp": {"roles": ["r"]}}}), "r"),
        (&["/resource_access/mcp/roles"], json!({"resource_access": {"account": {"roles": ["admin"]}}}), ""),
        // Auth0 and others prefix the names of custom claims with a URL. In a pointer, `/` is written `~1` (RFC 6901,
        // section 3).
        (&["/https:~1~1app.example.com~1roles"], json!({"https://app.example.com/roles": ["r"]}), "r"),
        (&["/roles", "/permissions"], json!({"scope": "s", "roles": ["r"], "permissions": ["p"]}), "s r p"),
        // A member that is not a valid scope is ignored.
        (&["/roles"], json!({"scope": "s", "roles": ["two words", "r"]}), "s r"),
    ] {
        let claims = with(provider.claims(), members.clone());
        let configure = |issuer: Issuer| pointers.iter().fold(issuer, |issuer, pointer| issuer.scope_claim(*pointer));
        for outcome in provider.outcomes(configure, &claims).await {
            assert_eq!(outcome.unwrap().1, expected, "{pointers:?} {members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_scope_claim_of_one_issuer_does_not_apply_to_another() {
    let (auth0, keycloak) = (
        Provider::new("https://tenant.auth0.com/"),
        Provider::signing_with("https://kc.example.com", Algorithm::EdDSA),
    );
    let app = auth0.app(|server| {
        let auth0 = auth0.by_default().scope_claim("/permissions");
        server.issuer(auth0).issuer(keycloak.by_default().scope_claim("/realm_access/roles"))
    });
    let members = json!({"permissions": ["p"], "realm_access": {"roles": ["r"]}});
    for (provider, expected) in [(&auth0, "p"), (&keycloak, "r")] {
        let claims: Value = with(provider.claims(), members.clone());
        assert_eq!(app.outcome(&provider.sign(&claims)).await.unwrap().1, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_challenge_scope_may_differ_from_the_scope_in_tokens() {
    let issuer = TestIssuer::new(ISSUER);
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).scopes_supported(["read", "write"]);
    let server = builder.challenge_scope("read", "api://notes/read").build().await.unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["read", "write"]));
    let token = |scopes: &str| issuer.token().audience(RESOURCE).scope(scopes).sign();
    // Challenges and metadata contain the long name.
    let asked_for = Some("api://notes/read write".to_owned());
    for rejected in [app.get("Basic x").await, app.with_token("x").await, app.with_token(&token("read")).await] {
        assert_eq!(rejected.parameter("scope"), asked_for, "{}", rejected.verdict());
    }
    let metadata = Request::get("/.well-known/oauth-protected-resource/mcp").body(Body::empty());
    let metadata = server.metadata_router().oneshot(metadata.unwrap()).await.unwrap();
    let metadata = Answer::of(metadata).await.json();
    assert_eq!(metadata["scopes_supported"], json!(["api://notes/read", "write"]));
    // Only the short name is compared with the scopes of a token.
    assert_eq!(app.with_token(&token("read write")).await.verdict(), "OK");
    assert_eq!(app.with_token(&token("api://notes/read write")).await.verdict(), "R403");
}

/// Keycloak and Hydra let a client that registers itself request only the scopes of its first challenge.
#[tokio::test(start_paused = true)]
async fn the_first_challenge_can_name_more_scopes_than_the_route_requires() {
    let issuer = TestIssuer::new(ISSUER);
    let server = ResourceServer::builder(RESOURCE)
        .issuer(issuer.issuer())
        .scopes_supported(["mcp:tools", "write:notes"])
        .challenge_scope("write:notes", "api://notes/write")
        .initial_scopes(["write:notes", "mcp:tools", "profile"])
        .build()
        .await
        .unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    let token = |scopes: &str| issuer.token().audience(RESOURCE).scope(scopes).sign();
    for (rejected, verdict, scopes) in [
        // The required scopes come first, and none is named twice.
        (app.get("Basic x").await, "R401N", "mcp:tools api://notes/write profile"),
        // A client with a token has logged in before.
        (app.with_token("x").await, "R401", "mcp:tools"),
        (app.with_token(&issuer.token().audience(RESOURCE).expired().sign()).await, "R401", "mcp:tools"),
        (app.with_token(&token("write:notes")).await, "R403", "mcp:tools"),
    ] {
        assert_eq!((rejected.verdict().as_str(), rejected.parameter("scope").as_deref()), (verdict, Some(scopes)));
    }
    // Only the scopes of the route are required.
    assert_eq!(app.with_token(&token("mcp:tools")).await.verdict(), "OK");
    // A route without required scopes names the others too.
    let open = App::new(server.bearer_layer());
    assert_eq!(open.get("Basic x").await.parameter("scope").as_deref(), Some("api://notes/write mcp:tools profile"));
    // The metadata names them only if they are in `scopes_supported`.
    let metadata = Request::get(server.metadata_url()).body(Body::empty()).unwrap();
    let metadata = Answer::of(server.metadata_service().oneshot(metadata).await.unwrap()).await.json();
    assert_eq!(metadata["scopes_supported"], json!(["mcp:tools", "api://notes/write"]));
}

#[test]
fn a_wrong_initial_scope_is_an_error() {
    for (scope, part) in [
        ("a b", "\"a b\""),
        ("", "\"\""),
        ("offline_access", "`initial_scopes` contains `offline_access`, which no challenge names; remove it"),
    ] {
        let builder = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER)).initial_scopes(["a", scope]);
        let error = builder.build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Scope, "{scope:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_scope_has_one_challenge_scope() {
    let build = |pairs: &[(&str, &str)]| {
        let builder = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER));
        pairs
            .iter()
            .fold(builder, |builder, (scope, requested)| builder.challenge_scope(*scope, *requested))
            .build_lazy()
    };
    for pairs in [&[("read", "a b")][..], &[("", "a")], &[("read", "a"), ("read", "b")]] {
        assert_eq!(build(pairs).unwrap_err().kind(), BuildErrorKind::Scope, "{pairs:?}");
    }
}
