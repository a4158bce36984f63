use serde_json::value::RawValue;

use crate::failure::Detail;
use crate::jose::{Algorithm, KeyMembers, Thumbprint, UnusableKey, VerificationKey};
use crate::sender::{ProofError, ProofFailure};

/// The public key of a proof: `jwk` of its header (RFC 9449, section 4.2).
pub(super) struct ProofKey {
    pub(super) thumbprint: Thumbprint,
    key: VerificationKey,
    algorithm: Algorithm,
}

impl ProofKey {
    /// Reads `jwk` of a header in which no name is repeated. The key must be a public key for `algorithm`.
    pub(super) fn from_jwk(jwk: Option<&RawValue>, algorithm: Algorithm) -> Result<Self, ProofError> {
        let jwk = jwk.ok_or_else(|| unusable(UnusableKey::Malformed))?;
        let jwk: KeyMembers<'_> = serde_json::from_str(jwk.get()).map_err(|_| unusable(UnusableKey::Malformed))?;
        let key = VerificationKey::from_header(&jwk, algorithm, MAX_PROOF_RSA_BITS).map_err(unusable)?;
        let thumbprint = Thumbprint::from_key(&jwk).ok_or_else(|| unusable(UnusableKey::Malformed))?;
        Ok(Self { thumbprint, key, algorithm })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verifies(self.algorithm, message, signature)
    }
}

fn unusable(reason: UnusableKey) -> ProofError {
    ProofFailure::Key.with(Box::new(Detail::Note(match reason {
        UnusableKey::Malformed => "`jwk` is missing, is not an object, or has a member that is missing or of a wrong type",
        UnusableKey::Encoding => {
            "a member of `jwk` is not base64url without padding, or is a number that begins with a zero byte (RFC 7518, \
             section 2)"
        }
        UnusableKey::Private => "`jwk` has private members, which must never be sent",
        UnusableKey::NotForSignatures => "`key_ops` of `jwk` does not contain `verify`",
        UnusableKey::Unsupported => "`kty`, `crv` or `alg` of `jwk` does not fit the `alg` of the header",
        UnusableKey::Size => "an RSA key must have 2048 to 4096 bits and the usual exponent",
        UnusableKey::InvalidPoint => "a coordinate of `jwk` has the wrong length, or the point is not on its curve",
        // Only entries of a key set have this reason.
        UnusableKey::TooMany => "`jwk` is not a single key",
    })))
}

/// The longest RSA modulus of a proof, in bits. Anybody can send a key of any size, and the time for a signature check grows
/// with the square of the size. RFC 9449 clients use 2048, some 4096.
const MAX_PROOF_RSA_BITS: usize = 4096;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
