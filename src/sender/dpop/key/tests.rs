use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::jose::Header;
use crate::testing::TestDpopKey;

/// The key of the examples of RFC 9449.
const X: &str = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
const Y: &str = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
/// The key of RFC 8037, appendix A.
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn from_header(header: &[u8], algorithm: Algorithm) -> Result<ProofKey, ProofError> {
    ProofKey::from_jwk(Header::parse(header).unwrap().jwk, algorithm)
}

fn thumbprint_for(algorithm: Algorithm, jwk: &Value) -> Result<String, ProofError> {
    let header = json!({ "jwk": jwk }).to_string();
    from_header(header.as_bytes(), algorithm).map(|key| key.thumbprint.to_string())
}

fn thumbprint(algorithm: Algorithm, jwk: &Value) -> Option<String> {
    thumbprint_for(algorithm, jwk).inspect_err(|error| assert_eq!(error.failure, ProofFailure::Key, "{jwk}")).ok()
}

fn reason(algorithm: Algorithm, jwk: &Value) -> String {
    let error = thumbprint_for(algorithm, jwk).unwrap_err();
    error.detail.unwrap().to_string()
}

fn ec() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y })
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

/// An RSA key with a modulus of this many bits, after `zeros` bytes of zero.
#[allow(clippy::arithmetic_side_effects, reason = "the numbers of bits are small")]
fn rsa(bits: usize, zeros: usize) -> Value {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = 0xff >> ((8 - bits % 8) % 8);
    json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([vec![0; zeros], modulus].concat()), "e": "AQAB" })
}

#[test]
fn published_thumbprints_are_computed() {
    assert_eq!(thumbprint(Algorithm::ES256, &ec()).as_deref(), Some(THUMBPRINT));
    let ed25519 = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X });
    let expected = Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(thumbprint(Algorithm::EdDSA, &ed25519).as_deref(), expected);
    // RFC 7638, section 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst\
             n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1\
             n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let rsa = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    let expected = Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(thumbprint(Algorithm::RS256, &rsa).as_deref(), expected);
}

#[test]
fn only_required_members_are_in_the_thumbprint() {
    for (name, value) in [
        ("kid", json!("2026-01")),
        ("kid", json!(1)),
        ("use", json!("sig")),
        ("use", Value::Null),
        ("alg", json!("ES256")),
        ("key_ops", json!(["verify"])),
        ("key_ops", json!(["sign", "verify"])),
        ("ext", json!(true)),
        ("x5c", json!(["MIIB", 1])),
        ("x5t", json!({})),
        ("iat", json!(1)),
        ("n", json!(1)),
        ("d", Value::Null),
    ] {
        let jwk = with(ec(), name, value);
        assert_eq!(thumbprint(Algorithm::ES256, &jwk).as_deref(), Some(THUMBPRINT), "{jwk}");
    }
    // Neither the order of the members nor an escape changes the key.
    let header = format!(r#"{{"jwk":{{"y":"{Y}","crv":"\u0050-256","\u0078":"{X}","kty":"EC"}}}}"#);
    let key = from_header(header.as_bytes(), Algorithm::ES256).unwrap();
    assert_eq!(key.thumbprint.to_string(), THUMBPRINT);
}

#[test]
fn private_members_are_rejected() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        for value in [json!("AAAA"), json!(""), json!([]), json!(0)] {
            assert_eq!(thumbprint(Algorithm::ES256, &with(ec(), name, value)), None, "{name}");
        }
    }
    let expected = "`jwk` has private members, which must never be sent";
    assert_eq!(reason(Algorithm::ES256, &with(ec(), "d", "AAAA")), expected);
}

#[test]
fn a_key_that_does_not_fit_the_algorithm_is_rejected() {
    assert!(thumbprint(Algorithm::RS256, &rsa(2048, 0)).is_some());
    let ed25519 = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X });
    for (algorithm, jwk) in [
        (Algorithm::RS256, ec()),
        (Algorithm::ES384, ec()),
        (Algorithm::EdDSA, ec()),
        (Algorithm::ES256, ed25519.clone()),
        (Algorithm::PS256, ed25519.clone()),
        (Algorithm::ES256, rsa(2048, 0)),
        (Algorithm::EdDSA, rsa(2048, 0)),
        (Algorithm::ES256, with(ec(), "alg", "ES384")),
        (Algorithm::ES256, with(ec(), "alg", "ECDH-ES")),
        (Algorithm::ES256, with(ec(), "alg", "")),
        (Algorithm::RS256, with(rsa(2048, 0), "alg", "PS256")),
        (Algorithm::ES256, with(ec(), "crv", "P-384")),
        (Algorithm::ES256, with(ec(), "crv", "secp256k1")),
        (Algorithm::ES256, with(ec(), "crv", "p-256")),
        (Algorithm::ES256, with(ec(), "kty", "ec")),
        (Algorithm::ES256, with(ec(), "kty", "AKP")),
        (Algorithm::ES256, json!({ "kty": "oct", "k": "AAAA" })),
        (Algorithm::EdDSA, with(ed25519.clone(), "crv", "X25519")),
        (Algorithm::EdDSA, with(ed25519, "crv", "Ed448")),
    ] {
        assert_eq!(thumbprint(algorithm, &jwk), None, "{algorithm} {jwk}");
    }
    let expected = "`kty`, `crv` or `alg` of `jwk` does not fit the `alg` of the header";
    assert_eq!(reason(Algorithm::RS256, &ec()), expected);
}

#[test]
fn a_key_that_is_not_for_signatures_is_rejected() {
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!("")),
        ("use", json!("SIG")),
        ("use", json!(["sig"])),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!([])),
        ("key_ops", json!("verify")),
        ("key_ops", json!(["verify", "verify"])),
        ("key_ops", json!(["verify", 1])),
    ] {
        let jwk = with(ec(), name, value);
        assert_eq!(thumbprint(Algorithm::ES256, &jwk), None, "{jwk}");
    }
}

#[test]
fn a_malformed_key_is_rejected() {
    let key_set = json!({ "keys": vec![ec(); 10] });
    for jwk in [
        Value::Null,
        json!("jwk"),
        json!(1),
        json!([]),
        json!([ec()]),
        json!(vec![ec(); 10]),
        key_set,
        json!(["EC", "P-256", X, Y]),
        json!({}),
        json!({ "kty": "EC" }),
        json!({ "kty": "EC", "crv": "P-256", "x": X }),
        with(ec(), "kty", Value::Null),
        with(ec(), "kty", json!(["EC"])),
        with(ec(), "x", json!(1)),
        with(ec(), "x", format!("{X}=")),
        with(ec(), "x", X.replace('-', "+")),
        with(ec(), "x", format!(" {X}")),
        // The last character has bits that are left over.
        with(ec(), "x", X.replace("BFs", "BFt")),
        with(ec(), "y", ""),
        // Not on the curve.
        with(ec(), "y", X),
        // A coordinate with a zero byte before it, or without its first byte.
        with(ec(), "x", URL_SAFE_NO_PAD.encode([&[0], &*URL_SAFE_NO_PAD.decode(X).unwrap()].concat())),
        with(ec(), "x", URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(X).unwrap()[1..])),
    ] {
        assert_eq!(thumbprint(Algorithm::ES256, &jwk), None, "{jwk}");
    }
    let neutral_element =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([&[1][..], &[0; 31]].concat()) });
    assert_eq!(thumbprint(Algorithm::EdDSA, &neutral_element), None);
    assert!(from_header(b"{}", Algorithm::ES256).is_err());
}

#[test]
fn an_rsa_key_has_2048_to_4096_bits() {
    for bits in [2048, 2049, 3072, 4096] {
        assert!(thumbprint(Algorithm::PS256, &rsa(bits, 0)).is_some(), "{bits}");
    }
    for bits in [512, 1024, 2040, 2047, 4097, 4104, 8192, 16_384] {
        assert_eq!(thumbprint(Algorithm::PS256, &rsa(bits, 0)), None, "{bits}");
    }
    for e in ["AA", "AQ", "Ag", "AQABAQABAQAB", ""] {
        assert_eq!(thumbprint(Algorithm::PS256, &with(rsa(2048, 0), "e", e)), None, "{e}");
    }
}

#[test]
fn a_zero_byte_before_a_number_does_not_make_a_second_thumbprint() {
    assert_eq!(thumbprint(Algorithm::RS256, &rsa(2048, 1)), None);
    assert_eq!(thumbprint(Algorithm::RS256, &with(rsa(2048, 0), "e", "AAEAAQ")), None);
    assert!(reason(Algorithm::RS256, &rsa(2048, 1)).contains("begins with a zero byte"));
}

#[test]
fn only_signatures_of_the_key_are_valid() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_supported()) {
        let signer = TestDpopKey::with_algorithm(algorithm);
        let signed = signer.sign_raw("header", "payload");
        let (input, signature) = signed.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let header = json!({ "jwk": signer.public_jwk() }).to_string();
        let key = from_header(header.as_bytes(), algorithm).unwrap();
        assert!(key.verifies(input.as_bytes(), &signature), "{algorithm}");
        assert!(!key.verifies(b"other", &signature) && !key.verifies(input.as_bytes(), b""), "{algorithm}");
    }
}
