use std::fmt;
use std::time::Duration;

use crate::escape::shown;

/// The details of a failed check, such as the expected and the found value.
///
/// Texts from the request or the token are escaped and have at most 128 characters.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// The request or the token has another value than the configuration. Several values are separated by commas.
    Mismatch {
        /// The configured values.
        expected: Box<str>,
        /// The value in the request or in the token.
        found: Box<str>,
    },
    /// The access token does not grant the required scopes. Scopes are separated by spaces.
    Scopes {
        /// The scopes that the request needs. If there are alternatives, the first of them.
        required: Box<str>,
        /// The scopes of the token.
        granted: Box<str>,
    },
    /// The token is longer than accepted, in bytes.
    Length {
        /// The length of the token.
        length: usize,
        /// The configured `max_token_length`.
        limit: usize,
    },
    /// The token expired this long ago, and longer ago than the clock skew.
    Expired {
        /// The time since `exp`.
        ago: Duration,
        /// The configured `clock_skew`.
        skew: Duration,
    },
    /// `nbf` or `iat` is in the future, by more than the clock skew.
    NotYetValid {
        /// The time until the token is valid.
        ahead: Duration,
        /// The configured `clock_skew`.
        skew: Duration,
    },
    /// The time from `iat` to `exp` is too long.
    Lifetime {
        /// The lifetime of the token.
        lifetime: Duration,
        /// The configured `max_token_lifetime`.
        limit: Duration,
    },
    /// The DPoP proof was made this long ago.
    ProofAge {
        /// The time since `iat`.
        age: Duration,
        /// The configured `max_age` of proofs.
        max_age: Duration,
    },
    /// `iat` of the DPoP proof is in the future.
    ProofAhead {
        /// The time until `iat`.
        ahead: Duration,
        /// The configured `max_age` of proofs.
        max_age: Duration,
    },
    /// The API key with this name has expired.
    ExpiredKey {
        /// The name of the stored key.
        name: Box<str>,
        /// The time since its expiry.
        ago: Duration,
    },
    /// The claim with this name is missing or has a wrong type.
    Claim(&'static str),
    /// A fixed sentence that says more than the cause.
    Note(&'static str),
}

impl Detail {
    /// A [`Detail::Mismatch`] of texts that are escaped and cut here.
    pub(crate) fn mismatch<'e, 'f>(
        expected: impl IntoIterator<Item = &'e str>,
        found: impl IntoIterator<Item = &'f str>,
    ) -> Box<Self> {
        Box::new(Self::Mismatch { expected: shown(expected, ", "), found: shown(found, ", ") })
    }

    /// A [`Detail::Scopes`] of texts that are escaped and cut here.
    pub(crate) fn scopes<'r, 'g>(
        required: impl IntoIterator<Item = &'r str>,
        granted: impl IntoIterator<Item = &'g str>,
    ) -> Box<Self> {
        Box::new(Self::Scopes { required: shown(required, " "), granted: shown(granted, " ") })
    }

    /// The expected value. `None` if the detail is not a comparison of texts.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        match self {
            Self::Mismatch { expected, .. } | Self::Scopes { required: expected, .. } => Some(expected),
            _ => None,
        }
    }

    /// The value that was found. `None` if the detail is not a comparison of texts.
    #[must_use]
    pub fn found(&self) -> Option<&str> {
        match self {
            Self::Mismatch { found, .. } | Self::Scopes { granted: found, .. } => Some(found),
            _ => None,
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { expected, found } => write!(f, "expected {expected:?}, found {found:?}"),
            Self::Scopes { required, granted } => write!(f, "required {required:?}, granted {granted:?}"),
            Self::Length { length, limit } => {
                write!(f, "the token has {length} bytes; `max_token_length` is {limit}")
            }
            Self::Expired { ago, skew } => {
                write!(f, "the token expired {} s ago; `clock_skew` is {} s", ago.as_secs(), skew.as_secs_f64())
            }
            // Rounded up, so that it never says 0 s.
            Self::NotYetValid { ahead, skew } => write!(
                f,
                "`nbf` or `iat` is {} s ahead of the clock of this machine, which may be behind; `clock_skew` is {} s",
                ahead.saturating_add(Duration::from_nanos(999_999_999)).as_secs(),
                skew.as_secs_f64()
            ),
            Self::Lifetime { lifetime, limit } => {
                write!(
                    f,
                    "the token is valid for {} s; `max_token_lifetime` is {} s",
                    lifetime.as_secs(),
                    limit.as_secs_f64()
                )
            }
            Self::ProofAge { age, max_age } => {
                write!(f, "the proof was made {} s ago; `max_age` is {} s", age.as_secs(), max_age.as_secs_f64())
            }
            Self::ProofAhead { ahead, max_age } => write!(
                f,
                "`iat` is {} s ahead of the clock of this machine, which may be behind; `max_age` is {} s",
                ahead.saturating_add(Duration::from_nanos(999_999_999)).as_secs(),
                max_age.as_secs_f64()
            ),
            Self::ExpiredKey { name, ago } => write!(f, "the key \"{name}\" expired {} s ago", ago.as_secs()),
            Self::Claim(name) => write!(f, "the claim \"{name}\" is missing or has a wrong type"),
            Self::Note(note) => f.write_str(note),
        }
    }
}
