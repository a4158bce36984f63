//! C, continued: signatures that a lenient verifier accepts.

use mcp_bearer::jose::Algorithm;
use serde_json::json;

use super::rsa_vectors::{N, SIGNATURES, signing_input};
use super::trial::{self, Trial, base64url, from_base64url, parts, with};

#[tokio::test]
async fn an_ecdsa_signature_with_special_values_of_r_and_s_is_rejected() {
    for (algorithm, order) in [(Algorithm::ES256, P256_ORDER), (Algorithm::ES384, P384_ORDER)] {
        let (issuer, clock) = trial::issuer(algorithm);
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        trial.fixture.server.warm_up().await.unwrap();
        let valid = trial.fixture.token();
        let signed = valid.rsplit_once('.').unwrap().0;
        let order = from_hex(order);
        let length = order.len();
        let small = |value: u8| [vec![0; length - 1], vec![value]].concat();
        let near = |change: i16| {
            let mut number = order.clone();
            // The last byte of both orders is neither 00 nor ff.
            *number.last_mut().unwrap() = number[length - 1].checked_add_signed(change.try_into().unwrap()).unwrap();
            number
        };
        let numbers = [small(0), small(1), near(-1), order.clone(), near(1), vec![0xff; length]];
        for r in &numbers {
            for s in &numbers {
                let signature = base64url([r.as_slice(), s].concat());
                trial.reject("C13", &format!("{algorithm} {signature}"), &format!("{signed}.{signature}")).await;
            }
        }
        trial.accept_a_valid_token().await;
    }
}

#[tokio::test]
async fn an_ecdsa_signature_has_two_numbers_of_fixed_length() {
    let trial = Trial::warm().await;
    let valid = trial.fixture.token();
    let signed = valid.rsplit_once('.').unwrap().0;
    let signature = from_base64url(parts(&valid)[2]);
    let (r, s) = signature.split_at(32);
    let integer = |number: &[u8]| {
        let start = number.iter().position(|byte| *byte != 0).unwrap();
        let sign = if number[start] & 0x80 == 0 { &[][..] } else { &[0] };
        let content = [sign, &number[start..]].concat();
        [&[2, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    };
    let content = [integer(r), integer(s)].concat();
    let der = [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat();
    for (id, what, signature) in [
        ("C14", "DER", der),
        ("C14", "a longer r", [&[0], r, s].concat()),
        ("C14", "a longer s", [r, &[0], s].concat()),
        ("C14", "both longer", [&[0], r, &[0], s].concat()),
        ("C14", "r alone", r.to_vec()),
        ("C14", "truncated", signature[..63].to_vec()),
        ("C14", "more behind", [&signature[..], &[0]].concat()),
        ("C14", "swapped", [s, r].concat()),
    ] {
        trial.reject(id, what, &format!("{signed}.{}", base64url(signature))).await;
    }
    // ECDSA signatures are malleable: a second valid signature can be computed without the key. The crate must not
    // identify a token by its bytes.
    let other = base64url([r, &subtract(&from_hex(P256_ORDER), s)].concat());
    trial.token("C16", "n - s", &format!("{signed}.{other}"), "OK").await;
}

#[tokio::test]
async fn rsa_padding_and_parameters_are_exact() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    issuer.publish_key_set(json!({"keys": [{"kty": "RSA", "kid": "rsa", "n": N, "e": "AQAB"}]}));
    let accepted = issuer.issuer();
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
    trial.fixture.server.warm_up().await.unwrap();
    let before = trial.requests();
    for (id, algorithm, what, signature, verdict) in SIGNATURES {
        let token = format!("{}.{signature}", signing_input(algorithm));
        trial.token(id, &format!("{algorithm} {what}"), &token, verdict).await;
        assert_eq!(trial.requests(), before, "{id} {what}");
    }
    assert_eq!(SIGNATURES.iter().filter(|row| row.4 == "OK").count(), 2);
}

#[tokio::test]
async fn a_changed_token_is_rejected() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256] {
        let (issuer, clock) = trial::issuer(algorithm);
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        trial.fixture.server.warm_up().await.unwrap();
        let valid = trial.fixture.token();
        let [header, payload, signature] = parts(&valid);
        let more = with(trial.claims(), json!({"scope": "mcp:tools admin"})).to_string();
        let zeros = base64url(vec![0; from_base64url(signature).len()]);
        for (id, what, token) in [
            ("C09", "other claims", format!("{header}.{}.{signature}", base64url(more))),
            (
                "C09",
                "another header",
                format!("{}.{payload}.{signature}", base64url(with(trial.header(), json!({"x": 1})).to_string())),
            ),
            ("C13", "zeros", format!("{header}.{payload}.{zeros}")),
            ("C22", "empty but for one byte", format!("{header}.{payload}.AA")),
        ] {
            trial.token(id, &format!("{algorithm} {what}"), &token, "R401").await;
        }
        trial.token("control", algorithm.name(), &valid, "OK").await;
    }
}

/// `left - right`, both big-endian and of the same length.
fn subtract(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let mut difference: Vec<u8> = std::iter::zip(left, right)
        .rev()
        .map(|(left, right)| {
            let byte = i16::from(*left) - i16::from(*right) - borrow;
            borrow = i16::from(byte < 0);
            u8::try_from(byte.rem_euclid(256)).unwrap()
        })
        .collect();
    difference.reverse();
    difference
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P384_ORDER: &str =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
