use std::time::Duration;

use super::ClientCredentials;
use crate::error::{SetterMistake, check_range};

/// The settings of token introspection (RFC 7662): client credentials, cache lifetimes and limits.
///
/// [`ClientCredentials`] can be used instead, and convert into this with all defaults.
///
/// ```
/// use std::time::Duration;
/// use mcp_bearer::Issuer;
/// use mcp_bearer::introspection::{ClientCredentials, Introspection};
///
/// let credentials = ClientCredentials::basic("mcp-server", "s3cret");
/// let introspection = Introspection::new(credentials)
///     .positive_cache(Duration::from_secs(10))
///     .max_in_flight(4)
///     .max_wait(Duration::from_secs(1));
/// let issuer = Issuer::discover("https://auth.example.com").introspect_all(introspection);
/// ```
#[derive(Debug, Clone)]
pub struct Introspection {
    pub(super) credentials: ClientCredentials,
    pub(super) settings: LookupSettings,
}

/// How results are cached, and how many requests are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookupSettings {
    pub(super) lifetimes: Lifetimes,
    pub(super) limits: Limits,
}

/// The limits of concurrent requests and of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_in_flight: usize,
    pub(super) time_limit: Duration,
    pub(super) max_wait: Duration,
}

/// How long results are fresh.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    pub(super) positive: Duration,
    pub(super) negative: Duration,
    pub(super) stale: Duration,
}

impl Introspection {
    /// Introspection with these client credentials and all defaults.
    #[must_use]
    pub const fn new(credentials: ClientCredentials) -> Self {
        Self { credentials, settings: LookupSettings::DEFAULT }
    }

    /// How long the result for an active token is cached: 0 to 5 minutes, 30 s by default. With 0, each request introspects
    /// its token.
    ///
    /// This is the revocation window: a token that is revoked at the authorization server is still accepted for this time. A
    /// result is not used beyond the token's `exp`, and `exp` and `nbf` are checked on every request.
    #[must_use]
    pub const fn positive_cache(mut self, time: Duration) -> Self {
        self.settings.lifetimes.positive = time;
        self
    }

    /// How long the result for a token that is not active is cached: 0 to 60 s, 10 s by default. Failures are never cached.
    #[must_use]
    pub const fn negative_cache(mut self, time: Duration) -> Self {
        self.settings.lifetimes.negative = time;
        self
    }

    /// How long past [`positive_cache`](Self::positive_cache) an active token is still accepted while introspection fails: 0 to
    /// 60 s, 0 by default. It lengthens the revocation window during an outage. A result is not used beyond the token's `exp`.
    #[must_use]
    pub const fn stale_on_error(mut self, time: Duration) -> Self {
        self.settings.lifetimes.stale = time;
        self
    }

    /// The upper bound of concurrent introspection requests: 1 to 64, 64 by default.
    ///
    /// The actual limit adapts to the authorization server, as the [module](super) describes. A quarter is reserved for tokens
    /// that were active before. Use a lower bound if other clients need the capacity of the authorization server.
    #[must_use]
    pub const fn max_in_flight(mut self, requests: usize) -> Self {
        self.settings.limits.max_in_flight = requests;
        self
    }

    /// The time limit of one introspection: 100 ms to 30 s, 3 s by default. It begins when the request is sent, and includes
    /// the whole response and the retry. The time in the waiting line does not count.
    #[must_use]
    pub const fn time_limit(mut self, time: Duration) -> Self {
        self.settings.limits.time_limit = time;
        self
    }

    /// How long a token waits while the limit of concurrent requests is reached: 0 to 30 s, 5 s by default. After that, the
    /// client gets 503, with a `Retry-After` that says when its introspection would have begun.
    #[must_use]
    pub const fn max_wait(mut self, time: Duration) -> Self {
        self.settings.limits.max_wait = time;
        self
    }

    /// All mistakes, each with its setter.
    pub(crate) fn mistakes(&self) -> Vec<SetterMistake> {
        let mut mistakes = self.settings.mistakes();
        mistakes.extend(self.credentials.check().err());
        mistakes
    }
}

impl LookupSettings {
    pub(super) const DEFAULT: Self = Self {
        lifetimes: Lifetimes { positive: DEFAULT_POSITIVE, negative: DEFAULT_NEGATIVE, stale: Duration::ZERO },
        limits: Limits { max_in_flight: DEFAULT_IN_FLIGHT, time_limit: DEFAULT_TIME_LIMIT, max_wait: DEFAULT_MAX_WAIT },
    };

    /// All mistakes, each with its setter.
    pub(super) fn mistakes(&self) -> Vec<SetterMistake> {
        let Lifetimes { positive, negative, stale } = self.lifetimes;
        let Limits { max_in_flight, time_limit, max_wait } = self.limits;
        let mut mistakes = Vec::new();
        for (name, time, least, most) in [
            ("positive_cache", positive, Duration::ZERO, MAX_POSITIVE),
            ("negative_cache", negative, Duration::ZERO, MAX_NEGATIVE),
            ("stale_on_error", stale, Duration::ZERO, MAX_STALE),
            ("time_limit", time_limit, MIN_TIME_LIMIT, MAX_TIME_LIMIT),
            ("max_wait", max_wait, Duration::ZERO, MAX_MAX_WAIT),
        ] {
            mistakes.extend(check_range(name, time, least..=most).err().map(|error| (name, error)));
        }
        let max_in_flight = check_range("max_in_flight", max_in_flight, 1..=DEFAULT_IN_FLIGHT);
        mistakes.extend(max_in_flight.err().map(|error| ("max_in_flight", error)));
        mistakes
    }
}

impl From<ClientCredentials> for Introspection {
    fn from(credentials: ClientCredentials) -> Self {
        Self::new(credentials)
    }
}

/// Enough for thousands of introspections a second.
const DEFAULT_IN_FLIGHT: usize = 64;
/// Short, because a user waits for each introspection.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// In a shorter time, no connection can be made.
const MIN_TIME_LIMIT: Duration = Duration::from_millis(100);
/// Most clients give up after about this time.
const MAX_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Together with the time limit, this is shorter than the time limit of most clients.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(5);
const MAX_MAX_WAIT: Duration = Duration::from_secs(30);
/// Short enough for a revocation, and long enough for the requests of one conversation.
const DEFAULT_POSITIVE: Duration = Duration::from_secs(30);
/// With a longer time, a revocation would have little effect.
const MAX_POSITIVE: Duration = Duration::from_secs(5 * 60);
/// Short, because a token may arrive before all replicas of the authorization server know it.
const DEFAULT_NEGATIVE: Duration = Duration::from_secs(10);
/// With a longer time, a token that has become active would be rejected for too long.
const MAX_NEGATIVE: Duration = Duration::from_secs(60);
/// Long enough for a restart of the authorization server.
const MAX_STALE: Duration = Duration::from_secs(60);
