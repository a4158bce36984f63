//! Randomness and digests. This is the only file of the development server that names the crypto crate.

use aws_lc_rs::{digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns a random value of 256 bits.
pub(crate) fn random() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the operating system provides randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the `code_challenge` of a `code_verifier` (RFC 7636, section 4.6).
pub(crate) fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// Derives client secrets from client ids, so that the server does not store secrets.
pub(crate) struct SecretMaker {
    key: hmac::Key,
}

impl SecretMaker {
    pub(crate) fn new() -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, random().as_bytes()) }
    }

    pub(crate) fn secret_for(&self, client_id: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, client_id.as_bytes()))
    }

    /// Compares the secret in constant time.
    pub(crate) fn is_secret_of(&self, secret: &str, client_id: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(secret)
            .is_ok_and(|secret| hmac::verify(&self.key, client_id.as_bytes(), &secret).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_challenge_matches_the_example_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(s256(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_client_secret_is_valid_for_one_client() {
        let maker = SecretMaker::new();
        let secret = maker.secret_for("a");
        assert!(maker.is_secret_of(&secret, "a") && !maker.is_secret_of(&secret, "b"));
        assert!(!SecretMaker::new().is_secret_of(&secret, "a"));
    }
}
