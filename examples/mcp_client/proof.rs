//! The client's side of DPoP proofs (RFC 9449, section 4).

use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The key that the tokens of this client are bound to. It exists only in this process.
pub(crate) struct ProofKey {
    pair: EcdsaKeyPair,
}

impl ProofKey {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self { pair: pair.expect("the operating system provides randomness") }
    }

    /// Returns a proof for one request, which may have an access token. Each request needs a new proof.
    pub(crate) fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let now = UNIX_EPOCH.elapsed().expect("the clock shows a time after 1970");
        let mut id = [0; 16];
        rand::fill(&mut id).expect("the operating system provides randomness");
        let mut claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(id),
            "htm": method,
            "htu": url.split(['?', '#']).next(),
            "iat": now.as_secs(),
        });
        if let Some(token) = token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())).into();
        }
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("the key pair signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the public key. The public point is the byte 4, then both coordinates.
    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
    }
}
