//! C: algorithm confusion and key confusion (RFC 8725, sections 2.1, 3.1 and 3.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};

use super::trial::{self, Trial, base64url, from_base64url, hmac, parts, with};
use crate::support::RESOURCE;

#[tokio::test]
async fn the_algorithm_of_a_token_must_be_in_the_allow_list() {
    let trial = Trial::cold();
    let valid = trial.fixture.token();
    let payload = parts(&valid)[1];
    for (id, alg) in [
        ("C01", json!("none")),
        ("C01", json!("None")),
        ("C01", json!("NONE")),
        ("C01", json!("nOnE")),
        ("C01", json!("none ")),
        ("C01", json!(" none")),
        ("C01", json!("none\0")),
        ("C01", json!("")),
        ("C02", Value::Null),
        ("C02", json!(1)),
        ("C02", json!(["ES256"])),
        ("C02", json!({})),
        ("C02", json!(true)),
        ("C02", json!("es256")),
        ("C02", json!("ES256 ")),
        ("C02", json!("marker".repeat(400))),
        ("C02", json!("marker".repeat(11_000))),
        ("C18", json!("Ed448")),
        ("C18", json!("ESP256")),
        ("C18", json!("ML-DSA-44")),
        ("C18", json!("ES256K")),
        ("C18", json!("ES521")),
    ] {
        let what = alg.to_string();
        // `null` removes the member. The other rows set it.
        let header = with(trial.header(), json!({"alg": alg}));
        let signed = trial.with_header(header.to_string());
        let header = base64url(header.to_string());
        for token in [
            signed,
            format!("{header}.{payload}."),
            format!("{header}.{payload}.AAAA"),
            format!("{header}.{payload}.{}", parts(&valid)[2]),
        ] {
            let answer = trial.reject(id, &what, &token).await;
            assert!(
                !format!("{:?}{}", answer.headers, answer.body).contains("marker"),
                "{id} {what} is repeated in the response"
            );
        }
    }
    let null = trial.header().to_string().replacen("\"ES256\"", "null", 1);
    trial.reject("C02", &null, &trial.with_header(&null)).await;
    trial.accept_a_valid_token().await;
}

#[tokio::test]
async fn a_public_key_is_not_used_as_an_hmac_secret() {
    type Secrets = fn(&Value) -> Vec<Vec<u8>>;
    let rows: [(Algorithm, Secrets); 3] =
        [(Algorithm::RS256, rsa_secrets), (Algorithm::ES256, curve_secrets), (Algorithm::EdDSA, curve_secrets)];
    for (algorithm, secrets) in rows {
        let (issuer, clock) = trial::issuer(algorithm);
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        let keys = trial.fixture.issuer.jwk_set();
        let jwk = &keys["keys"][0];
        let mut secrets = secrets(jwk);
        secrets.extend([jwk.to_string(), keys.to_string()].map(String::into_bytes));
        for (index, secret) in secrets.iter().enumerate() {
            for alg in ["HS256", "HS384", "HS512"] {
                for kid in [jwk["kid"].clone(), Value::Null, json!("unknown")] {
                    let id = if algorithm == Algorithm::RS256 { "C04" } else { "C05" };
                    let header = with(json!({"alg": alg, "typ": "at+jwt"}), json!({"kid": kid}));
                    let token = hmac(&header, &trial.claims(), secret);
                    trial.reject(id, &format!("{algorithm} {index} {header}"), &token).await;
                }
            }
        }
        // Some libraries use an empty secret if they do not find a key.
        for kid in [json!("unknown"), json!(""), Value::Null] {
            let header = with(json!({"alg": "HS256", "typ": "at+jwt"}), json!({"kid": kid}));
            trial.reject("C06", &header.to_string(), &hmac(&header, &trial.claims(), b"")).await;
        }
        trial.accept_a_valid_token().await;
    }
}

fn rsa_secrets(jwk: &Value) -> Vec<Vec<u8>> {
    let [n, e] = ["n", "e"].map(|name| from_base64url(jwk[name].as_str().unwrap()));
    let pkcs1 = der(0x30, &[der(0x02, &[vec![0], n.clone()].concat()), der(0x02, &e)].concat());
    let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let spki = der(0x30, &[der(0x30, &oid), der(0x03, &[vec![0], pkcs1.clone()].concat())].concat());
    let pem = pem("PUBLIC KEY", &spki, "\n");
    [
        pem.clone().into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
        self::pem("PUBLIC KEY", &spki, "\r\n").into_bytes(),
        format!(" \n{pem}").into_bytes(),
        format!("\u{feff}{pem}").into_bytes(),
        self::pem("RSA PUBLIC KEY", &pkcs1, "\n").into_bytes(),
        spki,
        pkcs1,
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        n,
    ]
    .into()
}

fn curve_secrets(jwk: &Value) -> Vec<Vec<u8>> {
    let [x, y] = ["x", "y"].map(|name| jwk[name].as_str().map(from_base64url).unwrap_or_default());
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let p256: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let (oid, bits) = if y.is_empty() { (&[6, 3, 0x2b, 0x65, 0x70][..], x.clone()) } else { (p256, point.clone()) };
    let spki = der(0x30, &[der(0x30, oid), der(0x03, &[vec![0], bits].concat())].concat());
    vec![point, pem("PUBLIC KEY", &spki, "\n").into_bytes(), spki, x]
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match content.len() {
        0..0x80 => vec![length[1]],
        0x80..0x100 => vec![0x81, length[1]],
        _ => vec![0x82, length[0], length[1]],
    };
    [&[tag], length.as_slice(), content].concat()
}

fn pem(label: &str, der: &[u8], line_end: &str) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----{line_end}{}{line_end}-----END {label}-----{line_end}", lines.join(line_end))
}

#[tokio::test]
async fn header_key_and_signature_must_have_the_same_algorithm() {
    use Algorithm as A;
    for (id, signed_with, published_as, named, verdict) in [
        ("control", A::PS256, json!("PS256"), "PS256", "OK"),
        ("control", A::RS512, json!("RS512"), "RS512", "OK"),
        ("C08", A::PS256, json!("RS256"), "PS256", "R401"),
        ("C08", A::RS512, json!("RS256"), "RS512", "R401"),
        ("C08", A::RS256, json!("PS256"), "RS256", "R401"),
        ("C09", A::PS256, json!("RS256"), "RS256", "R401"),
        ("C09", A::PS256, Value::Null, "RS256", "R401"),
        ("C09", A::PS256, json!("PS256"), "RS256", "R401"),
        ("C09", A::RS256, Value::Null, "RS384", "R401"),
        ("C10", A::RS256, Value::Null, "RS256", "OK"),
        ("C10", A::PS512, Value::Null, "PS512", "OK"),
        ("C10", A::RS256, Value::Null, "HS256", "R401"),
        ("C10", A::RS256, Value::Null, "ES256", "R401"),
        ("C10", A::RS256, Value::Null, "EdDSA", "R401"),
        ("C10", A::ES256, Value::Null, "ES256", "OK"),
        ("C10", A::ES256, Value::Null, "RS256", "R401"),
        ("C10", A::ES256, Value::Null, "ES384", "R401"),
        ("C10", A::ES256, Value::Null, "EdDSA", "R401"),
        ("C18", A::EdDSA, json!("EdDSA"), "Ed25519", "OK"),
        ("C18", A::EdDSA, json!("Ed25519"), "EdDSA", "OK"),
        ("C18", A::EdDSA, Value::Null, "Ed25519", "OK"),
    ] {
        let (issuer, clock) = trial::issuer(signed_with);
        let jwk = with(issuer.jwk_set()["keys"][0].clone(), json!({"alg": published_as}));
        issuer.publish_key_set(json!({"keys": [jwk]}));
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        trial.fixture.server.warm_up().await.unwrap();
        let before = trial.requests();
        let token = trial.with_header(with(trial.header(), json!({"alg": named})).to_string());
        trial.token(id, &format!("{signed_with} as {published_as}, {named}"), &token, verdict).await;
        assert_eq!(trial.requests(), before, "{id} {signed_with} {published_as} {named}");
    }
}

#[tokio::test]
async fn every_algorithm_of_a_mixed_allow_list_is_accepted() {
    use Algorithm as A;
    let (issuer, clock) = trial::issuer(A::RS256);
    let accepted = issuer.issuer().algorithms([A::RS256, A::ES256, A::EdDSA]);
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
    let token =
        |algorithm| trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").algorithm(algorithm).sign();
    for (id, algorithm) in [("C28", A::PS256), ("C28", A::ES384), ("C28", A::RS512)] {
        // This algorithm is not in the allow-list, whatever key the issuer publishes for it.
        trial.reject(id, algorithm.name(), &token(algorithm)).await;
    }
    for (id, algorithm) in [("C28", A::RS256), ("C28", A::ES256), ("C28", A::EdDSA)] {
        trial.token(id, algorithm.name(), &token(algorithm), "OK").await;
    }
}

#[test]
fn an_allow_list_contains_only_asymmetric_algorithms() {
    for (id, name) in [("C25", "HS256"), ("C25", "HS512"), ("C26", "none"), ("C26", ""), ("C26", "A256GCM")] {
        // `Algorithm` does not have a value for this name, so it cannot be allowed.
        let error = name.parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("use one of RS256"), "{id} {error}");
    }
    let issuer = Issuer::discover("https://auth.example.com").algorithms([]);
    let error = trial::server(ResourceServer::builder(RESOURCE).issuer(issuer)).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Algorithm, "C26");
    assert!(error.to_string().contains("add at least one"), "C26 {error}");
}
