use std::fmt;
use std::str::FromStr;

/// An asymmetric signature algorithm (RFC 7518, section 3.1; RFC 8037).
///
/// Symmetric algorithms are not supported: a resource server that knows the secret could issue tokens.
///
/// ```
/// use mcp_bearer::jose::Algorithm;
///
/// assert_eq!("ES256".parse::<Algorithm>()?, Algorithm::ES256);
/// assert!("HS256".parse::<Algorithm>().is_err());
/// # Ok::<(), mcp_bearer::jose::UnknownAlgorithm>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512; needs the feature `aws-lc-rs`.
    ES512,
    /// Ed25519, named `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    EdDSA,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The name in a token's `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Finds an algorithm by its registered name. Case matters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Self::EdDSA),
            _ => Self::ALL.into_iter().find(|algorithm| algorithm.name() == name),
        }
    }

    /// Whether the cryptography backend of this build supports the algorithm.
    #[must_use]
    pub const fn is_supported(self) -> bool {
        let pure_rust = cfg!(feature = "rust-crypto") && !matches!(self, Self::ES512);
        cfg!(feature = "aws-lc-rs") || pure_rust
    }

    /// The `kty` of its keys (RFC 7518, section 6.1; RFC 8037, section 2).
    pub(crate) const fn key_type(self) -> &'static str {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => "RSA",
            Self::ES256 | Self::ES384 | Self::ES512 => "EC",
            Self::EdDSA => "OKP",
        }
    }

    #[expect(clippy::as_conversions, reason = "the ten variants are numbered from zero")]
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::from_name(name).ok_or_else(|| UnknownAlgorithm { name: name.into() })
    }
}

/// The error for a name that is not an asymmetric signature algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not an asymmetric signature algorithm: use one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"
)]
pub struct UnknownAlgorithm {
    name: Box<str>,
}

/// A set of algorithms.
///
/// ```
/// use mcp_bearer::jose::{Algorithm, AllowedAlgorithms};
///
/// let allowed: AllowedAlgorithms = [Algorithm::ES256, Algorithm::EdDSA].into_iter().collect();
/// assert!(allowed.contains(Algorithm::ES256));
/// assert!(!allowed.contains(Algorithm::RS256));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AllowedAlgorithms {
    bits: u16,
}

impl AllowedAlgorithms {
    /// All algorithms that this build supports.
    #[must_use]
    pub fn supported() -> Self {
        Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_supported()).collect()
    }

    /// Whether `algorithm` is in the set.
    #[must_use]
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.bits & algorithm.bit() != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The algorithms of the set.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }
}

impl FromIterator<Algorithm> for AllowedAlgorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self { bits: algorithms.into_iter().fold(0, |bits, algorithm| bits | algorithm.bit()) }
    }
}

impl fmt::Debug for AllowedAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_names_are_algorithms() {
        for name in [
            "none",
            "None",
            "NONE",
            "",
            "none ",
            " none",
            "none\0",
            "HS256",
            "rs256",
            "RS256 ",
            "ES521",
            "ES256K",
            "ESP256",
            "Ed448",
            "ML-DSA-44",
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{name:?}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDSA));
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: AllowedAlgorithms = [Algorithm::ES256, Algorithm::EdDSA].into_iter().collect();
        assert!(set.contains(Algorithm::ES256) && set.contains(Algorithm::EdDSA) && !set.contains(Algorithm::RS256));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Algorithm::ES256, Algorithm::EdDSA]);
        assert!(AllowedAlgorithms::from_iter([]).is_empty());
    }
}
