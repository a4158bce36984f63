use std::hint::black_box;

use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_bearer::jose::Algorithm;

use crate::subject::Subject;

/// The bare signature check of a token, with a key that was parsed once. It is the lower limit of the cost.
pub struct RawCheck {
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl RawCheck {
    /// Returns the error of the cryptography library for an invalid key. The key of a [`Subject`] is valid.
    pub fn new(subject: &Subject) -> Result<Self, KeyRejected> {
        let (message, signature) = subject.token.rsplit_once('.').unwrap_or_default();
        Ok(Self { key: parsed_key(subject)?, message: message.into(), signature: decoded(signature) })
    }

    /// # Errors
    /// If the signature is not by this key.
    pub fn run(&self) -> Result<(), Unspecified> {
        self.key.verify_sig(black_box(&self.message), black_box(&self.signature))
    }
}

fn parsed_key(subject: &Subject) -> Result<ParsedPublicKey, KeyRejected> {
    let set = subject.issuer.jwk_set();
    let member = |name: &str| decoded(set["keys"][0][name].as_str().unwrap_or_default());
    let point = || [vec![4], member("x"), member("y")].concat();
    match subject.algorithm {
        Algorithm::RS256 => aws_lc_rs::rsa::PublicKeyComponents { n: member("n"), e: member("e") }
            .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::ES256 => ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point()),
        Algorithm::ES384 => ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point()),
        _ => ParsedPublicKey::new(&signature::ED25519, member("x")),
    }
}

/// Invalid base64url gives an empty value, so the key or signature is rejected.
fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}
