use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Algorithm;
use crate::crypto::SigningKey;

/// A private key for client authentication with `private_key_jwt` (OpenID Connect Core 1.0, section 9).
///
/// This crate signs no access tokens.
///
/// ```no_run
/// use mcp_bearer::introspection::ClientCredentials;
/// use mcp_bearer::jose::{Algorithm, PrivateKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pem = std::fs::read_to_string("client_key.pem")?;
/// let key = PrivateKey::from_pkcs8_pem(Algorithm::ES256, &pem)?.key_id("2026-01");
/// let credentials = ClientCredentials::private_key_jwt("my-server", key);
/// # Ok(())
/// # }
/// ```
pub struct PrivateKey {
    algorithm: Algorithm,
    kid: Option<Box<str>>,
    key: SigningKey,
}

/// The error for a text that is not a usable private key.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrivateKey {
    /// The text is not PEM with the label `PRIVATE KEY` (RFC 7468, section 10). An encrypted key has another label.
    #[error("the text is not an unencrypted PKCS #8 key in PEM: convert it with `openssl pkcs8 -topk8 -nocrypt`")]
    Format,
    /// The key is for another algorithm, or this build does not support it.
    #[error(
        "the key is not for {0}, or this build does not support it: give the algorithm of the key, or an RSA key of at least 2048 bits"
    )]
    Algorithm(Algorithm),
}

impl PrivateKey {
    /// Reads an unencrypted PKCS #8 key in PEM (`-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] if the text is something else, or if the key is not for `algorithm`.
    pub fn from_pkcs8_pem(algorithm: Algorithm, pem: &str) -> Result<Self, InvalidPrivateKey> {
        if !pem.contains("-----BEGIN PRIVATE KEY-----") {
            return Err(InvalidPrivateKey::Format);
        }
        let key = SigningKey::from_pem(algorithm, pem).ok_or(InvalidPrivateKey::Algorithm(algorithm))?;
        Ok(Self { algorithm, kid: None, key })
    }

    /// Sets the key id (`kid`; RFC 7515, section 4.1.4). An authorization server that knows several keys of the client may
    /// need it.
    #[must_use]
    pub fn key_id(mut self, kid: impl Into<Box<str>>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Signs a JWT. `None` if the machine gives no random bytes.
    pub(crate) fn sign_jwt(&self, typ: &str, claims: &Value) -> Option<String> {
        let kid = self.kid.as_deref().map(|kid| ("kid", kid));
        let header: Value = [("alg", self.algorithm.name()), ("typ", typ)].into_iter().chain(kid).collect();
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = [part(&header), part(claims)].join(".");
        let signature = self.key.sign(input.as_bytes())?;
        Some([input, URL_SAFE_NO_PAD.encode(signature)].join("."))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
