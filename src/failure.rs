//! Why a token is rejected: each cause has a name, a fixed sentence for the client and a label for the log.

/// The check that an access token failed.
///
/// The client reads the [`description`](Self::description), which contains no byte of the token.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.label())]
pub enum CheckFailure {
    /// The token is longer than [`max_token_length`](crate::ResourceServerBuilder::max_token_length), its header is longer
    /// than 4 KiB, or its signature is longer than 1 KiB.
    TooLong,
    /// The token is not a JWT in compact form: three parts of canonical base64url (RFC 7515, section 7.1).
    Malformed,
    /// The token is an encrypted JWT (RFC 7516).
    Encrypted,
    /// The header is not a JSON object with unique members of the right types (RFC 7515, section 4).
    Header,
    /// The header has `crit`, `b64`, `enc` or `zip` (RFC 7515, section 4.1.11; RFC 7797, section 7).
    CriticalHeader,
    /// `alg` is not in the allow-list (RFC 8725, section 3.1).
    Algorithm,
    /// `typ`, or a claim, says that the token is not an access token (RFC 8725, section 3.11).
    TokenType,
    /// The claims are not a JSON object with unique members of the right types (RFC 7519, section 4).
    Claims,
    /// `iss` is missing, or is not a configured issuer (RFC 9068, section 4).
    Issuer,
    /// `aud` is missing, or does not name this resource (RFC 9068, section 4).
    Audience,
    /// `exp` is missing (RFC 9068, section 2.2).
    NoExpiry,
    /// `exp` is in the past (RFC 7519, section 4.1.4).
    Expired,
    /// `nbf` or `iat` is in the future (RFC 7519, sections 4.1.5 and 4.1.6).
    NotYetValid,
    /// The time from `iat` to `exp` is longer than
    /// [`max_token_lifetime`](crate::ResourceServerBuilder::max_token_lifetime).
    LifetimeTooLong,
    /// The token is sender-constrained by `cnf`, and was sent as a bearer token (RFC 9449, section 7.2; RFC 8705, section 3).
    SenderConstrained,
    /// The issuer's key set does not have the key of the signature, or has it for another algorithm or use.
    UnknownKey,
    /// The signature is invalid (RFC 7515, section 5.2).
    Signature,
    /// The authorization server or a [`TokenVerifier`](crate::verify::TokenVerifier) says that the token is not active.
    Inactive,
}

impl CheckFailure {
    /// The sentence that the client reads. It is the same for all tokens.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.texts().1
    }

    /// The stable label of the log's `cause` field.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.texts().0
    }

    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::TooLong => ("too_long", "The access token is too long"),
            Self::Malformed => ("malformed", "The access token is malformed"),
            Self::Encrypted => ("encrypted", "The access token is encrypted"),
            Self::Header => ("header", "The header of the access token is malformed"),
            Self::CriticalHeader => {
                ("critical_header", "The header of the access token asks for an unsupported extension")
            }
            Self::Algorithm => ("algorithm", "The signature algorithm of the access token is not accepted"),
            Self::TokenType => ("token_type", "The token is not an access token"),
            Self::Claims => ("claims", "The claims of the access token are malformed"),
            Self::Issuer => ("issuer", "The issuer of the access token is not accepted"),
            Self::Audience => ("audience", "The access token was issued for another resource"),
            Self::NoExpiry => ("no_expiry", "The access token does not have an expiry"),
            Self::Expired => ("expired", "The access token expired"),
            Self::NotYetValid => ("not_yet_valid", "The access token is not valid yet"),
            Self::LifetimeTooLong => ("lifetime_too_long", "The access token is valid for too long"),
            Self::SenderConstrained => {
                ("sender_constrained", "The access token is bound to a key and cannot be used as a bearer token")
            }
            Self::UnknownKey => ("unknown_key", "The access token is signed with an unknown key"),
            Self::Signature => ("signature", "The signature of the access token is invalid"),
            Self::Inactive => ("inactive", "The access token is not active"),
        }
    }
}
