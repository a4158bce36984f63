use std::fmt;
use std::time::Duration;

use super::ClientCredentials;
use crate::error::{BuildError, BuildErrorKind};

/// How tokens are introspected (RFC 7662): with which credentials, and for how long an answer holds.
///
/// Credentials alone are a configuration already: [`ClientCredentials`] turn into one with every default.
///
/// ```
/// use std::time::Duration;
/// use mcp_bearer::Issuer;
/// use mcp_bearer::introspection::{ClientCredentials, Introspection};
///
/// let credentials = ClientCredentials::basic("mcp-server", "s3cret");
/// let issuer = Issuer::discover("https://auth.example.com")
///     .introspect_all(Introspection::new(credentials).positive_cache(Duration::from_secs(10)));
/// ```
#[derive(Clone)]
pub struct Introspection {
    pub(super) credentials: ClientCredentials,
    pub(super) lifetimes: Lifetimes,
    pub(super) limits: Limits,
}

/// How many calls are in flight, and how long they and those who wait for them may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_in_flight: usize,
    pub(super) time_limit: Duration,
    pub(super) max_wait: Duration,
}

/// How long answers hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    pub(super) positive: Duration,
    pub(super) negative: Duration,
    pub(super) stale: Duration,
}

impl Introspection {
    /// Introspection as this client, with every default.
    #[must_use]
    pub const fn new(credentials: ClientCredentials) -> Self {
        let lifetimes = Lifetimes { positive: DEFAULT_POSITIVE, negative: DEFAULT_NEGATIVE, stale: Duration::ZERO };
        let limits =
            Limits { max_in_flight: DEFAULT_IN_FLIGHT, time_limit: DEFAULT_TIME_LIMIT, max_wait: DEFAULT_MAX_WAIT };
        Self { credentials, lifetimes, limits }
    }

    /// For how long "active" holds without asking again: 0 to 5 minutes, 30 s by default. 0 asks on every request.
    ///
    /// This is the revocation window: a token that is revoked at the authorization server is accepted for so long. It
    /// never lasts beyond the token's `exp`, and the token's times are checked on every request all the same.
    #[must_use]
    pub const fn positive_cache(mut self, time: Duration) -> Self {
        self.lifetimes.positive = time;
        self
    }

    /// For how long "not active" holds without asking again: 0 to 60 s, 10 s by default. An outage is never kept.
    #[must_use]
    pub const fn negative_cache(mut self, time: Duration) -> Self {
        self.lifetimes.negative = time;
        self
    }

    /// For how long past [`positive_cache`](Self::positive_cache) "active" holds while the authorization server cannot
    /// be asked: 0 to 60 s, 0 by default. It lengthens the revocation window by so much in an outage, and never lasts
    /// beyond the token's `exp`.
    #[must_use]
    pub const fn stale_on_error(mut self, time: Duration) -> Self {
        self.lifetimes.stale = time;
        self
    }

    /// The most introspection requests that are in flight at the same time: 1 to 64, 64 by default.
    ///
    /// This is a limit, not a target. The number adapts to the authorization server: it starts at 8, grows by one after
    /// each round of answers that came in time, and is halved where latency doubles, at a 503, and where no response comes
    /// at all. A quarter of the limit is kept for tokens that were active before. Lower it where other clients of the
    /// authorization server need its capacity.
    ///
    /// ```
    /// # use mcp_bearer::introspection::{ClientCredentials, Introspection};
    /// # let credentials = ClientCredentials::basic("mcp-server", "s3cret");
    /// let introspection = Introspection::new(credentials).max_in_flight(4);
    /// ```
    #[must_use]
    pub const fn max_in_flight(mut self, requests: usize) -> Self {
        self.limits.max_in_flight = requests;
        self
    }

    /// The time limit of one introspection, from when the request is sent until the whole answer has come, its retry
    /// included: 100 ms to 30 s, 3 s by default. The time in which it waits for its turn does not count.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mcp_bearer::introspection::{ClientCredentials, Introspection};
    /// # let credentials = ClientCredentials::basic("mcp-server", "s3cret");
    /// let introspection = Introspection::new(credentials).time_limit(Duration::from_secs(10));
    /// ```
    #[must_use]
    pub const fn time_limit(mut self, time: Duration) -> Self {
        self.limits.time_limit = time;
        self
    }

    /// How long a token waits for its turn while other introspection requests are in flight: 0 to 30 s, 5 s by default.
    /// After that the caller gets 503, and in `Retry-After` when its turn would have come.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mcp_bearer::introspection::{ClientCredentials, Introspection};
    /// # let credentials = ClientCredentials::basic("mcp-server", "s3cret");
    /// let introspection = Introspection::new(credentials).max_wait(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn max_wait(mut self, time: Duration) -> Self {
        self.limits.max_wait = time;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let Lifetimes { positive, negative, stale } = self.lifetimes;
        for (name, value, most) in [
            ("positive_cache", positive, MAX_POSITIVE),
            ("negative_cache", negative, MAX_NEGATIVE),
            ("stale_on_error", stale, MAX_STALE),
        ] {
            if value > most {
                let message = format!("`{name}` is {value:?}: give between 0 s and {most:?}");
                return Err(BuildError::new(BuildErrorKind::Setting, message));
            }
        }
        let Limits { max_in_flight, time_limit, max_wait } = self.limits;
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Setting, message));
        if !(1..=DEFAULT_IN_FLIGHT).contains(&max_in_flight) {
            return wrong(format!("`max_in_flight` is {max_in_flight}: give between 1 and {DEFAULT_IN_FLIGHT}"));
        }
        if !(MIN_TIME_LIMIT..=MAX_TIME_LIMIT).contains(&time_limit) {
            let (least, most) = (MIN_TIME_LIMIT, MAX_TIME_LIMIT);
            return wrong(format!("`time_limit` is {time_limit:?}: give between {least:?} and {most:?}"));
        }
        if max_wait > MAX_MAX_WAIT {
            return wrong(format!("`max_wait` is {max_wait:?}: give between 0 s and {MAX_MAX_WAIT:?}"));
        }
        self.credentials.check()
    }
}

impl Limits {
    /// The longest that a caller waits: for its turn, for discovery if that is needed, and for the answer.
    pub(super) const fn longest(self) -> Duration {
        self.max_wait.saturating_add(self.time_limit)
    }
}

impl From<ClientCredentials> for Introspection {
    fn from(credentials: ClientCredentials) -> Self {
        Self::new(credentials)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("lifetimes", &self.lifetimes)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Enough for thousands of introspections a second, few enough not to be a nuisance.
const DEFAULT_IN_FLIGHT: usize = 64;
/// A user waits for it, unlike for a key set.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// Shorter than this, a connection cannot even be made.
const MIN_TIME_LIMIT: Duration = Duration::from_millis(100);
/// Clients give up after about so long.
const MAX_TIME_LIMIT: Duration = Duration::from_secs(30);
/// With the time limit this is shorter than the patience of most clients.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(5);
const MAX_MAX_WAIT: Duration = Duration::from_secs(30);
/// Half a minute: short enough for a revocation, long enough for the requests of one conversation.
const DEFAULT_POSITIVE: Duration = Duration::from_secs(30);
/// Longer than that, a revocation means little.
const MAX_POSITIVE: Duration = Duration::from_secs(5 * 60);
/// Short, since a token may be shown before the server that issued it has told its replicas.
const DEFAULT_NEGATIVE: Duration = Duration::from_secs(10);
/// Longer than that, a repaired account looks broken.
const MAX_NEGATIVE: Duration = Duration::from_secs(60);
/// Long enough for a restart of the authorization server.
const MAX_STALE: Duration = Duration::from_secs(60);
