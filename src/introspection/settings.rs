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
///     .introspection(Introspection::new(credentials).positive_cache(Duration::from_secs(10)));
/// ```
#[derive(Clone)]
pub struct Introspection {
    pub(super) credentials: ClientCredentials,
    pub(super) lifetimes: Lifetimes,
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
        Self { credentials, lifetimes }
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
        self.credentials.check()
    }
}

impl From<ClientCredentials> for Introspection {
    fn from(credentials: ClientCredentials) -> Self {
        Self::new(credentials)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

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
