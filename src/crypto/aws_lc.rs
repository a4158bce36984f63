//! The cryptography backend AWS-LC, through the crate `aws-lc-rs`.

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaKeyPair};
use aws_lc_rs::{constant_time, digest, hmac};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Algorithm, Fingerprint};

/// The longest RSA modulus, in bits. To verify a signature with a longer one takes milliseconds.
pub(crate) const MAX_RSA_BITS: usize = 8192;

/// A public key, imported for one algorithm.
pub(crate) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Imports an RSA key: modulus and exponent, big-endian, without leading zeros. `None` if it is invalid.
    pub(crate) fn from_rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Option<Self> {
        let parameters = match algorithm {
            Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 | Algorithm::EdDSA => return None,
        };
        PublicKeyComponents { n, e }.to_parsed_public_key(parameters).ok().map(Self)
    }

    /// Imports a point: `04`, x, y for ECDSA (SEC 1, section 2.3.3), or an Ed25519 key (RFC 8032, section 5.1.5). `None` if
    /// it is invalid, for example not on the curve.
    pub(crate) fn from_point(algorithm: Algorithm, point: &[u8]) -> Option<Self> {
        let key = match algorithm {
            Algorithm::ES256 => ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point),
            Algorithm::ES384 => ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point),
            Algorithm::ES512 => ParsedPublicKey::new(&signature::ECDSA_P521_SHA512_FIXED, point),
            Algorithm::EdDSA => ParsedPublicKey::new(&signature::ED25519, point),
            _ => return None,
        };
        key.ok().map(Self)
    }

    /// Whether `signature` is a valid signature of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

/// A private key, imported for one algorithm.
pub(crate) enum SigningKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static signature::RsaSignatureEncoding),
}

impl SigningKey {
    /// Imports a PKCS #8 key. `None` if it is not a valid key for this algorithm.
    pub(crate) fn from_pem(algorithm: Algorithm, pem: &str) -> Option<Self> {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let pkcs8 = pkcs8.secret_pkcs8_der();
        let ecdsa = |parameters| EcdsaKeyPair::from_pkcs8(parameters, pkcs8).ok().map(Self::Ecdsa);
        let rsa = |encoding| RsaKeyPair::from_pkcs8(pkcs8).ok().map(|pair| Self::Rsa(pair, encoding));
        match algorithm {
            Algorithm::ES256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::ES512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Self::Ed25519),
            Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::PS384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::PS512 => rsa(&signature::RSA_PSS_SHA512),
        }
    }

    /// Signs `message`. `None` if the backend fails, for example because the machine gives no random bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

/// HMAC-SHA-256 (RFC 2104) under one key.
pub(crate) struct Hmac(hmac::Key);

impl Hmac {
    /// Makes a random key. `None` if the machine gives no random bytes.
    pub(crate) fn random() -> Option<Self> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok().map(Self)
    }

    /// Takes a key that replicas share. `None` only in a build without a cryptography backend.
    #[expect(clippy::unnecessary_wraps, reason = "`none.rs` has the same function, and returns `None`")]
    pub(crate) fn with_key(key: &[u8; 32]) -> Option<Self> {
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Fingerprint {
        #[expect(clippy::expect_used, reason = "the output of SHA-256 has this length (FIPS 180-4)")]
        hmac::sign(&self.0, message).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// Whether `tag` is the HMAC of `message`, compared in constant time. A truncated HMAC is rejected.
    pub(crate) fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, message, tag).is_ok()
    }
}

/// Bytes that nobody can guess. `None` if the machine gives no random bytes.
pub(crate) fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}

/// The SHA-256 digest of `message` (FIPS 180-4). `None` only in a build without a cryptography backend.
pub(crate) fn sha256(message: &[u8]) -> Option<[u8; 32]> {
    digest::digest(&digest::SHA256, message).as_ref().try_into().ok()
}

/// Whether two digests are equal, compared in constant time.
pub(crate) fn digests_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
