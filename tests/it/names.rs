//! Issuer names: any string if it is only compared, and a URL if something is fetched from it or published.

use std::sync::Arc;

use mcp_bearer::issuer::providers;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::keys::{KeySetFuture, KeySource};
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError};
use mcp_bearer::{BuildError, BuildErrorKind, Issuer, ResourceServer};
use serde_json::Value;

use crate::support::{App, ISSUER, RESOURCE, published};

const ADFS: &str = "http://adfs.corp.example/adfs/services/trust";

struct Keys(Arc<JwkSet>);

impl KeySource for Keys {
    fn key_set<'a>(&'a self, _: Option<&'a str>) -> KeySetFuture<'a> {
        Box::pin(async { Ok(Arc::clone(&self.0)) })
    }
}

struct NoVerifier;

impl TokenVerifier for NoVerifier {
    async fn verify(&self, _: &str) -> Result<Verified, VerifyError> {
        Err(CheckFailure::Inactive.into())
    }
}

fn build(issuer: Issuer, clock: &TestClock) -> Result<ResourceServer, BuildError> {
    // Without a Tokio runtime, nothing is fetched in the background.
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(clock.clone());
    std::thread::spawn(|| builder.build_lazy()).join().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_only_compared_need_not_be_a_url_and_is_not_published() {
    let clock = TestClock::new();
    let signer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let keys = || JwkSet::from_json(signer.jwk_set().to_string()).unwrap();
    let long = format!("urn:{}", "x".repeat(2044));
    for name in [ADFS, "urn:example:issuer", "accounts.google.com", "it's\\<me>", "https://h/?tenant=1", "x", &long] {
        for (what, issuer, expected) in [
            ("jwks", Issuer::with_jwks(name, keys()), Value::Null),
            ("source", Issuer::with_key_source(name, Keys(Arc::new(keys()))), Value::Null),
            ("also", Issuer::with_jwks(ISSUER, keys()).also_issued_as(name), [ISSUER].as_slice().into()),
            ("discovered", signer.issuer().also_issued_as(name), [ISSUER].as_slice().into()),
        ] {
            let server = build(issuer, &clock).unwrap();
            assert_eq!(published(&server).await, expected, "{what} {name}");
            let token = signer.token().audience(RESOURCE).claim("iss", name).sign();
            assert_eq!(App::new(server.bearer_layer()).with_token(&token).await.verdict(), "OK", "{what} {name}");
        }
        assert_eq!(published(&build(Issuer::with_verifier(name, NoVerifier), &clock).unwrap()).await, Value::Null);
    }
    // A name that is a URL is published.
    for name in [ISSUER, "http://localhost:8080/realms/demo"] {
        let server = build(Issuer::with_jwks(name, keys()), &clock).unwrap();
        assert_eq!(published(&server).await, Value::from([name].as_slice()));
    }
}

#[test]
fn an_invalid_name_is_an_error() {
    let clock = TestClock::new();
    let keys = || JwkSet::from_json(TestIssuer::new(ISSUER).jwk_set().to_string()).unwrap();
    let long = "x".repeat(2049);
    for name in ["", " ", "a b", "a\"b", "a\nb", "a\u{7f}", "é", &long] {
        for issuer in [
            Issuer::with_jwks(name, keys()),
            Issuer::with_key_source(name, Keys(Arc::new(keys()))),
            Issuer::with_verifier(name, NoVerifier),
            Issuer::discover(ISSUER).also_issued_as(name),
        ] {
            let error = build(issuer, &clock).unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::Issuer, "{name:?}");
        }
    }
}

#[test]
fn a_name_for_discovery_must_be_a_url() {
    let clock = TestClock::new();
    for name in [ADFS, "urn:example:issuer", "accounts.google.com"] {
        for issuer in [Issuer::discover(name), Issuer::oidc(name), Issuer::oauth(name)] {
            assert_eq!(build(issuer, &clock).unwrap_err().kind(), BuildErrorKind::Issuer, "{name}");
        }
    }
}

#[test]
fn the_url_of_a_metadata_document_is_not_an_issuer() {
    let clock = TestClock::new();
    for (written, meant) in [
        ("https://auth.example.com/.well-known/openid-configuration", "\"https://auth.example.com\""),
        ("https://auth.example.com/realms/x/.well-known/openid-configuration", "\"https://auth.example.com/realms/x\""),
        ("https://auth.example.com/.well-known/oauth-authorization-server/a/b", "\"https://auth.example.com/a/b\""),
        ("https://auth.example.com/.well-known/", "\"https://auth.example.com\""),
        ("https://auth.example.com/.well-known", "\"https://auth.example.com\""),
    ] {
        for issuer in [Issuer::discover(written), Issuer::oidc(written), Issuer::oauth(written)] {
            let error = build(issuer, &clock).unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::Issuer);
            assert!(error.to_string().contains(meant), "{error}");
        }
    }
}

#[test]
fn a_wrong_argument_of_a_provider_fails_at_build() {
    let clock = TestClock::new();
    let error = build(providers::auth0("https://tenant.eu.auth0.com"), &clock).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Issuer);
    let message = error.to_string();
    assert!(message.contains("`providers::auth0(\"https://tenant.eu.auth0.com\")`"), "{message}");
    assert!(message.ends_with("write `providers::auth0(\"tenant.eu.auth0.com\")`"), "{message}");
    build(providers::auth0("tenant.eu.auth0.com"), &clock).unwrap();
}
