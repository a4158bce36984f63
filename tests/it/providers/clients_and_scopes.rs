//! Point 4: who the client is and what it may do stand in different places. Keycloak and Auth0 write `azp`, Okta `cid`,
//! Entra `azp` or, in v1, `appid`; Entra and Okta call scopes `scp`. Permissions and roles are scopes only if asked for.

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
async fn the_client_is_the_first_that_is_named() {
    let provider = Provider::new(ISSUER);
    for (members, expected) in [
        (json!({}), None),
        (json!({"client_id": "a", "azp": "b", "cid": "c", "appid": "d"}), Some("a")),
        (json!({"azp": "b", "cid": "c", "appid": "d"}), Some("b")),
        (json!({"cid": "c", "appid": "d"}), Some("c")),
        (json!({"appid": "d"}), Some("d")),
        // What names nobody is passed over.
        (json!({"client_id": "", "azp": "b"}), Some("b")),
        (json!({"client_id": 1, "azp": ["b"], "cid": "c"}), Some("c")),
        (json!({"client_id": {"id": "a"}}), None),
        // These are no clients.
        (json!({"username": "a", "uid": "b", "oid": "c", "clientId": "d", "Client_id": "e"}), None),
    ] {
        for who in provider.judge(|issuer| issuer, &with(provider.claims(), members.clone())).await {
            let (client, _, subject) = who.unwrap();
            assert_eq!((client.as_deref(), subject.as_deref()), (expected, Some("alice")), "{members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scopes_stand_in_one_place() {
    let provider = Provider::new(ISSUER);
    for (members, expected) in [
        (json!({}), ""),
        (json!({"scope": "a b", "scp": "c", "scopes": ["d"]}), "a b"),
        (json!({"scp": "c d", "scopes": ["e"]}), "c d"),
        (json!({"scp": ["c", "d"], "scopes": ["e"]}), "c d"),
        (json!({"scopes": ["d", "e"]}), "d e"),
        (json!({"scopes": "d e"}), "d e"),
        (json!({"scope": ["a", "b"]}), "a b"),
        // An empty place is a place: what it does not grant is not looked for elsewhere.
        (json!({"scope": "", "scp": "admin"}), ""),
        (json!({"scope": [], "scp": "admin"}), ""),
        // A member of a list is one scope or none.
        (json!({"scp": ["a b", "c"]}), "c"),
        (json!({"scope": "https://mcp.example.com/mcp/read openid"}), "https://mcp.example.com/mcp/read openid"),
        (json!({"scp": "api://6e74172b/mcp.tools"}), "api://6e74172b/mcp.tools"),
        // Nobody asked for these.
        (json!({"permissions": ["admin"], "roles": ["admin"], "groups": ["admin"]}), ""),
        (json!({"realm_access": {"roles": ["admin"]}, "resource_access": {"a": {"roles": ["admin"]}}}), ""),
        (json!({"scope": "a", "permissions": ["admin"], "roles": ["admin"]}), "a"),
        (json!({"Scope": "admin", "SCP": "admin"}), ""),
    ] {
        for who in provider.judge(|issuer| issuer, &with(provider.claims(), members.clone())).await {
            assert_eq!(who.unwrap().1, expected, "{members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn permissions_and_roles_are_scopes_if_asked_for() {
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
        // Auth0 and others put a URL before the names of their own: `/` is written `~1` (RFC 6901, section 3).
        (&["/https:~1~1app.example.com~1roles"], json!({"https://app.example.com/roles": ["r"]}), "r"),
        (&["/roles", "/permissions"], json!({"scope": "s", "roles": ["r"], "permissions": ["p"]}), "s r p"),
        // A member that is not a scope grants nothing.
        (&["/roles"], json!({"scope": "s", "roles": ["two words", "r"]}), "s r"),
    ] {
        let claims = with(provider.claims(), members.clone());
        let configure = |issuer: Issuer| pointers.iter().fold(issuer, |issuer, pointer| issuer.scope_claim(*pointer));
        for who in provider.judge(configure, &claims).await {
            assert_eq!(who.unwrap().1, expected, "{pointers:?} {members}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_issuers_roles_mean_is_nothing_to_another() {
    let (auth0, keycloak) = (
        Provider::new("https://tenant.auth0.com/"),
        Provider::signing_with("https://kc.example.com", Algorithm::EdDSA),
    );
    let door = auth0.door(|server| {
        let auth0 = auth0.by_default().scope_claim("/permissions");
        server.issuer(auth0).issuer(keycloak.by_default().scope_claim("/realm_access/roles"))
    });
    let members = json!({"permissions": ["p"], "realm_access": {"roles": ["r"]}});
    for (provider, expected) in [(&auth0, "p"), (&keycloak, "r")] {
        let claims: Value = with(provider.claims(), members.clone());
        assert_eq!(door.judge(&provider.sign(&claims)).await.unwrap().1, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_the_scope_that_they_must_ask_for_and_tokens_carry_another() {
    let issuer = TestIssuer::new(ISSUER);
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).scopes_supported(["read", "write"]);
    let server = builder.challenge_scope("read", "api://notes/read").build().await.unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["read", "write"]));
    let token = |scopes: &str| issuer.token().audience(RESOURCE).scope(scopes).sign();
    // Where a client must ask, in challenges and in the metadata, it is told the long name.
    let asked_for = Some("api://notes/read write".to_owned());
    for refused in [app.get("Basic x").await, app.with_token("x").await, app.with_token(&token("read")).await] {
        assert_eq!(refused.parameter("scope"), asked_for, "{}", refused.verdict());
    }
    let metadata = Request::get("/.well-known/oauth-protected-resource/mcp").body(Body::empty());
    let metadata = server.metadata_router().oneshot(metadata.unwrap()).await.unwrap();
    let metadata = Answer::of(metadata).await.json();
    assert_eq!(metadata["scopes_supported"], json!(["api://notes/read", "write"]));
    // Tokens are judged by the short one, and by nothing else.
    assert_eq!(app.with_token(&token("read write")).await.verdict(), "OK");
    assert_eq!(app.with_token(&token("api://notes/read write")).await.verdict(), "R403");
}

#[test]
fn a_scope_is_asked_for_by_one_name() {
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
