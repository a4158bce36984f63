//! The wall clock. Everything that reads it gets it through [`Clock`].

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock that `exp`, `nbf` and `iat` are compared with.
///
/// Set it with [`ResourceServerBuilder::clock`](crate::ResourceServerBuilder::clock). Only tokens depend on it. Key sets
/// are refreshed by tokio's monotonic clock, so a wall clock that jumps causes no additional requests to an issuer.
///
/// ```
/// use std::time::SystemTime;
///
/// use mcp_bearer::{Clock, ResourceServer};
///
/// /// Shows the time of another program's log, for example.
/// #[derive(Debug)]
/// struct Recorded(SystemTime);
///
/// impl Clock for Recorded {
///     fn now(&self) -> SystemTime {
///         self.0
///     }
/// }
///
/// let clock = Recorded(SystemTime::UNIX_EPOCH);
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp").clock(clock);
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> SystemTime;
}

impl dyn Clock {
    /// The current time in the form of claims: the time since 1970 (`NumericDate`, RFC 7519, section 2).
    pub(crate) fn since_epoch(&self) -> Duration {
        // A time before 1970 counts as 1970. Every `nbf` and `iat` is then in the future, so tokens are rejected.
        self.now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// The clock of the operating system: the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
