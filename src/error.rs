//! What can be wrong with a configuration.

use std::error::Error as StdError;
use std::fmt;

/// A configuration that cannot work, found while a [`ResourceServer`](crate::ResourceServer) is built.
///
/// `Display` is one sentence that says what to change; [`source`](StdError::source) is the cause below it, if any. `Debug`
/// is the sentence with all causes, as it appears where `main` returns the error.
pub struct BuildError {
    kind: BuildErrorKind,
    message: Box<str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a [`BuildError`] is about.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildErrorKind {
    /// The resource identifier is not one (RFC 9728, section 1.2).
    Resource,
    /// An issuer identifier is not one (RFC 8414, section 2), is missing or stands twice.
    Issuer,
    /// A scope has characters that RFC 6749, section 3.3 does not allow, or scopes imply each other in a circle.
    Scope,
    /// The list of accepted algorithms is empty or names one that this build cannot check.
    Algorithm,
    /// A key set given at build holds no usable key.
    Keys,
    /// A number or a text is outside its range.
    Setting,
    /// A member of the protected resource metadata cannot be published (RFC 9728, section 2).
    Metadata,
    /// No HTTP client: the feature `reqwest` is off and none was given, or it could not be made.
    HttpClient,
    /// An issuer's metadata or key set could not be had while building.
    Unreachable,
}

impl BuildError {
    /// What this error is about.
    #[must_use]
    pub const fn kind(&self) -> BuildErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: BuildErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
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

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for BuildError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        })
    }
}
