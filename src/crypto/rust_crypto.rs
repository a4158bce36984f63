//! The cryptography backend in pure Rust. Signatures go through the crate `jsonwebtoken`, which uses the crates of the
//! RustCrypto project. HMAC and random bytes come from the crates `hmac`, `sha2` and `getrandom`.

use hmac::Mac as _;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::Sha256;

use super::{Algorithm, Fingerprint, KeyMaterial};

/// The longest RSA modulus of a public key, in bits. `jsonwebtoken` imports a longer one, but then reports every
/// signature as invalid, because its crate `rsa` has this limit.
pub(crate) const MAX_RSA_BITS: usize = 4096;

/// A public key, imported for one algorithm.
pub(crate) struct PublicKey {
    algorithm: jsonwebtoken::Algorithm,
    key: DecodingKey,
}

impl PublicKey {
    /// Imports a key. `None` if it is not a valid key for this algorithm. For example, its point is not on the curve.
    pub(crate) fn import(algorithm: Algorithm, material: KeyMaterial<'_>) -> Option<Self> {
        let key = match material {
            KeyMaterial::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            KeyMaterial::Ec { point } => DecodingKey::from_ec_der(point),
            KeyMaterial::Ed25519 { x } => DecodingKey::from_ed_der(x),
        };
        let algorithm = algorithm_of_crate(algorithm)?;
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

/// Converts an algorithm into the type of `jsonwebtoken`. `None` if `jsonwebtoken` does not support it.
const fn algorithm_of_crate(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    Some(match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::ES512 => return None,
    })
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
        let key = Self { algorithm: algorithm_of_crate(algorithm)?, key: key? };
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
