//! The only file of this module that names the cryptography crate.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaSignatureEncoding, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::jose::Algorithm;

/// A key pair with the algorithm that it signs with.
pub(super) struct TestSigningKey {
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Rsa(LentRsaKey),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TestSigningKey {
    #[expect(clippy::expect_used, reason = "making a key fails only without a source of randomness")]
    pub(super) fn generate(algorithm: Algorithm) -> Self {
        let ecdsa = |parameters| EcdsaKeyPair::generate(parameters).map(Pair::Ecdsa);
        let pair = match Scheme::of(algorithm) {
            Scheme::Rsa(_) => Ok(Pair::Rsa(LentRsaKey::take())),
            Scheme::P256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Scheme::P384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Scheme::P521 => ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Scheme::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        Self { algorithm, pair: pair.expect("a key pair can be made") }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    #[expect(clippy::expect_used, reason = "a new key pair signs with the parameters of its algorithm")]
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match (&self.pair, Scheme::of(self.algorithm)) {
            (Pair::Rsa(lent), Scheme::Rsa(encoding)) => {
                let mut signature = vec![0; lent.pair().public_modulus_len()];
                lent.pair().sign(encoding, &random, message, &mut signature).expect("an RSA key pair signs");
                signature
            }
            (Pair::Ecdsa(pair), _) => pair.sign(&random, message).expect("an EC key pair signs").as_ref().to_vec(),
            (Pair::Ed25519(pair), _) => pair.sign(message).as_ref().to_vec(),
            (Pair::Rsa(_), _) => Vec::new(),
        }
    }

    /// Signs a header and a payload: the JWS compact serialization (RFC 7515, section 7.1).
    pub(super) fn sign_compact(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Whether this key made this signature.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let public_key = match &self.pair {
            Pair::Rsa(lent) => lent.pair().public_key().as_ref(),
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        UnparsedPublicKey::new(verification(self.algorithm), public_key).verify(message, signature).is_ok()
    }

    /// The public key as an entry of a key set.
    pub(super) fn public_jwk(&self, kid: &str) -> Value {
        let mut jwk = self.public_key();
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".into(), kid.into());
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), self.algorithm.name().into());
        }
        jwk
    }

    /// The required members of the public key (RFC 7518, section 6; RFC 8037, section 2), in the order of RFC 7638, section 3.
    pub(super) fn public_key(&self) -> Value {
        match &self.pair {
            Pair::Rsa(lent) => {
                let (modulus, exponent) = rsa_numbers(lent.pair().public_key().as_ref()).unwrap_or_default();
                json!({ "e": base64url(exponent), "kty": "RSA", "n": base64url(modulus) })
            }
            Pair::Ecdsa(pair) => {
                // 0x04, x, y (SEC 1, section 2.3.3).
                let point = pair.public_key().as_ref().split_first().map(|(_, point)| point).unwrap_or_default();
                let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
                json!({ "crv": curve(self.algorithm), "kty": "EC", "x": base64url(x), "y": base64url(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "crv": curve(self.algorithm), "kty": "OKP", "x": base64url(pair.public_key().as_ref()) })
            }
        }
    }
}

enum Scheme {
    Rsa(&'static RsaSignatureEncoding),
    P256,
    P384,
    P521,
    Ed25519,
}

impl Scheme {
    const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::Rsa(&RSA_PKCS1_SHA256),
            Algorithm::RS384 => Self::Rsa(&RSA_PKCS1_SHA384),
            Algorithm::RS512 => Self::Rsa(&RSA_PKCS1_SHA512),
            Algorithm::PS256 => Self::Rsa(&RSA_PSS_SHA256),
            Algorithm::PS384 => Self::Rsa(&RSA_PSS_SHA384),
            Algorithm::PS512 => Self::Rsa(&RSA_PSS_SHA512),
            Algorithm::ES256 => Self::P256,
            Algorithm::ES384 => Self::P384,
            Algorithm::ES512 => Self::P521,
            Algorithm::EdDSA => Self::Ed25519,
        }
    }
}

fn verification(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDSA => &signature::ED25519,
    }
}

/// 256 random bits that nobody guesses, as 43 characters of base64url.
#[expect(clippy::expect_used, reason = "it fails only without a source of randomness")]
pub(super) fn random_text() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the machine has randomness");
    base64url(&bytes)
}

/// The SHA-256 digest of a message.
pub(super) fn sha256(message: impl AsRef<[u8]>) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, message.as_ref()).as_ref());
    bytes
}

const fn curve(algorithm: Algorithm) -> &'static str {
    match Scheme::of(algorithm) {
        Scheme::P256 => "P-256",
        Scheme::P384 => "P-384",
        Scheme::P521 => "P-521",
        Scheme::Ed25519 => "Ed25519",
        Scheme::Rsa(_) => "",
    }
}

/// An RSA key pair that no other living key of this process uses, so that no issuer can pass for another.
///
/// Making one takes a tenth of a second or more: it goes back to the shelf when its issuer is dropped.
struct LentRsaKey {
    // Empty only while being dropped.
    pair: Option<RsaKeyPair>,
}

static SHELF: Mutex<Vec<RsaKeyPair>> = Mutex::new(Vec::new());

impl LentRsaKey {
    #[expect(clippy::expect_used, reason = "making a key fails only without a source of randomness")]
    fn take() -> Self {
        let shelved = shelf().pop();
        let made = || RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key pair can be made");
        Self { pair: Some(shelved.unwrap_or_else(made)) }
    }

    #[expect(clippy::expect_used, reason = "empty only while being dropped")]
    const fn pair(&self) -> &RsaKeyPair {
        self.pair.as_ref().expect("present until dropped")
    }
}

impl Drop for LentRsaKey {
    fn drop(&mut self) {
        shelf().extend(self.pair.take());
    }
}

fn shelf() -> MutexGuard<'static, Vec<RsaKeyPair>> {
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Modulus and exponent of a DER `RSAPublicKey` (RFC 8017, appendix A.1.1), without leading zeros.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (numbers, _) = der_element(SEQUENCE, der)?;
    let (modulus, rest) = der_element(INTEGER, numbers)?;
    let (exponent, _) = der_element(INTEGER, rest)?;
    Some((without_leading_zero(modulus), without_leading_zero(exponent)))
}

/// The content of the element at the start, and what follows it.
fn der_element(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = input.split_first_chunk()?;
    let (length, rest) = match length.checked_sub(0x80) {
        None => (usize::from(length), rest),
        Some(bytes) => {
            let (length, rest) = rest.split_at_checked(bytes.into())?;
            let length = length.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()));
            (length?, rest)
        }
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

fn without_leading_zero(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_key_checks_what_was_signed() {
        for algorithm in Algorithm::ALL {
            // The independent checker has no P-521.
            if algorithm == Algorithm::ES512 {
                continue;
            }
            let key = TestSigningKey::generate(algorithm);
            let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.public_jwk("k")).unwrap();
            let checker = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
            let signature = base64url(&key.sign(b"message"));
            let name = algorithm.name().parse().unwrap();
            let verdict = jsonwebtoken::crypto::verify(&signature, b"message", &checker, name);
            assert!(verdict.unwrap(), "{algorithm}");
        }
    }

    #[test]
    fn a_key_knows_its_own_signatures_and_no_others() {
        for algorithm in Algorithm::ALL {
            let (key, other) = (TestSigningKey::generate(algorithm), TestSigningKey::generate(algorithm));
            let signature = key.sign(b"message");
            assert!(key.verifies(b"message", &signature), "{algorithm}");
            assert!(!key.verifies(b"massage", &signature) && !other.verifies(b"message", &signature), "{algorithm}");
        }
    }

    #[test]
    fn two_living_keys_are_never_the_same() {
        let keys = [Algorithm::RS256, Algorithm::PS256, Algorithm::RS256].map(TestSigningKey::generate);
        let [first, second, third] = keys.map(|key| key.public_jwk("k")["n"].as_str().unwrap().to_owned());
        assert!(first != second && second != third && first != third);
        // 2048 bits.
        assert_eq!(first.len(), 342);
    }

    #[test]
    fn coordinates_have_the_length_of_their_field() {
        for (algorithm, length) in [(Algorithm::ES256, 43), (Algorithm::ES384, 64), (Algorithm::ES512, 88)] {
            let jwk = TestSigningKey::generate(algorithm).public_jwk("k");
            assert_eq!((jwk["x"].as_str().unwrap().len(), jwk["y"].as_str().unwrap().len()), (length, length));
        }
    }
}
