//! Client authentication at the introspection endpoint, and what happens if it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, Validation};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::http_client::FetchErrorKind;
use mcp_bearer::introspection::{ClientCredentials, Introspection, IntrospectionState};
use mcp_bearer::jose::{Algorithm, PrivateKey};
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;
use tracing::Level;
use url::form_urlencoded;

use super::stub::{Page, Stub, active};
use super::{CLIENT, Fixture, SECRET, START, credentials, server_of};
use crate::capture::Capture;
use crate::support::{Answer, App, ISSUER, RESOURCE};

/// A private key in PEM, and its public key for another library.
pub fn key_pair(algorithm: Algorithm) -> (String, DecodingKey) {
    let random = SystemRandom::new();
    let ecdsa = |parameters: &'static EcdsaSigningAlgorithm| {
        let document = EcdsaKeyPair::generate_pkcs8(parameters, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(parameters, document.as_ref()).unwrap();
        (pem(document.as_ref()), DecodingKey::from_ec_der(pair.public_key().as_ref()))
    };
    match algorithm {
        Algorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDSA => {
            let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
            (pem(document.as_ref()), DecodingKey::from_ed_der(pair.public_key().as_ref()))
        }
        _ => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            (pem(pair.as_der().unwrap().as_ref()), DecodingKey::from_rsa_der(pair.public_key().as_ref()))
        }
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

pub fn private_key() -> PrivateKey {
    PrivateKey::from_pkcs8_pem(Algorithm::EdDSA, &key_pair(Algorithm::EdDSA).0).unwrap()
}

/// One of each kind of credentials.
fn each() -> [ClientCredentials; 4] {
    [
        credentials(),
        ClientCredentials::post(CLIENT, SECRET),
        ClientCredentials::private_key_jwt(CLIENT, private_key()),
        ClientCredentials::bearer(|| SECRET.replace(' ', "-")),
    ]
}

fn app_of(stub: &Stub, introspection: impl Into<Introspection>) -> App {
    App::new(server_of(stub.issuer(introspection)).bearer_layer())
}

#[tokio::test(start_paused = true)]
async fn client_secret_basic_is_form_encoded() {
    let (id, secret) = ("a:b", "s%c r+t/\u{e9}\"");
    let issuer = TestIssuer::builder(ISSUER).introspection_client(id, secret).build();
    let app = App::new(server_of(issuer.issuer().introspect_all(ClientCredentials::basic(id, secret))).bearer_layer());
    issuer.introspection_answer("opaque", active());
    assert_eq!(app.with_token("opaque").await.verdict(), "OK");
    let request = issuer.last_request(Endpoint::Introspection).unwrap();
    assert_eq!(request.header("authorization"), Some("Basic YSUzQWI6cyUyNWMrciUyQnQlMkYlQzMlQTklMjI="));
    assert!(request.headers()["authorization"].is_sensitive());
    let names: Vec<String> = request.form().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["token", "token_type_hint"]);
}

#[tokio::test(start_paused = true)]
async fn client_secret_post_is_only_in_the_body() {
    let (id, secret) = ("a:b&c", "s%c r+t/\u{e9}\"=");
    let issuer = TestIssuer::builder(ISSUER).introspection_client(id, secret).build();
    let app = App::new(server_of(issuer.issuer().introspect_all(ClientCredentials::post(id, secret))).bearer_layer());
    issuer.introspection_answer("opaque", active());
    assert_eq!(app.with_token("opaque").await.verdict(), "OK");
    let request = issuer.last_request(Endpoint::Introspection).unwrap();
    assert_eq!(request.header("authorization"), None);
    assert_eq!(
        (request.form_value("client_id").as_deref(), request.form_value("client_secret").as_deref()),
        (Some(id), Some(secret))
    );
    assert_eq!(request.form_value("token").as_deref(), Some("opaque"));
}

#[tokio::test]
async fn without_credentials_only_the_token_and_its_hint_are_sent() {
    let issuer = TestIssuer::serve().unwrap();
    issuer.introspection_answer("opaque", active());
    let configured = Issuer::discover(issuer.url()).introspect_opaque(ClientCredentials::none());
    let server = ResourceServer::builder(RESOURCE).issuer(configured).build().await.unwrap();
    assert_eq!(server.health().issuers()[0].introspection(), IntrospectionState::Ready);
    assert_eq!(App::new(server.bearer_layer()).with_token("opaque").await.verdict(), "OK");
    let request = issuer.last_request(Endpoint::Introspection).unwrap();
    assert_eq!(request.header("authorization"), None);
    let form: Vec<_> = request.form().into_iter().collect();
    let expected = [("token", "opaque"), ("token_type_hint", "access_token")];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_bearer_token_is_requested_for_each_attempt() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let stub = Stub::with_page(Page::status(503));
    let app =
        app_of(&stub, ClientCredentials::bearer(move || format!("own-{}", counted.fetch_add(1, Ordering::SeqCst))));
    let sent = || stub.last().0.headers()["authorization"].to_str().unwrap().to_owned();
    // The retry calls the function again.
    assert_eq!((app.with_token("one").await.verdict().as_str(), sent().as_str()), ("R503", "Bearer own-1"));
    stub.set_page(Page::json(&active()));
    assert_eq!((app.with_token("two").await.verdict().as_str(), sent().as_str()), ("OK", "Bearer own-2"));
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert!(stub.last().0.headers()["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn credentials_that_a_header_cannot_contain_are_never_sent() {
    for token in ["a\r\nX-Evil: 1", "a\0b"] {
        let stub = Stub::with_page(Page::json(&active()));
        let app = app_of(&stub, ClientCredentials::bearer(move || token.to_owned()));
        assert_eq!((app.with_token("opaque").await.verdict().as_str(), stub.introspections()), ("R503", 0));
    }
}

/// The assertion that the issuer received last, verified with another library.
pub fn assertion(issuer: &TestIssuer, key: &DecodingKey, algorithm: Algorithm) -> (jsonwebtoken::Header, Value) {
    let request = issuer.last_request(Endpoint::Introspection).unwrap();
    checked(&request.form_value("client_assertion").unwrap(), key, algorithm)
}

fn checked(assertion: &str, key: &DecodingKey, algorithm: Algorithm) -> (jsonwebtoken::Header, Value) {
    let mut validation = Validation::new(algorithm.name().parse().unwrap());
    validation.set_audience(&[ISSUER]);
    validation.set_issuer(&[CLIENT]);
    validation.sub = Some(CLIENT.to_owned());
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    // This library uses the system clock, so the lifetime is not checked here.
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Value>(assertion, key, &validation).unwrap();
    (decoded.header, decoded.claims)
}

#[tokio::test(start_paused = true)]
async fn private_key_jwt_is_an_assertion_for_this_issuer_only() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS512] {
        let (pem, verifier) = key_pair(algorithm);
        for kid in [None, Some("key-1")] {
            let key = PrivateKey::from_pkcs8_pem(algorithm, &pem).unwrap();
            let key = kid.into_iter().fold(key, PrivateKey::key_id);
            let issuer = TestIssuer::new(ISSUER);
            let configured = issuer.issuer().introspect_all(ClientCredentials::private_key_jwt(CLIENT, key));
            issuer.introspection_answer("opaque", active());
            assert_eq!(App::new(server_of(configured).bearer_layer()).with_token("opaque").await.verdict(), "OK");

            let request = issuer.last_request(Endpoint::Introspection).unwrap();
            assert_eq!((request.header("authorization"), request.form_value("client_secret")), (None, None));
            let kind = request.form_value("client_assertion_type");
            assert_eq!(kind.as_deref(), Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));

            let (header, claims) = assertion(&issuer, &verifier, algorithm);
            assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("client-authentication+jwt"), kid));
            // `aud` is one string. With an array or the endpoint URL, other servers could accept the assertion.
            assert_eq!(
                (&claims["aud"], &claims["iss"], &claims["sub"]),
                (&json!(ISSUER), &json!(CLIENT), &json!(CLIENT))
            );
            let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
            assert!(issued == START && expires > issued && expires - issued <= 60, "{claims}");
            assert!(claims["jti"].as_str().unwrap().len() >= 32);
            assert_eq!(claims.as_object().unwrap().len(), 6);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn private_key_jwt_is_new_for_each_attempt() {
    let (pem, verifier) = key_pair(Algorithm::ES256);
    let key = PrivateKey::from_pkcs8_pem(Algorithm::ES256, &pem).unwrap();
    let issuer = TestIssuer::new(ISSUER);
    let introspection = Introspection::new(ClientCredentials::private_key_jwt(CLIENT, key));
    let app = App::new(server_of(issuer.issuer().introspect_all(introspection)).bearer_layer());
    for (index, token) in super::numbered("token", 10).iter().enumerate() {
        issuer.fault_times(Endpoint::Introspection, Fault::Status(503), 1);
        issuer.introspection_answer(token, active());
        assert_eq!(app.with_token(token).await.verdict(), "OK");
        // Some requests are sent at the same moment, so the time alone does not make an assertion unique.
        advance(std::time::Duration::from_secs(if index % 2 == 0 { 0 } else { 7 })).await;
    }
    let requests = issuer.recent_requests();
    let sent = requests.iter().filter(|request| request.endpoint() == Endpoint::Introspection);
    let claims: Vec<Value> = sent
        .map(|request| checked(&request.form_value("client_assertion").unwrap(), &verifier, Algorithm::ES256).1)
        .collect();
    assert_eq!(claims.len(), 20);
    let jtis: std::collections::HashSet<_> = claims.iter().map(|claims| claims["jti"].as_str().unwrap()).collect();
    assert_eq!(jtis.len(), 20);
    // Ten requests, 28 seconds of pauses, and a moment for each retry.
    let issued = |index: usize| claims[index]["iat"].as_u64().unwrap() - START;
    assert!(issued(0) == 0 && (28..=30).contains(&issued(19)), "{}", issued(19));
}

/// Everything that a client and an operator can see.
fn seen(answer: &Answer, log: &[(Level, String)]) -> String {
    let lines: Vec<&str> = log.iter().map(|(_, line)| line.as_str()).collect();
    format!("{:?}\n{}\n{:?}\n{}", answer.headers, answer.body, answer.rejection, lines.join("\n"))
}

fn assert_nothing_secret(seen: &str, token: &str) {
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = STANDARD.encode(format!("{CLIENT}:{encoded}"));
    for secret in
        [SECRET, &encoded, &SECRET.replace(' ', "-"), &basic, CLIENT, token, "client_assertion", "echo", "alice"]
    {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_credentials_are_503_and_logged_as_an_error() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let token = "very-secret-opaque-token";
    let echo = format!("echo of {CLIENT} {SECRET} {token}");
    for credentials in each() {
        for page in [
            Page::status(401).body(json!({ "error": "invalid_client", "error_description": echo }).to_string()),
            Page::status(401).header("retry-after", "1").body(r#"{"error":"invalid_client"}"#),
            Page::status(403).body(json!({ "error": "invalid_client", "echo": echo }).to_string()),
            Page::status(400).body(json!({ "error": "invalid_client", "echo": echo }).to_string()),
            Page::status(400).body(json!({ "error": "unauthorized_client" }).to_string()),
        ] {
            let stub = Stub::with_page(page);
            let server = server_of(stub.issuer(credentials.clone()));
            let app = App::new(server.bearer_layer());
            capture.take();
            let answer = app.with_token(token).await;
            let log = capture.take();
            assert_eq!((answer.verdict().as_str(), answer.header("www-authenticate")), ("R503", None));
            assert_eq!(answer.rejection.as_ref().unwrap().kind(), RejectionKind::Misconfigured);
            let is_own = |(level, line): &&(Level, String)| {
                *level == Level::ERROR && line.starts_with("mcp_bearer::introspection ")
            };
            let own: Vec<_> = log.iter().filter(is_own).collect();
            let [(_, line)] = own.as_slice() else { panic!("{log:?}") };
            assert!(line.contains(ISSUER) && line.contains("rejects"), "{line}");
            assert_nothing_secret(&seen(&answer, &log), token);
            let health = server.health();
            assert!(matches!(health.issuers()[0].last_error().unwrap().kind(), FetchErrorKind::CredentialsRejected(_)));
            assert_nothing_secret(&format!("{health:?}"), token);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_never_reported_as_an_invalid_token() {
    let issuer = TestIssuer::builder(ISSUER).introspection_client(CLIENT, "another secret").build();
    for credentials in each() {
        let app = App::new(server_of(issuer.issuer().introspect_all(credentials)).bearer_layer());
        let token = issuer.token().audience(RESOURCE).opaque();
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
        assert_eq!(app.with_token("garbage").await.verdict(), "R503");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_and_introspection_responses_are_never_logged() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let token = "very-secret-opaque-token";
    let mut echo = active();
    echo["echo"] = json!(format!("{SECRET} {token}"));
    for credentials in each() {
        for page in [
            Page::json(&echo),
            Page::ok(json!({ "active": false, "sub": "alice", "echo": token }).to_string()),
            Page::ok(format!("<html>echo {token} {SECRET}</html>")),
            Page::status(500).body(format!("echo {token} {SECRET}")),
            Page::status(400).body(json!({ "error": "invalid_request", "echo": token }).to_string()),
            Page::status(400).body(json!({ "error": "unsupported_token_type", "echo": token }).to_string()),
            Page::status(503),
            // The issuer is logged, because it is the rejected value.
            Page::json(&json!({ "active": true, "sub": "alice", "aud": "echo", "iss": "https://other.example.com" })),
        ] {
            let stub = Stub::with_page(page);
            let app = app_of(
                &stub,
                Introspection::new(credentials.clone()).stale_on_error(std::time::Duration::from_secs(60)),
            );
            capture.take();
            // Until the circuit breaker opens, and again when it sends a probe.
            let mut answers = Vec::new();
            for _ in 0..8 {
                answers.push(app.with_token(token).await);
                advance(std::time::Duration::from_secs(3)).await;
            }
            let log = capture.take();
            for answer in answers.iter().filter(|answer| answer.verdict() != "OK") {
                assert_nothing_secret(&seen(answer, &log), token);
            }
            assert_nothing_secret(&log.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n"), token);
        }
    }
}

#[test]
fn debug_output_contains_no_credentials() {
    for credentials in each() {
        let printed =
            format!("{credentials:?} {:?} {:?}", Introspection::new(credentials.clone()), private_key().key_id("k"));
        assert!(printed.len() < 400 && !printed.contains("BEGIN"), "{printed}");
        assert_nothing_secret(&printed, "very-secret-opaque-token");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_warning_that_names_its_cause() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    fixture.issuer.stop();
    for token in super::numbered("failed", 6) {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    fixture.issuer.restart().unwrap();
    advance(std::time::Duration::from_secs(5)).await;
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    let log = capture.take();
    let of = |level: Level, text: &str| {
        log.iter()
            .filter(|(logged, line)| {
                *logged == level && line.starts_with("mcp_bearer::introspection") && line.contains(text)
            })
            .count()
    };
    assert_eq!((of(Level::WARN, "no response"), of(Level::WARN, "suspended"), of(Level::INFO, "resumed")), (3, 1, 1));
    let of_rejections = |level: Level| {
        let is_one = |(logged, line): &&(Level, String)| *logged == level && line.starts_with("mcp_bearer::rejection");
        log.iter().filter(is_one).count()
    };
    assert_eq!((of_rejections(Level::WARN), of_rejections(Level::INFO), of_rejections(Level::DEBUG)), (0, 3, 3));
    assert!(!log.iter().any(|(level, _)| *level == Level::ERROR));
}
