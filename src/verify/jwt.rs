use std::sync::Arc;

use serde_json::Value;

use super::asked::RevocationCheck;
use super::own_code::within;
use super::verified_tokens::Place;
use super::{Verification, Verifier, VerifyError};
use crate::claims::Claims;
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::jose::compact::Compact;
use crate::jose::header::Header;
use crate::jose::{Algorithm, AllowedAlgorithms, OwnedKeyName};
use crate::keys::{FoundKeys, KeyError, Keys, Signature};

/// Verifies the JWT access tokens of one issuer (RFC 7519, section 7.2; RFC 9068, section 4).
pub(crate) struct JwtVerifier {
    pub(crate) keys: Keys,
    pub(crate) algorithms: AllowedAlgorithms,
    /// Only `typ: at+jwt` (RFC 9068, section 4).
    pub(crate) at_jwt_required: bool,
    pub(crate) revocation: Option<RevocationCheck>,
}

/// A JWT, read as far as that is possible without a key.
pub(super) struct Jwt<'t> {
    pub(super) token: &'t [u8],
    pub(super) compact: &'t Compact<'t>,
    pub(super) header: Result<(TokenType, Header<'t>), CheckFailure>,
    pub(super) claims: Claims,
    pub(super) signature: Vec<u8>,
}

/// How a header's `typ` names the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenType {
    /// `at+jwt`: an access token (RFC 9068, section 2.1).
    AccessToken,
    /// `JWT`, or nothing.
    Unspecific,
}

impl Verifier {
    /// Judges a JWT: here, or by asking about it.
    pub(super) fn verify(
        self: &Arc<Self>,
        jwt: Jwt<'_>,
        place: Option<Place>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Verification, VerifyError> {
        let Some(verifier) = &self.jwt else { return self.ask_about_jwt(&jwt, clock) };
        let (typ, header) = jwt.header?;
        let about = |error: VerifyError| error.about(self.issuer(), header.kid.as_deref());
        verifier.check_header(&header, typ).map_err(|failure| about(failure.into()))?;
        let claims = self.check_claims(jwt.claims, typ == TokenType::AccessToken, clock.since_epoch());
        let claims = claims.map_err(about)?;
        check_replicated(&header, &claims).map_err(|failure| about(failure.into()))?;
        let Some(found) = verifier.keys.find_now(header.algorithm, header.key_name()) else {
            let signed = Signed {
                input: jwt.compact.signing_input().into(),
                signature: jwt.signature,
                algorithm: header.algorithm,
                key_name: header.key_name().to_owned(),
                token: verifier.revocation.as_ref().map(|_| jwt.token.into()),
                claims,
                typ,
                place,
            };
            return Ok(self.wait_for_key(signed, clock));
        };
        let keys = found.map_err(|error| about(error.into()))?;
        check_signature(&keys, header.algorithm, jwt.compact.signing_input(), &jwt.signature).map_err(about)?;
        self.remember(place, &claims, typ, &keys);
        self.accept(jwt.token, claims, clock)
    }

    fn wait_for_key(self: &Arc<Self>, signed: Signed, clock: &Arc<dyn Clock>) -> Verification {
        let (this, clock) = (Arc::clone(self), Arc::clone(clock));
        Verification::Pending(Box::pin(async move {
            let about = |error: VerifyError| error.about(this.issuer(), signed.key_name.kid.as_deref());
            // Only who checks JWTs waits for their keys.
            let Some(verifier) = &this.jwt else { return Err(CheckFailure::Issuer.into()) };
            let find = verifier.keys.find(signed.algorithm, signed.key_name.as_ref());
            let found = within(this.wait_limit, "the key of the token", find).await.map_err(about)?;
            let keys = found.map_err(|error| about(error.into()))?;
            check_signature(&keys, signed.algorithm, &signed.input, &signed.signature).map_err(about)?;
            this.remember(signed.place, &signed.claims, signed.typ, &keys);
            match this.accept(signed.token.as_deref().unwrap_or_default(), signed.claims, &clock)? {
                Verification::Done(verified) => verified,
                Verification::Pending(verification) => verification.await,
            }
        }))
    }

    fn remember(self: &Arc<Self>, place: Option<Place>, claims: &Claims, typ: TokenType, keys: &FoundKeys) {
        if let (Some(place), Some(generation)) = (place, keys.generation) {
            place.keep(self, claims, typ == TokenType::AccessToken, generation);
        }
    }

    /// Checks a JWT as far as that is possible without asking anybody about it.
    pub(super) async fn check_by_keys(
        &self,
        verifier: &JwtVerifier,
        token: &[u8],
        clock: &dyn Clock,
    ) -> Result<(), VerifyError> {
        let compact = Compact::parse(token)?;
        let header_json = compact.header()?;
        let header = Header::parse(&header_json, verifier.algorithms)?;
        let typ = TokenType::of(header.typ.as_deref())?;
        let (claims, signature) = (Claims::from_json(compact.payload()?)?, compact.signature()?);
        verifier.check_header(&header, typ)?;
        let claims = self.check_claims(claims, typ == TokenType::AccessToken, clock.since_epoch())?;
        check_replicated(&header, &claims)?;
        let find = verifier.keys.find(header.algorithm, header.key_name());
        let keys = within(self.wait_limit, "the key of the token", find).await??;
        check_signature(&keys, header.algorithm, compact.signing_input(), &signature)
    }

    /// A JWT that is good by itself.
    pub(super) fn accept(
        self: &Arc<Self>,
        token: &[u8],
        claims: Claims,
        clock: &Arc<dyn Clock>,
    ) -> Result<Verification, VerifyError> {
        match self.jwt.as_ref().and_then(|jwt| jwt.revocation.as_ref()) {
            None => Ok(Verification::Done(Ok(claims))),
            Some(revocation) => self.check_revocation(revocation, token, claims, clock),
        }
    }
}

impl JwtVerifier {
    fn check_header(&self, header: &Header<'_>, typ: TokenType) -> Result<(), CheckFailure> {
        if !self.algorithms.contains(header.algorithm) {
            return Err(CheckFailure::Algorithm);
        }
        if self.at_jwt_required && typ != TokenType::AccessToken {
            return Err(CheckFailure::TokenType);
        }
        Ok(())
    }
}

/// What waits for a key, each part as it was received.
struct Signed {
    input: Vec<u8>,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_name: OwnedKeyName,
    /// The whole, where it is needed for more than its signature.
    token: Option<Box<[u8]>>,
    claims: Claims,
    typ: TokenType,
    place: Option<Place>,
}

/// Checks a signature over the bytes as they were received (RFC 7515, section 5.2).
fn check_signature(
    keys: &FoundKeys,
    algorithm: Algorithm,
    signing_input: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    match keys.verify(algorithm, signing_input, signature) {
        Signature::Valid => Ok(()),
        Signature::Invalid => Err(CheckFailure::Signature.into()),
        Signature::Undecided => Err(KeyError::Unusable.into()),
    }
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
fn check_replicated(header: &Header<'_>, claims: &Claims) -> Result<(), CheckFailure> {
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
