//! Tokens and introspection responses of vendors. Each is checked with the default configuration, and with the
//! configuration that its provider needs.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};

use super::provider::{Configure, Provider, TestApp, build, credentials, invalid, with};
use crate::support::{ISSUER, RESOURCE, collection};

/// One shape and its expected outcomes.
struct Row {
    name: &'static str,
    /// The configured issuer, if it differs from the one in the shape.
    issuer: Option<&'static str>,
    /// The scope that the route requires.
    scope: &'static str,
    presented: Presented,
    by_default: Verdict,
    configured: &'static [(Configure, Verdict)],
}

/// The caller, or the reason for the rejection.
type Verdict = Result<(Option<&'static str>, &'static str, Option<&'static str>), RejectionKind>;

enum Presented {
    /// A JWT signed with the published key.
    Signed,
    /// A JWT signed with a key that is not published.
    UnpublishedKey,
    /// A JWT whose header was changed after signing.
    Altered,
    /// A JWT with an HMAC.
    Symmetric,
    /// A JWT with the introspection response of this other shape.
    Introspected(&'static str),
    /// An opaque token. The shape is its introspection response.
    Opaque,
}

const ROW: Row = Row {
    name: "",
    issuer: None,
    scope: "",
    presented: Presented::Signed,
    by_default: Err(invalid(CheckFailure::Audience)),
    configured: &[],
};

const ROWS: &[Row] = &[
    Row { name: "keycloak_default", ..ROW },
    Row {
        name: "keycloak_audience_mapper",
        by_default: Ok((Some("mcp-client"), "mcp:tools", Some("f3a1"))),
        configured: &[(Issuer::require_at_jwt, Err(invalid(CheckFailure::TokenType)))],
        ..ROW
    },
    Row {
        name: "keycloak_id_token",
        configured: &[(|issuer| issuer.accept_audience("mcp-client"), Err(invalid(CheckFailure::TokenType)))],
        ..ROW
    },
    Row {
        name: "keycloak_lightweight",
        by_default: Err(invalid(CheckFailure::NoAudience)),
        presented: Presented::Introspected("introspection_keycloak"),
        configured: &[(
            |issuer| issuer.introspect_all(credentials()),
            Ok((Some("mcp-client"), "mcp:tools", Some("f3a1"))),
        )],
        ..ROW
    },
    Row {
        name: "auth0_default",
        scope: "read:notes",
        by_default: Ok((Some("client"), "openid read:notes", Some("auth0|123"))),
        configured: &[(Issuer::require_at_jwt, Err(invalid(CheckFailure::TokenType)))],
        ..ROW
    },
    Row {
        name: "auth0_rfc9068",
        by_default: Ok((Some("client"), "openid read:notes", Some("auth0|123"))),
        configured: &[(Issuer::require_at_jwt, Ok((Some("client"), "openid read:notes", Some("auth0|123"))))],
        ..ROW
    },
    Row { name: "auth0_m2m_sub", by_default: Ok((Some("client"), "read:notes", Some("client@clients"))), ..ROW },
    Row {
        name: "logto_resource",
        by_default: Ok((Some("app"), "read:notes", Some("u"))),
        configured: &[
            (|issuer| issuer.algorithms([Algorithm::ES384]), Ok((Some("app"), "read:notes", Some("u")))),
            (|issuer| issuer.algorithms([Algorithm::RS256]), Err(invalid(CheckFailure::Algorithm))),
        ],
        ..ROW
    },
    Row {
        name: "logto_organization",
        configured: &[(
            |issuer| issuer.accept_audience("urn:logto:organization:org1"),
            Ok((Some("app"), "read:notes", Some("u"))),
        )],
        ..ROW
    },
    Row {
        name: "entra_v2_delegated",
        scope: "mcp.tools",
        configured: &[(
            |issuer| issuer.accept_audience("6e74172b-0000-4000-8000-e66a39bb12e3"),
            Ok((Some("6e74172b-1111-4000-8000-e66a39bb12e3"), "mcp.tools read", Some("pairwise"))),
        )],
        ..ROW
    },
    Row {
        name: "entra_v1",
        issuer: Some("https://login.microsoftonline.com/fa15d692-0000-4000-8000-29f29522229a/v2.0"),
        by_default: Err(invalid(CheckFailure::Issuer)),
        configured: &[
            (|issuer| issuer.accept_audience("api://ef1da9d4"), Err(invalid(CheckFailure::Issuer))),
            (
                |issuer| {
                    let issuer = issuer.also_issued_as("https://sts.windows.net/fa15d692-0000-4000-8000-29f29522229a/");
                    issuer.accept_audience("api://ef1da9d4")
                },
                Ok((Some("75dbe77f"), "user_impersonation", Some("l3"))),
            ),
        ],
        ..ROW
    },
    Row {
        name: "entra_app_only",
        scope: "Mcp.Call",
        configured: &[
            (|issuer| issuer.accept_audience("6e74172b"), Err(RejectionKind::InsufficientScope)),
            (
                |issuer| issuer.accept_audience("6e74172b").scope_claim("/roles"),
                Ok((Some("75dbe77f"), "Mcp.Call", Some("s"))),
            ),
        ],
        ..ROW
    },
    Row {
        name: "entra_graph_nonce",
        presented: Presented::Altered,
        configured: &[(
            |issuer| issuer.accept_audience("00000003-0000-0000-c000-000000000000"),
            Err(invalid(CheckFailure::Signature)),
        )],
        ..ROW
    },
    Row {
        name: "okta_custom_as",
        scope: "read:notes",
        by_default: Ok((Some("0oa1"), "read:notes openid", Some("alice@example.com"))),
        configured: &[(Issuer::require_at_jwt, Err(invalid(CheckFailure::TokenType)))],
        ..ROW
    },
    Row {
        name: "okta_org_as",
        presented: Presented::UnpublishedKey,
        configured: &[(
            |issuer| issuer.accept_audience("https://org.okta.com"),
            Err(invalid(CheckFailure::UnknownKey)),
        )],
        ..ROW
    },
    Row {
        name: "cognito_unbound",
        by_default: Err(invalid(CheckFailure::NoAudience)),
        configured: &[
            (
                |issuer| issuer.dangerously_accept_clients_without_audience(["another", "xxx"]),
                Ok((Some("xxx"), "https://mcp.example.com/mcp/read openid", Some("aaaa"))),
            ),
            (
                |issuer| issuer.dangerously_accept_clients_without_audience(["another"]),
                Err(invalid(CheckFailure::NoAudience)),
            ),
        ],
        ..ROW
    },
    Row {
        name: "cognito_resource_bound",
        scope: "https://mcp.example.com/mcp/read",
        by_default: Ok((Some("xxx"), "https://mcp.example.com/mcp/read", Some("aaaa"))),
        ..ROW
    },
    Row { name: "workos_authkit", by_default: Ok((None, "", Some("user_01"))), ..ROW },
    Row {
        name: "descope",
        issuer: Some("https://api.descope.com/v1/apps/P1"),
        by_default: Err(invalid(CheckFailure::Issuer)),
        configured: &[(
            |issuer| {
                let issuer = issuer.also_issued_as("https://api.descope.com/P1");
                issuer.also_issued_as("https://api.descope.com/v1/apps/agentic/P1/MS1")
            },
            Ok((Some("client"), "mcp:read", Some("U1"))),
        )],
        ..ROW
    },
    Row {
        name: "scalekit",
        issuer: Some("https://env.scalekit.com"),
        by_default: Err(invalid(CheckFailure::Issuer)),
        configured: &[
            (
                |issuer| issuer.also_issued_as("https://env.scalekit.com/resources/res_1"),
                Err(invalid(CheckFailure::Audience)),
            ),
            (
                |issuer| issuer.also_issued_as("https://env.scalekit.com/resources/res_1").accept_audience("res_1"),
                Ok((Some("skc_1"), "todo:read", Some("usr_1"))),
            ),
        ],
        ..ROW
    },
    Row {
        name: "fusionauth_hs256",
        issuer: Some(ISSUER),
        presented: Presented::Symmetric,
        by_default: Err(invalid(CheckFailure::Algorithm)),
        configured: &[(|issuer| issuer.accept_audience("client"), Err(invalid(CheckFailure::Algorithm)))],
        ..ROW
    },
    Row {
        name: "introspection_keycloak",
        presented: Presented::Opaque,
        by_default: Ok((Some("mcp-client"), "mcp:tools", Some("f3a1"))),
        ..ROW
    },
    Row {
        name: "introspection_logto",
        by_default: Err(invalid(CheckFailure::NoAudience)),
        presented: Presented::Opaque,
        configured: &[
            // Its refresh tokens have the same response.
            (Issuer::dangerously_accept_missing_audience, Err(invalid(CheckFailure::TokenType))),
            (
                |issuer| issuer.dangerously_accept_missing_audience().dangerously_accept_missing_token_type(),
                Ok((None, "", Some("u"))),
            ),
        ],
        ..ROW
    },
    Row {
        name: "introspection_glewlwyd_refresh_token",
        presented: Presented::Opaque,
        configured: &[(|issuer| issuer.accept_audience("public-client"), Err(invalid(CheckFailure::TokenType)))],
        ..ROW
    },
    Row {
        name: "introspection_dot",
        presented: Presented::Opaque,
        by_default: Ok((Some("machine"), "read:notes", None)),
        ..ROW
    },
];

#[tokio::test(start_paused = true)]
async fn every_shape_has_its_expected_outcome() {
    let Some(shapes) = shapes() else { return };
    for row in ROWS {
        let shape = &shapes[row.name];
        let verdicts = row.configured.iter().map(|(configure, verdict)| (Some(*configure), verdict));
        for (number, (configure, expected)) in [(None, &row.by_default)].into_iter().chain(verdicts).enumerate() {
            let (provider, token) = row.present(shape, &shapes);
            let by_default = match row.presented {
                Presented::Opaque => provider.introspecting(),
                _ => provider.by_default(),
            };
            let issuer = configure.map_or_else(|| by_default.clone(), |configure| configure(by_default.clone()));
            let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone()).issuer(issuer);
            let app = TestApp::requiring(&build(server).unwrap(), row.scope);
            let outcome = app.outcome(&token).await;
            let outcome = outcome.as_ref().map_err(|kind| *kind);
            let outcome =
                outcome.map(|(client, scopes, subject)| (client.as_deref(), scopes.as_str(), subject.as_deref()));
            assert_eq!(outcome, *expected, "{} under configuration {number}: {shape}", row.name);
        }
    }
}

#[test]
fn every_shape_has_a_row_that_agrees_with_its_description() {
    let Some(shapes) = shapes() else { return };
    let known: BTreeSet<&str> = shapes.as_object().unwrap().keys().map(String::as_str).collect();
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
    assert!(known.len() > 20, "the file does not contain the collection");
    assert_eq!(known.symmetric_difference(&rows).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(rows.len(), ROWS.len(), "a shape has two rows");
    for row in ROWS {
        let Some(text) = shapes[row.name]["accept"].as_str() else { continue };
        let mut verdicts = row.configured.iter().map(|(_, verdict)| verdict).chain([&row.by_default]);
        let agrees = match text.get(..3) {
            Some("200") => verdicts.any(|verdict| verdict.is_ok()),
            Some("401") => matches!(row.by_default, Err(RejectionKind::InvalidToken(_))),
            Some("403") => verdicts.any(|verdict| *verdict == Err(RejectionKind::InsufficientScope)),
            _ => text.starts_with("only when") && row.by_default.is_err() && verdicts.any(|verdict| verdict.is_ok()),
        };
        assert!(agrees, "{}: {text}", row.name);
    }
}

impl Row {
    /// A provider like that of the shape, and a token of this shape.
    fn present(&self, shape: &Value, shapes: &Value) -> (Provider, String) {
        let (header, claims) =
            (&shape["header"], if shape["body"].is_null() { &shape["payload"] } else { &shape["body"] });
        let algorithm = header["alg"].as_str().and_then(Algorithm::from_name).unwrap_or(Algorithm::ES256);
        let url = self.issuer.or(claims["iss"].as_str()).unwrap_or(ISSUER);
        let provider = Provider::signing_with(url, algorithm);
        let now = provider.clock.since_epoch().as_secs();
        let claims = with_valid_times(claims, now);
        if let Presented::Opaque = self.presented {
            let token = "2YotnFZFEjr1zCsicMWpAA";
            provider.issuer.introspection_answer(token, claims);
            return (provider, token.to_owned());
        }
        let signer = provider.issuer.key_id();
        let published = match self.presented {
            Presented::UnpublishedKey => json!("another"),
            _ => header["kid"].clone(),
        };
        let mut key = with(provider.issuer.jwk_set()["keys"][0].clone(), json!({"kid": published}));
        if self.name.starts_with("entra") {
            key = with(key, json!({"alg": null}));
        }
        provider.issuer.publish_key_set(json!({"keys": [key]}));
        let sign = |header: &Value| provider.issuer.sign_raw(&signer, header.to_string(), claims.to_string());
        let token = match self.presented {
            Presented::Altered => {
                let signed = sign(&with(header.clone(), json!({"nonce": "its hash"})));
                let (_, rest) = signed.split_once('.').unwrap();
                format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
            }
            Presented::Symmetric => {
                let text = [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
                let key = jsonwebtoken::EncodingKey::from_secret(b"secret");
                let mac = jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
                format!("{text}.{mac}")
            }
            _ => sign(header),
        };
        if let Presented::Introspected(name) = self.presented {
            provider.issuer.introspection_answer(&token, with_valid_times(&shapes[name]["body"], now));
        }
        (provider, token)
    }
}

/// Sets the times, which are 0 in the collection, to valid values.
fn with_valid_times(claims: &Value, now: u64) -> Value {
    let mut claims = claims.clone();
    for (name, value) in claims.as_object_mut().unwrap().iter_mut().filter(|(_, value)| **value == json!(0)) {
        *value = json!(if name == "exp" { now + 300 } else { now });
    }
    claims
}

/// The collection without its comments.
fn shapes() -> Option<Value> {
    let mut shapes = collection("MCP_BEARER_PROVIDERS", "providers", "quirks.json")?;
    shapes.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
    Some(shapes)
}
