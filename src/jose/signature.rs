//! THE ONLY FILE that names a crypto crate: keys are imported once, signatures checked often, tokens known again by
//! their fingerprint.

use super::Algorithm;

/// The numbers of a public key, their shapes already checked: lengths, sizes, curve.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "aws-lc-rs", feature = "rust-crypto")),
    expect(dead_code, reason = "this build checks no signatures")
)]
pub(super) enum KeyMaterial<'k> {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: &'k [u8], e: &'k [u8] },
    /// An uncompressed point (SEC 1, section 2.3.3): `04`, x, y.
    Ec { point: &'k [u8] },
    /// An Ed25519 public key (RFC 8032, section 5.1.5).
    Ed25519 { x: &'k [u8] },
}

/// SHA-256 under a key that nobody knows: what a token is remembered by, and what binds a session.
pub(crate) type Fingerprint = [u8; 32];

#[cfg(feature = "aws-lc-rs")]
pub(crate) use aws_lc::{Fingerprinter, SecretFingerprinter, random};
#[cfg(feature = "aws-lc-rs")]
pub(super) use aws_lc::{MAX_RSA_BITS, PublicKey, SigningKey};
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
pub(crate) use rust_crypto::{Fingerprinter, SecretFingerprinter, random};
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
pub(super) use rust_crypto::{MAX_RSA_BITS, PublicKey, SigningKey};
#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
pub(crate) use without::{Fingerprinter, SecretFingerprinter, random};
#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
pub(super) use without::{MAX_RSA_BITS, PublicKey, SigningKey};

#[cfg(feature = "aws-lc-rs")]
mod aws_lc {
    use aws_lc_rs::rand::{self, SystemRandom};
    use aws_lc_rs::rsa::PublicKeyComponents;
    use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaKeyPair, RsaParameters};
    use aws_lc_rs::{digest, hmac};
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::{Algorithm, Fingerprint, KeyMaterial};

    /// Above, a check takes milliseconds.
    pub(in crate::jose) const MAX_RSA_BITS: usize = 8192;

    /// A public key, imported for one algorithm.
    pub(in crate::jose) struct PublicKey(ParsedPublicKey);

    impl PublicKey {
        /// Imports a key; `None` if it is no key of that algorithm, such as a point off its curve.
        pub(in crate::jose) fn import(algorithm: Algorithm, material: KeyMaterial<'_>) -> Option<Self> {
            let key = match (algorithm, material) {
                (Algorithm::ES256, KeyMaterial::Ec { point }) => {
                    ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                }
                (Algorithm::ES384, KeyMaterial::Ec { point }) => {
                    ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                }
                (Algorithm::ES512, KeyMaterial::Ec { point }) => {
                    ParsedPublicKey::new(&signature::ECDSA_P521_SHA512_FIXED, point)
                }
                (Algorithm::EdDSA, KeyMaterial::Ed25519 { x }) => ParsedPublicKey::new(&signature::ED25519, x),
                (_, KeyMaterial::Rsa { n, e }) => {
                    PublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?)
                }
                _ => return None,
            };
            key.ok().map(Self)
        }

        /// Whether `signature` is this key's over `message`.
        pub(in crate::jose) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
            self.0.verify_sig(message, signature).is_ok()
        }
    }

    const fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
        Some(match algorithm {
            Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 | Algorithm::EdDSA => return None,
        })
    }

    /// A private key, imported for one algorithm.
    pub(in crate::jose) enum SigningKey {
        Ecdsa(EcdsaKeyPair),
        Ed25519(Ed25519KeyPair),
        Rsa(RsaKeyPair, &'static signature::RsaSignatureEncoding),
    }

    impl SigningKey {
        /// Imports a PKCS #8 key; `None` if it is no key for that algorithm.
        pub(in crate::jose) fn from_pem(algorithm: Algorithm, pem: &str) -> Option<Self> {
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

        /// The signature over `message`; `None` if the machine has no randomness.
        pub(in crate::jose) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
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

    /// Tells tokens apart without keeping them, by HMAC (RFC 2104).
    pub(crate) struct Fingerprinter(hmac::Key);

    impl Fingerprinter {
        /// One with a key of its own; `None` if the machine has no randomness.
        pub(crate) fn random() -> Option<Self> {
            hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok().map(Self)
        }

        /// One with this key.
        #[expect(clippy::unnecessary_wraps, reason = "a build without cryptography has none")]
        pub(crate) fn keyed(key: &[u8; 32]) -> Option<Self> {
            Some(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
        }

        /// `None` cannot be with a key that was generated, but is no reason to panic.
        pub(crate) fn of(&self, token: &[u8]) -> Option<Fingerprint> {
            hmac::sign(&self.0, token).as_ref().try_into().ok()
        }
    }

    /// SHA-256 of tokens after a block that nobody knows: two thirds of the time of a [`Fingerprinter`]. Who saw such a
    /// fingerprint could extend it, so that it must never be shown to anybody.
    pub(crate) struct SecretFingerprinter(digest::Context);

    impl SecretFingerprinter {
        /// One with a block of its own; `None` if the machine has no randomness.
        pub(crate) fn random() -> Option<Self> {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(&random::<64>()?);
            Some(Self(context))
        }

        /// `None` cannot be, but is no reason to panic.
        pub(crate) fn of(&self, token: &[u8]) -> Option<Fingerprint> {
            let mut context = self.0.clone();
            context.update(token);
            context.finish().as_ref().try_into().ok()
        }
    }

    /// Bytes that nobody can guess; `None` if the machine has no randomness.
    pub(crate) fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        rand::fill(&mut bytes).ok().map(|()| bytes)
    }
}

#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
mod rust_crypto {
    use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
    use jsonwebtoken::{DecodingKey, EncodingKey};

    use super::{Algorithm, Fingerprint, KeyMaterial};

    /// With a longer modulus no signature is ever right, and no sooner is anything said of it.
    pub(in crate::jose) const MAX_RSA_BITS: usize = 4096;

    /// A public key, imported for one algorithm.
    pub(in crate::jose) struct PublicKey {
        algorithm: jsonwebtoken::Algorithm,
        key: DecodingKey,
    }

    impl PublicKey {
        /// Imports a key; `None` if it is no key of that algorithm, such as a point off its curve.
        pub(in crate::jose) fn import(algorithm: Algorithm, material: KeyMaterial<'_>) -> Option<Self> {
            let key = match material {
                KeyMaterial::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
                KeyMaterial::Ec { point } => DecodingKey::from_ec_der(point),
                KeyMaterial::Ed25519 { x } => DecodingKey::from_ed_der(x),
            };
            let algorithm = named(algorithm)?;
            // Called directly: the crate's own `decode` picks a process-wide backend, which a stranger's dependency
            // can make panic.
            (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key).ok()?;
            Some(Self { algorithm, key })
        }

        /// Whether `signature` is this key's over `message`.
        pub(in crate::jose) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
            (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.key)
                .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
        }
    }

    const fn named(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
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
    pub(in crate::jose) struct SigningKey {
        algorithm: jsonwebtoken::Algorithm,
        key: EncodingKey,
    }

    impl SigningKey {
        /// Imports a PKCS #8 key; `None` if it is no key for that algorithm.
        pub(in crate::jose) fn from_pem(algorithm: Algorithm, pem: &str) -> Option<Self> {
            let pem = pem.as_bytes();
            let key = match algorithm {
                Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 => EncodingKey::from_ec_pem(pem).ok(),
                Algorithm::EdDSA => EncodingKey::from_ed_pem(pem).ok(),
                // Signing with a modulus that is shorter than its hash panics.
                _ => EncodingKey::from_rsa_pem(pem).ok().filter(is_of_good_length),
            };
            let key = Self { algorithm: named(algorithm)?, key: key? };
            // The numbers are only looked at when something is signed.
            key.sign(b"").is_some().then_some(key)
        }

        /// The signature over `message`.
        pub(in crate::jose) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
            (DEFAULT_PROVIDER.signer_factory)(&self.algorithm, &self.key).ok()?.try_sign(message).ok()
        }
    }

    /// Whether a modulus has 2048 bits at least (RFC 7518, section 3.3), and 8192 at most.
    fn is_of_good_length(key: &EncodingKey) -> bool {
        let numbers = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_private_key)(key.as_bytes());
        numbers.is_ok_and(|(modulus, _)| (256..=1024).contains(&modulus.len()))
    }

    /// Tells tokens apart without keeping them.
    pub(crate) struct Fingerprinter(EncodingKey);

    impl Fingerprinter {
        /// One with a key of its own; `None` if the machine has no randomness.
        pub(crate) fn random() -> Option<Self> {
            random::<32>().map(|key| Self(EncodingKey::from_secret(&key)))
        }

        /// One with this key.
        #[expect(clippy::unnecessary_wraps, reason = "a build without cryptography has none")]
        pub(crate) fn keyed(key: &[u8; 32]) -> Option<Self> {
            Some(Self(EncodingKey::from_secret(key)))
        }

        /// HS256 is HMAC-SHA-256 (RFC 7518, section 3.2).
        pub(crate) fn of(&self, token: &[u8]) -> Option<Fingerprint> {
            let signer = (DEFAULT_PROVIDER.signer_factory)(&jsonwebtoken::Algorithm::HS256, &self.0).ok()?;
            signer.try_sign(token).ok()?.try_into().ok()
        }
    }

    /// A hash without a key is not to be had here.
    pub(crate) type SecretFingerprinter = Fingerprinter;

    /// Bytes that nobody can guess; `None` if the machine has no randomness.
    pub(crate) fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        getrandom::getrandom(&mut bytes).ok().map(|()| bytes)
    }
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod without {
    use super::{Algorithm, Fingerprint, KeyMaterial};

    pub(in crate::jose) const MAX_RSA_BITS: usize = 8192;

    /// No signature can be checked in this build, so no key can be imported.
    pub(in crate::jose) enum PublicKey {}

    impl PublicKey {
        pub(in crate::jose) const fn import(_: Algorithm, _: KeyMaterial<'_>) -> Option<Self> {
            None
        }

        pub(in crate::jose) const fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
            match *self {}
        }
    }
    /// Nothing can be signed.
    pub(in crate::jose) enum SigningKey {}

    impl SigningKey {
        pub(in crate::jose) const fn from_pem(_: Algorithm, _: &str) -> Option<Self> {
            None
        }

        pub(in crate::jose) const fn sign(&self, _: &[u8]) -> Option<Vec<u8>> {
            match *self {}
        }
    }

    /// No token can be known again.
    pub(crate) enum Fingerprinter {}

    impl Fingerprinter {
        pub(crate) const fn random() -> Option<Self> {
            None
        }

        pub(crate) const fn keyed(_: &[u8; 32]) -> Option<Self> {
            None
        }

        pub(crate) const fn of(&self, _: &[u8]) -> Option<Fingerprint> {
            match *self {}
        }
    }

    pub(crate) type SecretFingerprinter = Fingerprinter;

    pub(crate) const fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
        None
    }
}
