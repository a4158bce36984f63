use serde_json::Value;

use crate::claims::Claims;
use crate::failure::CheckFailure;
use crate::jose::header::Header;
use crate::jose::{Algorithm, AllowedAlgorithms};
use crate::keys::{FoundKeys, Keys};

/// Verifies the JWT access tokens of one issuer (RFC 7519, section 7.2; RFC 9068, section 4).
pub(crate) struct JwtVerifier {
    pub(crate) keys: Keys,
    pub(crate) algorithms: AllowedAlgorithms,
    /// Only `typ: at+jwt` (RFC 9068, section 4).
    pub(crate) at_jwt_required: bool,
}

/// How a header's `typ` names the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenType {
    /// `at+jwt`: an access token (RFC 9068, section 2.1).
    AccessToken,
    /// `JWT`, or nothing.
    Unspecific,
}

impl JwtVerifier {
    /// What this issuer's tokens must be beyond what all tokens must be.
    pub(super) fn check_header(&self, header: &Header<'_>, typ: TokenType) -> Result<(), CheckFailure> {
        if !self.algorithms.contains(header.algorithm) {
            return Err(CheckFailure::Algorithm);
        }
        if self.at_jwt_required && typ != TokenType::AccessToken {
            return Err(CheckFailure::TokenType);
        }
        Ok(())
    }
}

/// Checks a signature over the bytes as they were received (RFC 7515, section 5.2).
pub(super) fn check_signature(
    keys: &FoundKeys,
    algorithm: Algorithm,
    signing_input: &[u8],
    signature: &[u8],
) -> Result<(), CheckFailure> {
    if keys.verify(algorithm, signing_input, signature) { Ok(()) } else { Err(CheckFailure::Signature) }
}

impl TokenType {
    /// Reads `typ`, a media type in any case, with or without `application/` (RFC 7515, section 4.1.9). Whatever
    /// is explicitly something else is refused (RFC 8725, section 3.11).
    pub(super) fn of(typ: Option<&str>) -> Result<Self, CheckFailure> {
        let Some(typ) = typ else { return Ok(Self::Unspecific) };
        let name = match typ.split_at_checked(PREFIX.len()) {
            Some((prefix, name)) if prefix.eq_ignore_ascii_case(PREFIX) => name,
            _ => typ,
        };
        if name.eq_ignore_ascii_case("at+jwt") {
            Ok(Self::AccessToken)
        } else if name.eq_ignore_ascii_case("jwt") {
            Ok(Self::Unspecific)
        } else {
            Err(CheckFailure::TokenType)
        }
    }
}

/// Claims that are replicated in the header must say the same there (RFC 7519, section 5.3).
pub(super) fn check_replicated(header: &Header<'_>, claims: &Claims) -> Result<(), CheckFailure> {
    let same = |(name, value): &(&str, Value)| claims.members().get(*name) == Some(value);
    if header.replicated.iter().all(same) { Ok(()) } else { Err(CheckFailure::Header) }
}

const PREFIX: &str = "application/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_access_tokens_and_unspecific_tokens_pass() {
        for (typ, expected) in [
            (None, Ok(TokenType::Unspecific)),
            (Some("JWT"), Ok(TokenType::Unspecific)),
            (Some("jwt"), Ok(TokenType::Unspecific)),
            (Some("application/jwt"), Ok(TokenType::Unspecific)),
            (Some("at+jwt"), Ok(TokenType::AccessToken)),
            (Some("AT+JWT"), Ok(TokenType::AccessToken)),
            (Some("Application/at+jwt"), Ok(TokenType::AccessToken)),
        ] {
            assert_eq!(TokenType::of(typ), expected, "{typ:?}");
        }
        for typ in [
            "",
            "dpop+jwt",
            "token-introspection+jwt",
            "logout+jwt",
            "secevent+jwt",
            "client-authentication+jwt",
            "id_token+jwt",
            "oauth-id-jag+jwt",
            "text/at+jwt",
            "at+jwt;x=1",
            "at+jwt ",
            "application/",
            "JOSE",
            "é",
        ] {
            assert_eq!(TokenType::of(Some(typ)), Err(CheckFailure::TokenType), "{typ:?}");
        }
    }
}
