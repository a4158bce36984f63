//! THE ONLY FILE that names a crypto crate: public keys are imported once, signatures checked often.

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

#[cfg(feature = "aws-lc-rs")]
pub(super) use aws_lc::PublicKey;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
pub(super) use rust_crypto::PublicKey;
#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
pub(super) use without::PublicKey;

#[cfg(feature = "aws-lc-rs")]
mod aws_lc {
    use aws_lc_rs::rsa::PublicKeyComponents;
    use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters};

    use super::{Algorithm, KeyMaterial};

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
}

#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
mod rust_crypto {
    use jsonwebtoken::DecodingKey;
    use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

    use super::{Algorithm, KeyMaterial};

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
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod without {
    use super::{Algorithm, KeyMaterial};

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
}
