//! The wall clock. All code of the crate reads the wall clock through [`Clock`], so that tests can set the time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock that `exp`, `nbf` and `iat` are compared with.
///
/// Set it with [`ResourceServerBuilder::clock`](crate::ResourceServerBuilder::clock). The clock decides when a token is
/// valid, and when a streaming response ends because its token has expired. A client assertion (`private_key_jwt`) gets
/// its times from it too. Key sets and metadata documents are refreshed by tokio's monotonic clock. So a wall clock
/// that jumps causes no additional fetch.
///
/// ```
/// use std::time::SystemTime;
///
/// use mcp_bearer::{Clock, ResourceServer};
///
/// /// A clock with a fixed time, for example to verify a token as of the time of a recorded request.
/// #[derive(Debug)]
/// struct FixedClock(SystemTime);
///
/// impl Clock for FixedClock {
///     fn now(&self) -> SystemTime {
///         self.0
///     }
/// }
///
/// let clock = FixedClock(SystemTime::UNIX_EPOCH);
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp").clock(clock);
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time. Before 1970, every token is rejected as expired.
    fn now(&self) -> SystemTime;
}

impl dyn Clock {
    /// The current time as the time since 1970-01-01, like the `NumericDate` of `exp`, `nbf` and `iat` (RFC 7519,
    /// section 2). [`Duration::MAX`] before 1970: such a clock is wrong, so every token counts as expired.
    pub(crate) fn since_epoch(&self) -> Duration {
        self.now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
    }
}

/// The clock of the operating system: the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the clock of the operating system")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
