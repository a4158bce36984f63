use std::sync::Arc;
use std::time::Duration;

use crate::keys::{FetchError, Keys};

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
    pub(super) fn of(issuer: &str, keys: Option<&Keys>) -> Self {
        let issuer = issuer.into();
        match keys {
            Some(Keys::Remote(remote)) => {
                remote.nudge();
                Self {
                    issuer,
                    ready: remote.is_usable(),
                    keys: remote.key_count(),
                    last_error: remote.last_error(),
                    retry_in: remote.back_off(),
                }
            }
            Some(Keys::Fixed(set)) => {
                Self { issuer, ready: true, keys: set.keys().len(), last_error: None, retry_in: Duration::ZERO }
            }
            Some(Keys::Custom(_)) | None => {
                Self { issuer, ready: true, keys: 0, last_error: None, retry_in: Duration::ZERO }
            }
        }
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether a key set is at hand that may be used. With a key source or a verifier of your own, always.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many keys are at hand.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.keys
    }

    /// What the last fetch failed of, if it did.
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
