use std::fmt;
use std::sync::Arc;
#[cfg(feature = "testing")]
use std::time::Duration;

use super::dpop::Proof;
#[cfg(feature = "testing")]
use crate::claims::{Claims, Confirmation};
use crate::jose::Thumbprint;

/// How the sender of a request has proved that the access token is its own.
///
/// ```
/// use mcp_bearer::AuthInfo;
///
/// fn audit(auth: &AuthInfo) -> String {
///     match auth.sender().dpop_key() {
///         Some(key) => format!("the sender has the key {key}"),
///         None => "the sender has a bearer token or a client certificate".to_owned(),
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Sender(Option<Arc<ProvenKeys>>);

/// The keys that the sender has proved. At least one member is set.
struct ProvenKeys {
    proof: Option<Proof>,
    certificate: Option<Thumbprint>,
}

impl Sender {
    /// The sender of a token that is bound to the key of `proof`, to `certificate`, or to both.
    pub(crate) fn new(proof: Option<Proof>, certificate: Option<Thumbprint>) -> Self {
        let is_bound = proof.is_some() || certificate.is_some();
        Self(is_bound.then(|| Arc::new(ProvenKeys { proof, certificate })))
    }

    /// The sender who has all keys that a token is bound to.
    #[cfg(feature = "testing")]
    pub(crate) fn of_claims(claims: &Claims) -> Self {
        let Confirmation::Bound(binding) = claims.confirmation() else { return Self::default() };
        let proof = |key| Proof { key, id: [0; 32], expires_at: Duration::ZERO, nonce_made_at: None };
        Self::new(binding.key.map(proof), binding.certificate)
    }

    /// Whether the access token is bound to a key that the sender has. `false` for a bearer token.
    #[must_use]
    pub const fn is_constrained(&self) -> bool {
        self.0.is_some()
    }

    /// The thumbprint of the key of the DPoP proof (RFC 9449, section 6.1). `None` if the token is not bound to such a key.
    #[must_use]
    pub fn dpop_key(&self) -> Option<Thumbprint> {
        self.proof().map(|proof| proof.key)
    }

    /// The thumbprint of the client certificate (RFC 8705, section 3.1). `None` if the token is not bound to a certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<Thumbprint> {
        self.0.as_ref()?.certificate
    }

    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.0.as_ref()?.proof.as_ref()
    }

    /// The stable label of the kind of sender in logs: `bearer`, `dpop`, `mtls`, or `dpop+mtls`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match (self.dpop_key(), self.certificate()) {
            (None, None) => "bearer",
            (Some(_), None) => "dpop",
            (None, Some(_)) => "mtls",
            (Some(_), Some(_)) => "dpop+mtls",
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("dpop_key", &self.dpop_key()).field("certificate", &self.certificate()).finish()
    }
}
