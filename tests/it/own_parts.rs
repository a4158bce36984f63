//! Verifiers, key sources and HTTP clients of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::claims::Claims;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits, ReqwestClient};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::keys::{KeyError, KeySetFuture, KeySource};
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError, VerifyErrorKind};
use mcp_bearer::{Clock, Issuer, ResourceServer};
use serde_json::{Value, json};

use crate::support::{App, ISSUER, RESOURCE};

const OWN: &str = "https://own.example.com";

/// A verifier with a fixed result for each token.
struct Table(Value);

impl TokenVerifier for Table {
    async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
        match token {
            "valid" => Ok(Claims::from_json(self.0.to_string())?.into()),
            "down" => Err(VerifyError::unavailable(Some(Duration::from_secs(7)))),
            "broken" => Err(VerifyError::new(VerifyErrorKind::Misconfigured)
                .with_source("the table does not exist in the database")),
            _ => Err(CheckFailure::Inactive.into()),
        }
    }
}

fn app(claims: Value) -> App {
    let server = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::with_verifier(OWN, Table(claims)))
        .issuer(Issuer::discover(ISSUER).http_client(TestIssuer::new(ISSUER).http_client()))
        .clock(TestClock::at(1_800_000_000))
        .build_lazy()
        .unwrap();
    App::new(server.bearer_layer())
}

fn claims() -> Value {
    json!({"iss": OWN, "aud": RESOURCE, "exp": 1_800_000_100, "sub": "alice", "scope": "a"})
}

#[tokio::test(start_paused = true)]
async fn a_custom_verifier_decides_and_its_outage_is_503() {
    let app = app(claims());
    for (token, verdict) in [("valid", "OK"), ("invalid", "R401"), ("down", "R503"), ("broken", "R503")] {
        assert_eq!(app.with_token(token).await.verdict(), verdict, "{token}");
    }
    assert_eq!(app.with_token("down").await.header("retry-after"), Some("7"));
}

/// A clock that is wrong: no token was issued before 1970.
#[derive(Debug)]
struct ClockBefore1970;

impl Clock for ClockBefore1970 {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH - Duration::from_secs(1)
    }
}

#[tokio::test(start_paused = true)]
async fn every_token_is_rejected_if_the_clock_is_before_1970() {
    let issuer = TestIssuer::new(ISSUER);
    let introspected = || issuer.issuer().introspect_opaque(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(introspected()).clock(ClockBefore1970).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = || issuer.token().audience(RESOURCE).without("iat").without("nbf");
    for (what, token) in [
        ("an expired token", token().claim("exp", 1_000).sign()),
        ("a token that would be valid", token().sign()),
        ("a token with `iat`", issuer.token().audience(RESOURCE).sign()),
        ("an introspected token", token().opaque()),
        ("an introspected token without `exp`", token().without("exp").opaque()),
    ] {
        assert_eq!(app.with_token(&token).await.verdict(), "R401", "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_claims_from_a_custom_verifier_are_checked() {
    for (name, value) in [
        ("iss", json!("https://evil.example.com")),
        ("iss", json!(null)),
        ("aud", json!("https://other.example.com")),
        ("aud", json!(null)),
        ("exp", json!(1_700_000_000)),
        ("nbf", json!(1_900_000_000)),
        ("cnf", json!({"jkt": "x"})),
        ("token_type", json!("refresh_token")),
    ] {
        let mut changed = claims();
        changed[name] = value;
        assert_eq!(app(changed).with_token("valid").await.verdict(), "R401", "{name}");
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("exp");
    assert_eq!(app(without).with_token("valid").await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn a_jwt_of_another_issuer_is_never_passed_to_a_custom_verifier() {
    let issuer = TestIssuer::new(ISSUER);
    let server = ResourceServer::builder(RESOURCE)
        .issuer(Issuer::with_verifier(OWN, AcceptAll))
        .issuer(issuer.issuer())
        .build()
        .await
        .unwrap();
    let app = App::new(server.bearer_layer());
    let valid = issuer.token().audience(RESOURCE).sign();
    assert_eq!(app.with_token(&valid).await.body, "alice");
    let (rest, _) = valid.rsplit_once('.').unwrap();
    assert_eq!(app.with_token(&format!("{rest}.AAAA")).await.verdict(), "R401");
    assert_eq!(app.with_token("opaque").await.body, "everybody");
}

/// A verifier that accepts every token.
struct AcceptAll;

impl TokenVerifier for AcceptAll {
    async fn verify(&self, _: &str) -> Result<Verified, VerifyError> {
        Ok(Verified::for_this_resource("everybody"))
    }
}

#[test]
fn two_custom_verifiers_are_a_build_error() {
    let issuer = |url: &str| Issuer::with_verifier(url, AcceptAll);
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer("https://a")).issuer(issuer("https://b"));
    assert!(builder.build_lazy().unwrap_err().to_string().contains("call `route_opaque`"));
}

/// A key source that returns a newer key set if it is calls for a missing key.
#[derive(Clone)]
struct Pair {
    old: Arc<JwkSet>,
    new: Arc<JwkSet>,
    calls: Arc<AtomicUsize>,
}

impl KeySource for Pair {
    fn key_set<'a>(&'a self, missing_kid: Option<&'a str>) -> KeySetFuture<'a> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            match missing_kid {
                None => Ok(Arc::clone(&self.old)),
                Some("down") => Err(KeyError::unavailable(None)),
                Some(_) => Ok(Arc::clone(&self.new)),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_custom_key_source_gets_the_missing_key_id() {
    let issuer = TestIssuer::new(ISSUER);
    let set = |issuer: &TestIssuer| Arc::new(JwkSet::from_json(issuer.jwk_set().to_string()).unwrap());
    let (old, old_kid) = (set(&issuer), issuer.key_id());
    let new_kid = issuer.rotate();
    let source = Pair { old, new: set(&issuer), calls: Arc::default() };
    let calls = Arc::clone(&source.calls);
    let server =
        ResourceServer::builder(RESOURCE).issuer(Issuer::with_key_source(ISSUER, source)).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = || issuer.token().audience(RESOURCE);
    for (token, verdict, expected) in [
        (token().key(&old_kid).sign(), "OK", 1),
        (token().key(&new_kid).sign(), "OK", 2),
        (token().header("kid", "other").sign(), "R401", 2),
        (token().header("kid", "down").sign(), "R503", 2),
    ] {
        let before = calls.load(Ordering::SeqCst);
        assert_eq!(app.with_token(&token).await.verdict(), verdict);
        assert_eq!(calls.load(Ordering::SeqCst) - before, expected);
    }
}

/// A client that ignores all limits.
struct NoLimits(TestIssuer);

impl HttpClient for NoLimits {
    fn send(&self, request: Request<Bytes>, mut limits: RequestLimits) -> HttpFuture<'_> {
        limits.body = usize::MAX;
        let client = self.0.http_client();
        Box::pin(async move {
            let response: Response<Bytes> = client.send(request, limits).await?;
            Ok(response.map(|body| [body.as_ref(), " ".repeat(1 << 20).as_bytes()].concat().into()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn limits_apply_even_if_the_client_ignores_them() {
    let issuer = Issuer::discover(ISSUER).http_client(NoLimits(TestIssuer::new(ISSUER)));
    let error = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap_err();
    assert_eq!(error.kind(), mcp_bearer::BuildErrorKind::Unreachable);
}

#[tokio::test]
async fn a_client_that_follows_redirects_is_detected() {
    let issuer = TestIssuer::serve().unwrap();
    let metadata = format!("{}/.well-known/openid-configuration", issuer.url());
    issuer.fault(Endpoint::OauthMetadata, Fault::Redirect(metadata.clone()));
    issuer.fault(Endpoint::OidcMetadata, Fault::Status(404));
    let following = ReqwestClient::from_client(reqwest::Client::builder().no_proxy().build().unwrap());
    let build = |issuer: Issuer| ResourceServer::builder(RESOURCE).issuer(issuer).build();
    let error = build(Issuer::oauth(issuer.url()).http_client(following.clone())).await.unwrap_err();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    assert!(cause.to_string().contains("build the client without redirects"), "{cause}");
    issuer.heal();
    build(Issuer::oauth(issuer.url()).http_client(following)).await.unwrap();
}
