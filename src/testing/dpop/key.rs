use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::clock::{Clock, SystemClock};
use crate::jose::{Algorithm, Thumbprint};
use crate::testing::TestIssuer;
use crate::testing::signing_key::{TestSigningKey, sha256};

/// The key pair of a client that signs DPoP proofs (RFC 9449).
///
/// Clones are the same key.
///
/// ```
/// use mcp_bearer::testing::{TestDpopKey, TestIssuer};
///
/// let issuer = TestIssuer::new("https://auth.example.com");
/// let key = TestDpopKey::new();
/// let token = issuer.token().audience("https://mcp.example.com/mcp").bound_to(&key).sign();
/// let proof = key.proof("GET", "https://mcp.example.com/mcp").access_token(&token).sign();
/// assert_eq!(proof.split('.').count(), 3);
/// ```
#[derive(Clone)]
pub struct TestDpopKey {
    pub(super) pair: Arc<TestSigningKey>,
    clock: Arc<dyn Clock>,
}

impl TestIssuer {
    /// A new ES256 key of a client, whose proofs have the time of this issuer's
    /// [clock](crate::testing::TestIssuerBuilder::clock).
    #[must_use]
    pub fn dpop_key(&self) -> TestDpopKey {
        TestDpopKey { clock: Arc::clone(&self.state.clock), ..TestDpopKey::new() }
    }
}

impl TestDpopKey {
    /// A new key for ES256. Its proofs have the time of the system clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_algorithm(Algorithm::ES256)
    }

    /// A new key for this algorithm. Making an RSA key takes a tenth of a second.
    #[must_use]
    pub fn with_algorithm(algorithm: Algorithm) -> Self {
        Self { pair: Arc::new(TestSigningKey::generate(algorithm)), clock: Arc::new(SystemClock) }
    }

    /// Uses this clock for `iat`. Default: the system clock, or that of the issuer for [`TestIssuer::dpop_key`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The SHA-256 thumbprint of the public key (RFC 7638): the member `jkt` of a token that is
    /// [bound to](crate::testing::TestToken::bound_to) this key.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(self.public_jwk().to_string()))
    }

    /// The public key: the member `jwk` of its proofs.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.pair.public_key()
    }

    /// Signs any header and payload.
    #[must_use]
    pub fn sign_raw(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.pair.sign_compact(header.as_ref(), payload.as_ref())
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.since_epoch()
    }
}

impl Default for TestDpopKey {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestDpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDpopKey")
            .field("algorithm", &self.pair.algorithm())
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}
