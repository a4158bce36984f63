//! The error of a configuration that cannot work.

use std::error::Error as StdError;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A mistake in the configuration of a [`ResourceServer`](crate::ResourceServer) or of one of its layers.
///
/// `Display` says what is wrong, how to repair it, and the nearest cause. [`source`](StdError::source) is the cause of that one, so
/// nothing appears twice if a program prints the error and its sources. `Debug` prints all of them, so a `main` function can
/// return the error.
///
/// ```
/// use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
///
/// let builder = ResourceServer::builder("mcp.example.com").issuer(Issuer::discover("https://auth.example.com"));
/// let error = builder.build_lazy().unwrap_err();
/// assert_eq!(error.kind(), BuildErrorKind::Resource);
/// ```
pub struct BuildError {
    kind: BuildErrorKind,
    message: Box<str>,
    /// The nearest cause.
    cause: Option<BoxError>,
}

/// The part of the configuration that a [`BuildError`] is about.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildErrorKind {
    /// The resource identifier is invalid (RFC 9728, section 1.2).
    Resource,
    /// An issuer identifier is invalid (RFC 8414, section 2), missing or repeated.
    Issuer,
    /// A scope has characters that RFC 6749, section 3.3 does not allow, or scopes imply each other in a circle.
    Scope,
    /// The list of accepted algorithms is empty, or names one that this build does not support.
    Algorithm,
    /// A key set in the configuration does not contain a usable key.
    Keys,
    /// A number or a text is outside of its range, or a setting has no effect.
    Setting,
    /// An API key cannot be used, or the file of keys cannot be read.
    ApiKeys,
    /// A member of the protected resource metadata cannot be published (RFC 9728, section 2).
    Metadata,
    /// There is no HTTP client: the feature `reqwest` is off and none is configured, or its construction failed.
    HttpClient,
    /// The metadata or the key set of an issuer could not be fetched by [`build`](crate::ResourceServerBuilder::build) or
    /// [`warm_up`](crate::ResourceServer::warm_up), a configured introspection endpoint does not introspect, or the server of the
    /// shared state cannot be used.
    Unreachable,
    /// The authorization server rejects the client credentials for introspection with `invalid_client` or
    /// `unauthorized_client` (RFC 6749, section 5.2). Reported by [`build`](crate::ResourceServerBuilder::build) and
    /// [`warm_up`](crate::ResourceServer::warm_up), as is the rejection of the credentials for the shared state.
    Credentials,
}

impl BuildError {
    /// The part of the configuration that the error is about.
    #[must_use]
    pub const fn kind(&self) -> BuildErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: BuildErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// A mistake of the kind [`BuildErrorKind::Issuer`].
    pub(crate) fn issuer(message: impl Into<Box<str>>) -> Self {
        Self::new(BuildErrorKind::Issuer, message)
    }

    /// A mistake of the kind [`BuildErrorKind::Setting`].
    pub(crate) fn setting(message: impl Into<Box<str>>) -> Self {
        Self::new(BuildErrorKind::Setting, message)
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(source));
        self
    }

    /// The cause that `Display` ends with.
    pub(crate) fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

/// A mistake, with the setter whose value is wrong.
pub(crate) type SetterMistake = (&'static str, BuildError);

/// The first mistake as an error.
pub(crate) fn first_mistake(mistakes: Vec<SetterMistake>) -> Result<(), BuildError> {
    mistakes.into_iter().next().map_or(Ok(()), |(_, mistake)| Err(mistake))
}

/// Checks that the value of the setting `name` is in its range. If not, the error is a [`BuildErrorKind::Setting`].
pub(crate) fn check_range<T>(name: &str, value: T, range: RangeInclusive<T>) -> Result<(), BuildError>
where
    T: PartialOrd + SettingValue,
{
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let (value, least, most) = (value.shown(), least.shown(), most.shown());
    Err(BuildError::setting(format!("`{name}` is {value}; use between {least} and {most}")))
}

/// A value that messages show: a time as a number of seconds, such as `0.1 s`.
pub(crate) trait SettingValue {
    fn shown(&self) -> String;
}

impl SettingValue for Duration {
    fn shown(&self) -> String {
        format!("{} s", self.as_secs_f64())
    }
}

impl SettingValue for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

/// The value, or a panic with the error. The setters of layers use it, because their arguments are part of the program.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a wrong argument stops the program at its start, as a bad path of axum's `route` does"
)]
pub(crate) fn valid_or_panic<T>(value: Result<T, BuildError>) -> T {
    match value {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}

/// Any error, for bodies and causes whose type only the application knows.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl StdError for BuildError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref()?.source()
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // The message may already have the cause that matters.
            if !shown.contains(&text) {
                shown = [&shown, ": ", &text].concat();
            }
            cause = error.source();
        }
        f.write_str(&shown)
    }
}
