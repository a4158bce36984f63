//! The cryptography of the crate: signatures, HMAC-SHA-256, SHA-256, and random bytes.
//!
//! Each cryptography backend has its own file with the same items. Only that file, `sealing` and the module `testing` use its
//! crates. If the features `aws-lc-rs` and `rust-crypto` are both enabled, `aws-lc-rs` is used. A build without a
//! cryptography backend compiles, and accepts no JWT.

mod algorithm;
#[cfg_attr(feature = "aws-lc-rs", path = "aws_lc.rs")]
#[cfg_attr(all(feature = "rust-crypto", not(feature = "aws-lc-rs")), path = "rust_crypto.rs")]
#[cfg_attr(not(any(feature = "aws-lc-rs", feature = "rust-crypto")), path = "none.rs")]
mod backend;
#[cfg(feature = "redis")]
mod sealing;
mod secret_key;

pub use algorithm::{Algorithm, AllowedAlgorithms, UnknownAlgorithm};
pub(crate) use backend::{Hmac, MAX_RSA_BITS, PublicKey, SigningKey, digests_equal, random, sha256};
#[cfg(feature = "redis")]
pub(crate) use sealing::SealingKey;
pub(crate) use secret_key::{SECRET_KEY_REPAIR, SecretKey};

/// The HMAC-SHA-256 of a token or of a session id, under a key that only this server knows.
pub(crate) type Fingerprint = [u8; 32];

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests {
    use super::*;

    /// RFC 4231, section 4.4. HMAC fills a short key up with zeros, so that its key of 20 bytes can be given as 32.
    #[test]
    fn hmac_has_the_published_value() {
        let mut key = [0; 32];
        key[..20].fill(0xaa);
        let tag = Hmac::with_key(&key).unwrap().sign(&[0xdd; 50]);
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    }

    #[test]
    fn hmac_verifies_only_its_own_whole_value() {
        let (hmac, other) = (Hmac::random().unwrap(), Hmac::random().unwrap());
        let tag = hmac.sign(b"message");
        assert!(hmac.verifies(b"message", &tag));
        assert!(!other.verifies(b"message", &tag) && !hmac.verifies(b"massage", &tag));
        assert!(!hmac.verifies(b"message", &tag[..31]) && !hmac.verifies(b"message", &[]));
        assert!(!hmac.verifies(b"message", &[&tag[..], &[0]].concat()));
    }

    #[test]
    fn sha256_has_the_published_value() {
        let digest = sha256(b"abc").unwrap();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn digests_are_equal_only_if_all_bytes_are() {
        let digest = sha256(b"abc").unwrap();
        assert!(digests_equal(&digest, &digest));
        for at in 0..32 {
            let mut other = digest;
            other[at] ^= 1;
            assert!(!digests_equal(&digest, &other), "byte {at}");
        }
    }
}
