//! Why a token is rejected: each cause has a name, a fixed sentence for the client and a label for the log.

use std::fmt;

/// What is wrong with a token.
///
/// [`description`](Self::description) is all that a client is told: no byte of the token is ever part of it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckFailure {
    /// Longer than [`max_token_length`](crate::ResourceServerBuilder::max_token_length), or with a header over 4 KiB or a
    /// signature over 1 KiB.
    TooLong,
    /// Not a JWT in compact form: three parts of canonical base64url (RFC 7515, section 7.1).
    Malformed,
    /// An encrypted JWT (RFC 7516).
    Encrypted,
    /// A header that is not a JSON object with unique members of the right types (RFC 7515, section 4).
    Header,
    /// A header with `crit`, `b64`, `enc` or `zip` (RFC 7515, section 4.1.11; RFC 7797, section 7).
    CriticalHeader,
    /// An `alg` that is not in the allow-list (RFC 8725, section 3.1).
    Algorithm,
    /// A `typ`, or another mark, of something that is not an access token (RFC 8725, section 3.11).
    TokenType,
    /// Claims that are not a JSON object with unique members of the right types (RFC 7519, section 4).
    Claims,
    /// An `iss` that is missing, or that no issuer of this server has (RFC 9068, section 4).
    Issuer,
    /// An `aud` that is missing, or that does not name this resource (RFC 9068, section 4).
    Audience,
    /// No `exp` (RFC 9068, section 2.2).
    NoExpiry,
    /// `exp` is past (RFC 7519, section 4.1.4).
    Expired,
    /// `nbf` or `iat` is in the future (RFC 7519, sections 4.1.5 and 4.1.6).
    NotYetValid,
    /// `exp` is further from `iat` than the configured maximum lifetime.
    LifetimeTooLong,
    /// Bound to a sender's key by `cnf`, but shown as a bearer token (RFC 9449, section 7.2; RFC 8705, section 3).
    SenderConstrained,
    /// Signed with a key that the issuer's key set does not hold, or holds for another algorithm or purpose.
    UnknownKey,
    /// The signature does not match (RFC 7515, section 5.2).
    Signature,
    /// Not active, by the word of the authorization server or of a verifier.
    Inactive,
}

impl CheckFailure {
    /// The sentence that a client is told.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::TooLong => "The access token is too long",
            Self::Malformed => "The access token is malformed",
            Self::Encrypted => "The access token is encrypted",
            Self::Header => "The header of the access token is malformed",
            Self::CriticalHeader => "The header of the access token asks for an unsupported extension",
            Self::Algorithm => "The signature algorithm of the access token is not accepted",
            Self::TokenType => "The token is not an access token",
            Self::Claims => "The claims of the access token are malformed",
            Self::Issuer => "The issuer of the access token is not accepted",
            Self::Audience => "The access token was issued for another resource",
            Self::NoExpiry => "The access token has no expiry",
            Self::Expired => "The access token expired",
            Self::NotYetValid => "The access token is not valid yet",
            Self::LifetimeTooLong => "The access token is valid for too long",
            Self::SenderConstrained => "The access token is bound to a key and cannot be used as a bearer token",
            Self::UnknownKey => "The access token is signed with an unknown key",
            Self::Signature => "The signature of the access token is invalid",
            Self::Inactive => "The access token is not active",
        }
    }

    /// The stable label of the log's `cause` field.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Encrypted => "encrypted",
            Self::Header => "header",
            Self::CriticalHeader => "critical_header",
            Self::Algorithm => "algorithm",
            Self::TokenType => "token_type",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::SenderConstrained => "sender_constrained",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Inactive => "inactive",
        }
    }
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for CheckFailure {}
