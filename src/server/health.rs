use std::sync::Arc;
use std::time::Duration;

use crate::http_client::FetchError;
use crate::keys::Keys;
use crate::verify::IssuerVerifier;

/// Whether a resource server can verify tokens; see [`ResourceServer::health`](crate::ResourceServer::health).
#[derive(Debug, Clone)]
pub struct Health {
    pub(super) issuers: Vec<IssuerHealth>,
}

/// Whether the tokens of one issuer can be verified.
#[derive(Debug, Clone)]
pub struct IssuerHealth {
    issuer: Box<str>,
    ready: bool,
    key_count: usize,
    unusable_key_count: usize,
    last_error: Option<Arc<FetchError>>,
    retry_in: Duration,
}

impl Health {
    /// Whether the tokens of all issuers can be verified: the answer to a readiness probe.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.ready)
    }

    /// The health of each issuer, in the order of the configuration.
    #[must_use]
    pub fn issuers(&self) -> &[IssuerHealth] {
        &self.issuers
    }
}

impl IssuerHealth {
    /// Starts the fetches that are due, and waits for none.
    pub(super) fn new(verifier: &IssuerVerifier) -> Self {
        let mut health = Self {
            issuer: verifier.issuer.clone(),
            ready: true,
            key_count: 0,
            unusable_key_count: 0,
            last_error: None,
            retry_in: Duration::ZERO,
        };
        match verifier.keys() {
            Some(Keys::Remote(remote)) => {
                remote.start_fetch_if_due();
                health.ready = remote.is_usable();
                health.key_count = remote.key_count();
                health.unusable_key_count = remote.unusable_key_count();
                health.last_error = remote.last_error();
                health.retry_in = remote.back_off();
            }
            Some(Keys::Fixed(set)) => {
                health.key_count = set.keys().len();
                health.unusable_key_count = set.unusable_count();
            }
            Some(Keys::Custom(_)) | None => {}
        }
        if let Some(introspector) = verifier.introspector() {
            introspector.start_discovery_if_due();
            health.ready &= introspector.is_ready();
            health.last_error = health.last_error.or_else(|| introspector.last_error());
            health.retry_in = health.retry_in.max(introspector.retry_in());
        }
        health
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether tokens of this issuer can be verified. As far as each is needed, a key set is available and not too old, and
    /// the introspection endpoint is known and not suspended after failures. Always `true` for a custom key source or
    /// verifier.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many keys are available. Zero for a custom key source.
    #[must_use]
    pub const fn key_count(&self) -> usize {
        self.key_count
    }

    /// How many published signature keys cannot be used. The log names each with the reason. A token that names such a key
    /// gets 503. Zero for a custom key source.
    #[must_use]
    pub const fn unusable_key_count(&self) -> usize {
        self.unusable_key_count
    }

    /// The error of the last fetch or of the last introspection, if it failed.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_deref()
    }

    /// The time until the next request to the authorization server is allowed. Zero if it is allowed now.
    #[must_use]
    pub const fn retry_in(&self) -> Duration {
        self.retry_in
    }
}
