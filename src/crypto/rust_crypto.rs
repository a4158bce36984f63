//! The cryptography backend in pure Rust. Signatures go through the crate `jsonwebtoken`, which uses the crates of the
//! RustCrypto project. HMAC and random bytes come from the crates `hmac`, `sha2` and `getrandom`.

use hmac::Mac as _;
use hmac::digest::CtOutput;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest as _, Sha256};

use super::{Algorithm, Fingerprint};

/// The longest RSA modulus of a public key, in bits. `jsonwebtoken` imports a longer one, but then reports every
/// signature as invalid, because its crate `rsa` has this limit.
pub(crate) const MAX_RSA_BITS: usize = 4096;

/// A public key, imported for one algorithm.
pub(crate) struct PublicKey {
    algorithm: jsonwebtoken::Algorithm,
    key: DecodingKey,
}

impl PublicKey {
    /// Imports an RSA key: modulus and exponent, big-endian, without leading zeros. `None` if it is invalid.
    pub(crate) fn from_rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Option<Self> {
        Self::new(algorithm, DecodingKey::from_rsa_raw_components(n, e))
    }

    /// Imports a point: `04`, x, y for ECDSA (SEC 1, section 2.3.3), or an Ed25519 key (RFC 8032, section 5.1.5). `None` if
    /// it is invalid, for example not on the curve.
    pub(crate) fn from_point(algorithm: Algorithm, point: &[u8]) -> Option<Self> {
        let is_ed25519 = algorithm == Algorithm::EdDSA;
        let key = if is_ed25519 { DecodingKey::from_ed_der(point) } else { DecodingKey::from_ec_der(point) };
        Self::new(algorithm, key)
    }

    fn new(algorithm: Algorithm, key: DecodingKey) -> Option<Self> {
        let algorithm = algorithm.name().parse().ok()?;
        // `jsonwebtoken::decode` is not used, because it takes the backend that is installed for the whole process. It
        // panics if another dependency enables a second backend of `jsonwebtoken`.
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key).ok()?;
        Some(Self { algorithm, key })
    }

    /// Whether `signature` is a valid signature of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.key)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

/// A private key, imported for one algorithm.
pub(crate) struct SigningKey {
    algorithm: jsonwebtoken::Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// Imports a PKCS #8 key. `None` if it is not a valid key for this algorithm.
    pub(crate) fn from_pem(algorithm: Algorithm, pem: &str) -> Option<Self> {
        let pem = pem.as_bytes();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 => EncodingKey::from_ec_pem(pem).ok(),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem).ok(),
            // `jsonwebtoken` panics when it signs with an RSA key that is too short for the hash.
            _ => EncodingKey::from_rsa_pem(pem).ok().filter(has_accepted_modulus_length),
        };
        let key = Self { algorithm: algorithm.name().parse().ok()?, key: key? };
        // `jsonwebtoken` only parses the PEM file above. It checks the key itself when it signs.
        key.sign(b"").is_some().then_some(key)
    }

    /// Signs `message`. `None` if `jsonwebtoken` cannot sign with this key. `from_pem` rejects such a key.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        (DEFAULT_PROVIDER.signer_factory)(&self.algorithm, &self.key).ok()?.try_sign(message).ok()
    }
}

/// Whether the modulus of a private RSA key has 256 to 1024 bytes.
///
/// RFC 7518, section 3.3 requires 2048 bits. The upper limit of 8192 bits is that of AWS-LC, so that both backends
/// accept the same private keys. [`MAX_RSA_BITS`] does not apply, because `rsa` limits only public keys.
fn has_accepted_modulus_length(key: &EncodingKey) -> bool {
    let public_key = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_private_key)(key.as_bytes());
    public_key.is_ok_and(|(modulus, _)| (256..=1024).contains(&modulus.len()))
}

/// HMAC-SHA-256 (RFC 2104) under one key.
pub(crate) struct Hmac(hmac::Hmac<Sha256>);

impl Hmac {
    /// Makes a random key. `None` if the machine gives no random bytes.
    pub(crate) fn random() -> Option<Self> {
        Self::with_key(&random()?)
    }

    /// Takes a key that replicas share. `None` only in a build without a cryptography backend.
    pub(crate) fn with_key(key: &[u8; 32]) -> Option<Self> {
        hmac::Hmac::new_from_slice(key).ok().map(Self)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Fingerprint {
        self.0.clone().chain_update(message).finalize().into_bytes().into()
    }

    /// Whether `tag` is the HMAC of `message`, compared in constant time. A truncated HMAC is rejected.
    pub(crate) fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        self.0.clone().chain_update(message).verify_slice(tag).is_ok()
    }
}

/// Bytes that nobody can guess. `None` if the machine gives no random bytes.
pub(crate) fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    getrandom::getrandom(&mut bytes).ok().map(|()| bytes)
}

/// The SHA-256 digest of `message` (FIPS 180-4). `None` only in a build without a cryptography backend.
#[expect(clippy::unnecessary_wraps, reason = "`none.rs` has the same function, and returns `None`")]
pub(crate) fn sha256(message: &[u8]) -> Option<[u8; 32]> {
    Some(Sha256::digest(message).into())
}

/// Whether two digests are equal, compared in constant time.
pub(crate) fn digests_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    CtOutput::<Sha256>::new((*a).into()) == CtOutput::new((*b).into())
}
