use std::convert::Infallible;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use super::{TestClient, TestDpopKey};
use crate::jose::{Algorithm, Thumbprint};
use crate::testing::{TestClock, TestIssuer};

const URL: &str = "https://mcp.example.com/mcp";
/// The access token of RFC 9449, section 7.1, and its digest.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const TOKEN_DIGEST: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

fn parts(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    [(); 2].map(|()| serde_json::from_slice(&parts.next().unwrap()).unwrap())
}

/// Whether an independent implementation accepts the signature by the key in the proof.
fn is_signed_by_its_key(proof: &str) -> bool {
    let [header, _] = parts(proof);
    let jwk: Jwk = serde_json::from_value(header["jwk"].clone()).unwrap();
    let checker = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let (signed, signature) = proof.rsplit_once('.').unwrap();
    let algorithm = header["alg"].as_str().unwrap().parse().unwrap();
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &checker, algorithm).unwrap()
}

#[test]
fn a_proof_is_signed_by_the_key_that_it_contains() {
    for algorithm in Algorithm::ALL {
        // The independent implementation has no P-521.
        if algorithm == Algorithm::ES512 {
            continue;
        }
        let key = TestDpopKey::with_algorithm(algorithm);
        let proof = key.proof("POST", URL).sign();
        assert!(is_signed_by_its_key(&proof), "{algorithm}");
        assert!(!is_signed_by_its_key(
            &key.proof("POST", URL).signed_by(&TestDpopKey::with_algorithm(algorithm)).sign()
        ));
        let jwk: Jwk = serde_json::from_value(key.public_jwk()).unwrap();
        assert_eq!(key.thumbprint().to_string(), jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), "{algorithm}");
    }
}

#[test]
fn a_proof_has_the_members_of_rfc_9449() {
    let clock = TestClock::at(1_800_000_000);
    let key = TestDpopKey::new().clock(clock.clone());
    let proof = || key.proof("POST", "https://mcp.example.com/mcp?a=b#c");
    let [header, claims] = parts(&proof().sign());
    assert_eq!(header, json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk() }));
    let id = claims["jti"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(claims, json!({ "htm": "POST", "htu": URL, "iat": 1_800_000_000, "jti": id }));

    let [_, other] = parts(&proof().access_token(TOKEN).nonce("n").sign());
    assert_eq!((&other["ath"], &other["nonce"]), (&json!(TOKEN_DIGEST), &json!("n")));
    assert_ne!(other["jti"], claims["jti"]);

    clock.advance(Duration::from_secs(5));
    assert_eq!(parts(&proof().sign())[1]["iat"], 1_800_000_005);
}

#[test]
fn each_member_of_a_proof_can_be_changed() {
    let key = TestDpopKey::new().clock(TestClock::at(1_000));
    let proof = || key.proof("GET", URL);
    let seconds = Duration::from_secs;
    for (proof, member, expected) in [
        (proof().issued_ago(seconds(61)), "iat", json!(939)),
        (proof().issued_in(seconds(61)), "iat", json!(1_061)),
        (proof().issued_at(-1), "iat", json!(-1)),
        (proof().claim("htm", "get"), "htm", json!("get")),
        (proof().without("jti"), "jti", Value::Null),
    ] {
        let proof = proof.sign();
        assert_eq!(parts(&proof)[1][member], expected, "{member}");
        assert!(is_signed_by_its_key(&proof));
    }
    for (proof, member, expected) in [
        (proof().header("typ", "JWT"), "typ", json!("JWT")),
        (proof().header("alg", "none"), "alg", json!("none")),
        (proof().header("jwk", json!({ "kty": "oct" })), "jwk", json!({ "kty": "oct" })),
        (proof().header("kid", "k"), "kid", json!("k")),
        (proof().without_header("typ"), "typ", Value::Null),
        (proof().without_header("jwk"), "jwk", Value::Null),
    ] {
        assert_eq!(parts(&proof.sign())[0][member], expected, "{member}");
    }
    let raw = key.sign_raw("{\"a\":1,\"a\":2}", "[]");
    assert!(raw.starts_with(&format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode("{\"a\":1,\"a\":2}"),
        URL_SAFE_NO_PAD.encode("[]")
    )));
}

#[test]
fn a_bound_token_has_the_thumbprint_of_its_key() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let (key, certificate) = (issuer.dpop_key(), Thumbprint::from_bytes([7; 32]));
    let (jkt, x5t) = (key.thumbprint().to_string(), certificate.to_string());
    for (token, token_type, expected) in [
        (issuer.token(), "Bearer", Value::Null),
        (issuer.token().bound_to(&key), "DPoP", json!({ "jkt": jkt })),
        (issuer.token().bound_to_certificate(certificate), "Bearer", json!({ "x5t#S256": x5t })),
        (
            issuer.token().bound_to_certificate(certificate).bound_to(&key),
            "DPoP",
            json!({ "jkt": jkt, "x5t#S256": x5t }),
        ),
        (issuer.token().bound_to(&key).claim("token_type", "other"), "other", json!({ "jkt": jkt })),
        (issuer.token().bound_to(&key).claim("cnf", json!({})), "Bearer", json!({})),
    ] {
        let token = token.sign();
        let answer = issuer.introspect(&token);
        assert_eq!((&answer["token_type"], &answer["cnf"]), (&json!(token_type), &expected));
        assert_eq!(parts(&token)[1]["cnf"], expected);
    }
    let opaque = issuer.introspect(&issuer.token().bound_to(&key).opaque());
    assert_eq!((&opaque["token_type"], &opaque["cnf"]), (&json!("DPoP"), &json!({ "jkt": jkt })));
}

#[test]
fn a_client_sends_both_headers_with_a_new_proof_each_time() {
    let client =
        TestClient::with_key(TestIssuer::builder("https://a.example.com").clock(TestClock::at(7)).build().dpop_key());
    let requests = [(); 2].map(|()| client.request("DELETE", "https://mcp.example.com/mcp?x", TOKEN).body(()).unwrap());
    let proofs = requests.map(|request| {
        assert_eq!((request.method().as_str(), request.uri().query()), ("DELETE", Some("x")));
        assert_eq!(request.headers()["authorization"], format!("DPoP {TOKEN}").as_str());
        parts(request.headers()["dpop"].to_str().unwrap())
    });
    for [header, claims] in &proofs {
        let id = &claims["jti"];
        assert_eq!(header["jwk"], client.key().public_jwk());
        assert_eq!(claims, &json!({ "htm": "DELETE", "htu": URL, "iat": 7, "jti": id, "ath": TOKEN_DIGEST }));
    }
    let [[_, first], [_, second]] = &proofs;
    assert_ne!(first["jti"], second["jti"]);
}

#[test]
fn a_client_keeps_the_nonce_of_each_response() {
    let client = TestClient::dpop();
    let challenge = |code: &str| format!("DPoP error=\"{code}\", algs=\"ES256\"");
    for (nonce, challenges, is_asked, kept) in [
        (None, vec![challenge("use_dpop_nonce")], false, None),
        (Some("a"), vec![], false, Some("a")),
        (Some("b"), vec!["Bearer scope=\"x\"".to_owned(), challenge("use_dpop_nonce")], true, Some("b")),
        (Some("c"), vec![challenge("invalid_dpop_proof")], false, Some("c")),
        (None, vec![], false, Some("c")),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(nonce) = nonce {
            headers.insert("dpop-nonce", HeaderValue::from_static(nonce));
        }
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        assert_eq!(client.accept_nonce(&headers), is_asked, "{headers:?}");
        assert_eq!(client.nonce().as_deref(), kept);
        assert_eq!(parts(&client.proof("GET", URL).sign())[1].get("nonce"), kept.map(Value::from).as_ref());
    }
}

/// A response of a server that accepts one nonce.
fn judge(request: &Request<String>, accepted: &str) -> Result<Response<String>, Infallible> {
    let [_, claims] = parts(request.headers()["dpop"].to_str().unwrap());
    let mut response = Response::new(request.body().clone());
    if claims["nonce"] != accepted {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().insert("dpop-nonce", HeaderValue::from_static("n"));
        let challenge = HeaderValue::from_static("DPoP error=\"use_dpop_nonce\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    Ok(response)
}

#[tokio::test]
async fn a_client_sends_a_request_again_once_with_the_nonce() {
    for (accepted, expected, count) in [("n", 200, 2), ("never", 401, 2)] {
        let client = TestClient::dpop();
        let (sent, received) = std::sync::mpsc::channel();
        let service = service_fn(|request: Request<String>| {
            sent.send(()).unwrap();
            std::future::ready(judge(&request, accepted))
        });
        let request = Request::post(URL).header("x-own", "1").body("body".to_owned()).unwrap();
        let response = client.send(service, request.clone(), TOKEN).await.unwrap();
        assert_eq!((response.status().as_u16(), response.body().as_str()), (expected, "body"));
        assert_eq!(received.try_iter().count(), count);

        // The next request starts with the nonce.
        let service = service_fn(|request: Request<String>| std::future::ready(judge(&request, accepted)));
        let again = client.request("POST", URL, TOKEN).body("body".to_owned()).unwrap();
        assert_eq!(service.oneshot(again).await.unwrap().status().as_u16(), expected);
    }
}

#[tokio::test]
#[should_panic(expected = "is not absolute: use https://mcp.example.com/mcp")]
async fn a_request_without_a_host_is_a_mistake() {
    let service = service_fn(|request: Request<String>| std::future::ready(judge(&request, "n")));
    let _ = TestClient::dpop().send(service, Request::get("/mcp").body(String::new()).unwrap(), TOKEN).await;
}
