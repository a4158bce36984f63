//! K, continued: the contents and the number of introspection requests (RFC 7662, section 2.1).

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, header};
use mcp_bearer::Issuer;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::{Algorithm, PrivateKey};
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use serde_json::{Value, json};

use super::canned::{Canned, INTROSPECT, Page};
use super::trial::{self, Trial, base64url, bearer, credentials, from_base64url, hmac, own_key, parts, with};
use crate::support::{ISSUER, RESOURCE};
use crate::transport::over_a_socket;

/// The requests that the server sends to introspect a token. The first response is 503, so the server retries once.
async fn requests_for(id: &str, credentials: ClientCredentials, token: &str) -> Vec<Request<Bytes>> {
    let canned = Canned::default();
    let trial = canned.introspecting(credentials);
    canned.set(INTROSPECT, Page::status(503, ""));
    trial.token(id, "busy", token, "R503").await;
    let requests = canned.requests();
    assert_eq!(requests.len(), 2, "{id}: one more attempt");
    requests
}

fn form(request: &Request<Bytes>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(request.body()).into_owned().collect()
}

fn value(request: &Request<Bytes>, name: &str) -> String {
    let mut values = form(request).into_iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let value = values.next().unwrap();
    assert_eq!(values.next(), None, "{name} appears twice");
    value
}

#[tokio::test(start_paused = true)]
async fn client_id_and_secret_are_form_encoded_before_they_are_joined() {
    for (id, client, secret, expected) in [
        ("K12", "a:b", "s%c r+t/\u{e9}\"", "Basic YSUzQWI6cyUyNWMrciUyQnQlMkYlQzMlQTklMjI="),
        ("K12", "mcp-server", "s3cret", "Basic bWNwLXNlcnZlcjpzM2NyZXQ="),
    ] {
        for request in requests_for(id, ClientCredentials::basic(client, secret), "token").await {
            assert_eq!(request.headers()[header::AUTHORIZATION], expected, "{id} {client}");
            assert!(request.headers()[header::AUTHORIZATION].is_sensitive(), "{id} {client}");
            let names: Vec<String> = form(&request).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["token", "token_type_hint"], "{id} {client}: the credentials must be in one place only");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_posted_client_secret_is_only_in_the_body() {
    for (id, secret, encoded) in [("K13", "a&b=c+d%e f", "a%26b%3Dc%2Bd%25e+f"), ("K13", "&token=x", "%26token%3Dx")] {
        for request in requests_for(id, ClientCredentials::post("mcp-server", secret), "token").await {
            let body = std::str::from_utf8(request.body()).unwrap();
            let expected = format!("client_id=mcp-server&client_secret={encoded}");
            assert!(body.ends_with(&expected), "{id} {body}");
            assert_eq!((value(&request, "client_secret"), value(&request, "token")), (secret.into(), "token".into()));
            assert_eq!(*request.uri(), INTROSPECT, "{id}");
            assert!(!request.headers().contains_key(header::AUTHORIZATION), "{id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_has_a_new_client_assertion() {
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(own_key::pkcs8()));
    let mut ids = BTreeSet::new();
    for token in ["one", "two"] {
        let key = PrivateKey::from_pkcs8_pem(Algorithm::EdDSA, &pem).unwrap().key_id("k1");
        for request in requests_for("K14", ClientCredentials::private_key_jwt("mcp-server", key), token).await {
            let kind = value(&request, "client_assertion_type");
            assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "K14");
            let assertion = value(&request, "client_assertion");
            let [header, payload, signature] = parts(&assertion);
            let read = |part: &str| -> Value { serde_json::from_slice(&from_base64url(part)).unwrap() };
            let (header, mut claims) = (read(header), read(payload));
            assert_eq!(header, json!({"alg": "EdDSA", "typ": "client-authentication+jwt", "kid": "k1"}), "K14");
            let signed = assertion.rsplit_once('.').unwrap().0;
            assert_eq!(own_key::signature(signed), signature, "K14: Ed25519 signatures are deterministic");
            let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
            let id = id.as_str().unwrap().to_owned();
            assert!(id.len() >= 20 && ids.insert(id.clone()), "K14 {id}");
            let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
            assert!(iat >= 1_800_000_000 && exp > iat && exp - iat <= 300, "K14 {claims}");
            let expected = json!({"iss": "mcp-server", "sub": "mcp-server", "aud": ISSUER, "iat": iat, "exp": exp});
            assert_eq!(claims, expected, "K14: `aud` is the issuer as a string");
            assert!(!request.headers().contains_key(header::AUTHORIZATION), "K14");
            assert!(!form(&request).iter().any(|(name, _)| name == "client_secret"), "K14");
        }
    }
    assert_eq!(ids.len(), 4, "K14");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_form_encoded_and_only_in_the_body() {
    for (id, token, encoded) in
        [("K16", "aZ09-._~+/==", "aZ09-._%7E%2B%2F%3D%3D"), ("K16", "plain", "plain"), ("K16", "+2B", "%2B2B")]
    {
        for request in requests_for(id, credentials(), token).await {
            assert_eq!((request.method(), request.uri().to_string()), (&Method::POST, INTROSPECT.to_owned()), "{id}");
            let body = std::str::from_utf8(request.body()).unwrap();
            assert_eq!(body, format!("token={encoded}&token_type_hint=access_token"), "{id}");
            assert_eq!(request.headers()[header::CONTENT_TYPE], "application/x-www-form-urlencoded", "{id}");
            assert_eq!(request.headers()[header::ACCEPT], "application/json", "{id}");
            assert!(!format!("{:?}", request.headers()).contains(token), "{id} {token}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_is_never_introspected() {
    let trial = Trial::introspecting(credentials());
    for (id, token, verdict) in [
        ("K17", "A".repeat(1 << 20), "R401"),
        ("K17", "A".repeat(16 * 1024 + 1), "R401"),
        ("K17", "tok\ten".to_owned(), "R400"),
        ("K17", "tok en".to_owned(), "R400"),
        ("K17", "tok,en".to_owned(), "R400"),
        ("K17", "tok\"en".to_owned(), "R400"),
        ("K17", "to=ken".to_owned(), "R400"),
        ("K17", "%41".to_owned(), "R400"),
        ("K17", "t\u{f6}ken".to_owned(), "R400"),
        ("K17", "====".to_owned(), "R400"),
        ("K17", String::new(), "R400"),
    ] {
        let what: String = token.chars().take(20).collect();
        trial.token(id, &what, &token, verdict).await;
        assert_eq!(trial.requests(), (0, 0), "{id} {what}");
    }
    trial.token("K17", "16 KiB", &"A".repeat(16 * 1024), "R401").await;
    assert_eq!(trial.introspections(), 1, "K17: a token of the maximum length is introspected");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invalid_tokens_is_bounded_and_evicts_no_valid_token() {
    let trial = Trial::introspecting(credentials());
    let valid = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").opaque();
    trial.token("K18", "valid", &valid, "OK").await;
    trial.fixture.issuer.fault(Endpoint::Introspection, Fault::Delay(Duration::from_millis(250)));
    // Eight requests run at a time at first, and one more after each round. A request that waited for five seconds gets
    // 503.
    let flood = if over_a_socket() { 240 } else { 10_000 };
    let garbage: Vec<String> = (0..flood).map(|number| format!("garbage-{number}")).collect();
    let start = tokio::time::Instant::now();
    let answers = join_all(garbage.iter().map(|token| trial.app.send(bearer(token)))).await;
    assert!(start.elapsed() <= Duration::from_secs(6), "K18 {:?}", start.elapsed());
    let requests = trial.introspections() - 1;
    // 20 rounds of 250 ms, with 8 to 28 requests each.
    assert!((240..=20 * (8 + 28) / 2 + 28).contains(&requests), "K18: {requests} requests in five seconds");
    let verdicts = |verdict: &str| answers.iter().filter(|answer| answer.verdict() == verdict).count();
    assert_eq!((verdicts("R401"), verdicts("R503")), (requests, garbage.len() - requests), "K18");
    // Sent one after the other, each token is introspected once, and at most 1,000 results are cached.
    trial.fixture.issuer.heal();
    let garbage: Vec<String> = (0..2_000).map(|number| format!("more-garbage-{number}")).collect();
    for token in &garbage {
        trial.token("K18", token, token, "R401").await;
    }
    let before = trial.introspections();
    trial.token("K18", "good, cached", &valid, "OK").await;
    assert_eq!(trial.introspections(), before, "K18: the invalid tokens evicted it");
    for token in &garbage {
        trial.token("K18", token, token, "R401").await;
    }
    let again = trial.introspections() - before;
    assert!((1_000..2_000).contains(&again), "K18: {again} were introspected again");
}

#[tokio::test(start_paused = true)]
async fn an_introspection_response_is_not_an_access_token() {
    let local = Trial::cold();
    let asking = Trial::introspecting(credentials());
    for (id, typ) in [
        ("K20", "token-introspection+jwt"),
        ("K20", "application/token-introspection+jwt"),
        ("K20", "TOKEN-INTROSPECTION+JWT"),
    ] {
        for trial in [&local, &asking] {
            let header = with(trial.header(), json!({"typ": typ}));
            let nested = with(trial.claims(), json!({"active": true}));
            let claims = with(trial.claims(), json!({"token_introspection": nested}));
            let token = trial.sign(header.to_string(), claims.to_string());
            // The authorization server would report this token as active.
            trial.fixture.issuer.introspection_answer(&token, with(trial.claims(), json!({"active": true})));
            trial.reject(id, typ, &token).await;
        }
    }
    // The same type in the payload, with another `typ` in the header.
    for trial in [&local, &asking] {
        let header = with(trial.header(), json!({"typ": "JWT"}));
        let claims = with(trial.claims(), json!({"typ": "token-introspection+jwt"}));
        trial.reject("K20", "payload", &trial.sign(header.to_string(), claims.to_string())).await;
    }
}

/// An issuer whose JWTs are verified locally, and another one whose tokens are introspected.
async fn hybrid() -> (Trial, TestIssuer) {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let other = TestIssuer::builder("https://other.example.com").clock(clock.clone()).build();
    let here = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_opaque(credentials());
    let introspected = other.issuer().introspection_endpoint("https://other.example.com/introspect");
    let introspected = introspected.introspect_all(credentials());
    let trial = Trial::of(issuer, clock, |server| {
        let server = server.issuer(here).issuer(introspected);
        server.route_opaque(|token| token.starts_with("other.").then_some("https://other.example.com").or(Some(ISSUER)))
    });
    trial.fixture.server.warm_up().await.unwrap();
    (trial, other)
}

#[tokio::test(start_paused = true)]
async fn a_jwt_that_fails_local_verification_is_not_introspected() {
    let (trial, other) = hybrid().await;
    let at_start = (trial.introspections(), other.total_requests());
    let valid = trial.claims();
    let sign = |claims: &Value| trial.with_payload(claims.to_string());
    let (rest, signature) = {
        let token = sign(&valid);
        let (rest, signature) = token.rsplit_once('.').unwrap();
        (rest.to_owned(), signature.to_owned())
    };
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let none = json!({"alg": "none"});
    let symmetric = json!({"alg": "HS256", "kid": trial.fixture.issuer.key_id()});
    for (id, what, token) in [
        ("K22", "invalid signature", format!("{rest}.{flipped}{}", &signature[1..])),
        ("K22", "a signature of another length", format!("{rest}.AAAA")),
        ("K22", "an unknown key", own_key::sign(&with(trial.header(), json!({"alg": "EdDSA"})), &valid)),
        ("K22", "HMAC", hmac(&symmetric, &valid, b"secret")),
        ("K22", "none", format!("{}.{}.AAAA", base64url(none.to_string()), base64url(valid.to_string()))),
        ("K22", "expired", sign(&with(valid.clone(), json!({"exp": 1_799_990_000})))),
        ("K22", "another audience", sign(&with(valid.clone(), json!({"aud": "https://other.example.com"})))),
        ("K22", "another issuer", sign(&with(valid.clone(), json!({"iss": "https://evil.example.com"})))),
        ("K22", "without an issuer", sign(&with(valid.clone(), json!({"iss": null})))),
        ("K22", "bound", sign(&with(valid.clone(), json!({"cnf": {"jkt": "x"}})))),
    ] {
        // Both authorization servers would report the token as active.
        for issuer in [&trial.fixture.issuer, &other] {
            issuer.introspection_answer(&token, with(valid.clone(), json!({"active": true, "iss": issuer.url()})));
        }
        let before = (trial.introspections(), other.total_requests());
        trial.token(id, what, &token, "R401").await;
        assert_eq!((trial.introspections(), other.total_requests()), before, "{id} {what}: the token was introspected");
    }
    // A valid JWT is not introspected.
    trial.token("control", "a valid token", &sign(&valid), "OK").await;
    assert_eq!((trial.introspections(), other.total_requests()), at_start, "K22");
}

#[tokio::test(start_paused = true)]
async fn the_form_of_a_token_and_the_configuration_select_the_issuer() {
    let (trial, other) = hybrid().await;
    let valid = trial.claims();
    let foreign = with(valid.clone(), json!({"iss": "https://other.example.com"})).to_string();
    let jwt_of_other =
        own_key::sign(&json!({"alg": "EdDSA", "typ": "at+jwt"}), &serde_json::from_str(&foreign).unwrap());
    for (id, what, token, is_routed_to_other) in [
        ("K22", "opaque", "2YotnFZFEjr1zCsicMWpAA", false),
        ("K22", "two dots", "ab.cd.ef", false),
        ("K22", "two dots, routed", "other.cd.ef", true),
        ("K22", "two dots, base64url without JSON", "YWJj.ZGVm.Z2hp", false),
        ("K22", "five parts", "ab.cd.ef.gh.ij", false),
        // A JWT names its issuer, so `route_opaque` is not called for it.
        ("K22", "a JWT", jwt_of_other.as_str(), true),
    ] {
        for issuer in [&trial.fixture.issuer, &other] {
            issuer.introspection_answer(token, with(valid.clone(), json!({"active": true, "iss": issuer.url()})));
        }
        let before = (trial.introspections(), other.total_requests());
        trial.token(id, what, token, "OK").await;
        let expected = (before.0 + usize::from(!is_routed_to_other), before.1 + usize::from(is_routed_to_other));
        assert_eq!((trial.introspections(), other.total_requests()), expected, "{id} {what}");
    }
}

#[test]
fn several_issuers_with_opaque_tokens_need_route_opaque() {
    let issuer = |url: &str| Issuer::discover(url).introspect_all(Introspection::new(credentials()));
    let two =
        || mcp_bearer::ResourceServer::builder(RESOURCE).issuer(issuer(ISSUER)).issuer(issuer("https://b.example"));
    assert!(trial::server(two()).unwrap_err().to_string().contains("route_opaque"), "K22");
    trial::server(two().route_opaque(|_| Some(ISSUER))).unwrap();
}
