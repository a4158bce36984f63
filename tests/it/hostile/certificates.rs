//! N: tokens that are bound to a client certificate (RFC 8705), at a server that accepts them. A proxy writes the
//! certificate into the header `Client-Cert` (RFC 9440).

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use mcp_bearer::sender::ClientCertificateHeader;
use serde_json::{Value, json};

use super::proofs::{Bound, JKT, accepting, bound_to, request};
use super::trial::{Trial, base64url};

/// The outer form of a certificate. The proxy has verified the rest.
const CERTIFICATE: &[u8] = &[0x30, 11, 0x30, 3, 2, 1, 1, 0x30, 0, 3, 2, 0, 1];
const OTHER_CERTIFICATE: &[u8] = &[0x30, 11, 0x30, 3, 2, 1, 2, 0x30, 0, 3, 2, 0, 1];

async fn behind_a_proxy() -> Trial {
    accepting(|server| server.client_certificate_from_header(ClientCertificateHeader::Rfc9440)).await
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&SHA256, bytes).as_ref().to_vec()
}

/// A request with this token, and with this certificate in the header of the proxy.
fn with_certificate(mut request: Request<Body>, der: &[u8]) -> Request<Body> {
    let header = format!(":{}:", STANDARD.encode(der));
    request.headers_mut().append("client-cert", header.parse().unwrap());
    request
}

#[tokio::test]
async fn a_bound_token_needs_its_certificate() {
    let trial = behind_a_proxy().await;
    let token = bound_to(&trial, json!({"x5t#S256": base64url(sha256(CERTIFICATE))}));
    let bearer = || request("Bearer", &token, &[]);
    trial.request("control", "its certificate", with_certificate(bearer(), CERTIFICATE), "OK").await;
    trial.request("N01", "no certificate", bearer(), "R401").await;
    trial.request("N01", "another certificate", with_certificate(bearer(), OTHER_CERTIFICATE), "R401").await;
    let twice = with_certificate(with_certificate(bearer(), CERTIFICATE), CERTIFICATE);
    trial.request("N01", "two certificates", twice, "R401").await;
    for (id, name, value) in [
        ("N01", "x-forwarded-client-cert", format!("Cert=\"{}\"", STANDARD.encode(CERTIFICATE))),
        ("N01", "x-ssl-client-cert", STANDARD.encode(CERTIFICATE)),
        ("N01", "ssl-client-cert", STANDARD.encode(CERTIFICATE)),
        ("N01", "client-cert-chain", format!(":{}:", STANDARD.encode(CERTIFICATE))),
    ] {
        let mut request = bearer();
        request.headers_mut().insert(name, value.parse().unwrap());
        trial.request(id, &format!("the header {name}"), request, "R401").await;
    }
    trial.request("N01", "a bearer token", request("Bearer", &trial.fixture.token(), &[]), "OK").await;
}

#[tokio::test]
async fn a_certificate_is_ignored_without_the_setting() {
    let trial = accepting(|server| server).await;
    let token = bound_to(&trial, json!({"x5t#S256": base64url(sha256(CERTIFICATE))}));
    let request = with_certificate(request("Bearer", &token, &[]), CERTIFICATE);
    trial.request("N01", "no setting", request, "R401").await;
}

#[tokio::test]
async fn a_thumbprint_is_the_sha_256_digest_of_the_der_in_base64url() {
    let trial = behind_a_proxy().await;
    let digest = sha256(CERTIFICATE);
    let valid = base64url(&digest);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(CERTIFICATE));
    let sha1 = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, CERTIFICATE);
    let trailing = [CERTIFICATE, &[0]].concat();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    for (id, what, cnf) in [
        ("N02", "in hexadecimal", json!({"x5t#S256": hex})),
        ("N02", "padded", json!({"x5t#S256": format!("{valid}=")})),
        ("N02", "in base64", json!({"x5t#S256": STANDARD.encode(&digest)})),
        ("N02", "SHA-1", json!({"x5t#S256": base64url(sha1)})),
        ("N02", "SHA-1 as x5t", json!({"x5t": base64url(sha1)})),
        ("N02", "SHA-256 as x5t", json!({"x5t": valid})),
        ("N02", "another case of the name", json!({"x5t#s256": valid})),
        ("N02", "of the PEM", json!({"x5t#S256": base64url(sha256(pem.as_bytes()))})),
        ("N02", "of the DER and one more byte", json!({"x5t#S256": base64url(sha256(&trailing))})),
        ("N02", "a number", json!({"x5t#S256": 1})),
        ("N02", "null", json!({"x5t#S256": null})),
        ("N02", "empty", json!({"x5t#S256": ""})),
    ] {
        let request = with_certificate(request("Bearer", &bound_to(&trial, cnf), &[]), CERTIFICATE);
        trial.request(id, what, request, "R401").await;
    }
    // A certificate with trailing bytes is not a certificate, even if the token has its digest.
    let token = bound_to(&trial, json!({"x5t#S256": base64url(sha256(&trailing))}));
    trial.request("N02", "trailing bytes", with_certificate(request("Bearer", &token, &[]), &trailing), "R401").await;
    let token = bound_to(&trial, json!({"x5t#S256": base64url(sha256(pem.as_bytes()))}));
    trial.request("N02", "PEM", with_certificate(request("Bearer", &token, &[]), pem.as_bytes()), "R401").await;
}

#[tokio::test]
async fn every_member_of_cnf_must_hold() {
    let trial = behind_a_proxy().await;
    let bound = |jkt: &str, der: &[u8]| {
        let cnf: Value = json!({"jkt": jkt, "x5t#S256": base64url(sha256(der))});
        Bound::with(&trial, cnf)
    };
    let other_key = base64url(sha256(b"another key"));
    for (id, what, bound, certificate, verdict) in [
        ("N04", "both", bound(JKT, CERTIFICATE), Some(CERTIFICATE), "OK"),
        ("N04", "without the certificate", bound(JKT, CERTIFICATE), None, "R401"),
        ("N04", "another certificate", bound(JKT, CERTIFICATE), Some(OTHER_CERTIFICATE), "R401"),
        ("N04", "another key", bound(&other_key, CERTIFICATE), Some(CERTIFICATE), "R401"),
        ("N04", "neither", bound(&other_key, OTHER_CERTIFICATE), Some(CERTIFICATE), "R401"),
    ] {
        let mut sent = request("DPoP", &bound.token, &[bound.valid()]);
        if let Some(certificate) = certificate {
            sent = with_certificate(sent, certificate);
        }
        trial.request(id, what, sent, verdict).await;
    }
    let bound = bound(JKT, CERTIFICATE);
    let without_proof = with_certificate(request("DPoP", &bound.token, &[]), CERTIFICATE);
    trial.request("N04", "without the proof", without_proof, "P401").await;
    let as_bearer = with_certificate(request("Bearer", &bound.token, &[]), CERTIFICATE);
    trial.request("N04", "as Bearer, with the certificate", as_bearer, "R401").await;
}
