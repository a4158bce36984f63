use std::sync::Arc;
use std::time::Duration;

use super::issuer_parts::IssuerParts;
use crate::http_client::FetchError;
use crate::keys::Keys;

/// Whether a resource server can judge tokens; see [`ResourceServer::health`](crate::ResourceServer::health).
#[derive(Debug, Clone)]
pub struct Health {
    issuers: Vec<IssuerHealth>,
}

/// Whether the tokens of one issuer can be judged.
#[derive(Debug, Clone)]
pub struct IssuerHealth {
    issuer: Box<str>,
    ready: bool,
    keys: usize,
    unusable_keys: usize,
    last_error: Option<Arc<FetchError>>,
    retry_in: Duration,
}

impl Health {
    pub(super) const fn new(issuers: Vec<IssuerHealth>) -> Self {
        Self { issuers }
    }

    /// Whether the tokens of every issuer can be judged: what a readiness probe asks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.ready)
    }

    /// Issuer by issuer, in the order of the configuration.
    #[must_use]
    pub fn issuers(&self) -> &[IssuerHealth] {
        &self.issuers
    }
}

impl IssuerHealth {
    pub(super) fn of(parts: &IssuerParts) -> Self {
        let mut health = Self {
            issuer: parts.issuer.clone(),
            ready: true,
            keys: 0,
            unusable_keys: 0,
            last_error: None,
            retry_in: Duration::ZERO,
        };
        match &parts.keys {
            Some(Keys::Remote(remote)) => {
                remote.nudge();
                health.ready = remote.is_usable();
                health.keys = remote.key_count();
                health.unusable_keys = remote.unusable_key_count();
                health.last_error = remote.last_error();
                health.retry_in = remote.back_off();
            }
            Some(Keys::Fixed(set)) => {
                health.keys = set.keys().len();
                health.unusable_keys = set.unusable_count();
            }
            Some(Keys::Custom(_)) | None => {}
        }
        if let Some(introspector) = &parts.introspector {
            introspector.nudge();
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

    /// Whether tokens can be judged: a key set is at hand that may be used, and the introspection endpoint is known and
    /// not suspended after failures, as far as each is needed. With a key source or a verifier of your own, always.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many keys are at hand.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.keys
    }

    /// How many published keys for signatures cannot be used. The log names each with the reason; a token under the key id
    /// of one is answered with 503. Zero with a custom key source.
    #[must_use]
    pub const fn unusable_keys(&self) -> usize {
        self.unusable_keys
    }

    /// What the last fetch, or the last introspection, failed of, if it did.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_deref()
    }

    /// How long until the issuer may be asked again; zero if nothing stands against it.
    #[must_use]
    pub const fn retry_in(&self) -> Duration {
        self.retry_in
    }
}
