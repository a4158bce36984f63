use std::time::Duration;

use super::settings::LookupSettings;
use crate::error::SetterMistake;

/// The cache and the limits of look-ups by the application's code: of a [`TokenVerifier`](crate::verify::TokenVerifier) that
/// sends requests or queries ([`Issuer::verifier_limits`](crate::Issuer::verifier_limits)), or of an
/// [`ApiKeyStore`](crate::api_key::ApiKeyStore) ([`ApiKeys::store_limits`](crate::api_key::ApiKeys::store_limits)).
///
/// Names, ranges and defaults are those of [`Introspection`](super::Introspection). The verifier or the store takes the place of
/// the introspection endpoint, as the [module](super) describes it. In the methods below, a token is also an API key, and the
/// verifier also the store.
///
/// ```
/// use std::time::Duration;
///
/// use mcp_bearer::introspection::LookupLimits;
///
/// // A database with a pool of 10 connections.
/// let limits = LookupLimits::new()
///     .positive_cache(Duration::from_secs(10))
///     .max_in_flight(10)
///     .time_limit(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LookupLimits {
    pub(super) settings: LookupSettings,
}

impl LookupLimits {
    /// Creates limits with all defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { settings: LookupSettings::DEFAULT }
    }

    /// How long the result for a valid token is cached: 0 to 5 minutes, 30 s by default. With 0, each request calls the
    /// verifier, and only concurrent requests with the same token share a call.
    ///
    /// This is the revocation window: a session that is deleted in the database is still accepted for this time, unless
    /// [`ResourceServer::forget`](crate::ResourceServer::forget) removes the result. No result is used beyond
    /// [`expires_at`](crate::verify::Verified::expires_at).
    #[must_use]
    pub const fn positive_cache(mut self, time: Duration) -> Self {
        self.settings.lifetimes.positive = time;
        self
    }

    /// How long the result for an invalid token is cached: 0 to 60 s, 10 s by default. Failures are never cached.
    #[must_use]
    pub const fn negative_cache(mut self, time: Duration) -> Self {
        self.settings.lifetimes.negative = time;
        self
    }

    /// How long past [`positive_cache`](Self::positive_cache) a valid token is still accepted while the verifier fails: 0 to
    /// 60 s, 0 by default. It lengthens the revocation window during an outage.
    #[must_use]
    pub const fn stale_on_error(mut self, time: Duration) -> Self {
        self.settings.lifetimes.stale = time;
        self
    }

    /// The upper bound of concurrent calls: 1 to 64, 64 by default. For a database, use the size of its connection pool.
    ///
    /// The actual limit starts at 8 or this bound, and adapts to the latency of the verifier. A quarter of it is reserved for
    /// tokens that were valid before.
    #[must_use]
    pub const fn max_in_flight(mut self, calls: usize) -> Self {
        self.settings.limits.max_in_flight = calls;
        self
    }

    /// The time limit of one call: 100 ms to 30 s, 3 s by default. It replaces
    /// [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout). After that, the future of the verifier is
    /// dropped, and the client gets 503. The time in the waiting line does not count.
    #[must_use]
    pub const fn time_limit(mut self, time: Duration) -> Self {
        self.settings.limits.time_limit = time;
        self
    }

    /// How long a token waits while the limit of concurrent calls is reached: 0 to 30 s, 5 s by default. After that, the client
    /// gets 503, with a `Retry-After` that says when its call would have begun.
    #[must_use]
    pub const fn max_wait(mut self, time: Duration) -> Self {
        self.settings.limits.max_wait = time;
        self
    }

    /// All mistakes, each with its setter.
    pub(crate) fn mistakes(&self) -> Vec<SetterMistake> {
        self.settings.mistakes()
    }
}

impl Default for LookupLimits {
    fn default() -> Self {
        Self::new()
    }
}
