use std::sync::Arc;

use serde_json::Value;

use super::issuer_verifier::{Accepted, Step, VerifiedSignature};
use super::{CheckRecorder, IssuerVerifier, TokenCheck, Verification, Verifier, VerifyError};
use crate::claims::{Claims, check_before_asking, issuer_mismatch};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::jose::{Algorithm, Compact, Header, KeyName};
use crate::keys::{FoundKeys, KeyError, Keys, SeededKeys, Signature};

impl Verifier {
    /// Runs all checks of a JWT, in the order of the table in the [module's documentation](super) (RFC 7519, section 7.2;
    /// RFC 9068, section 4).
    ///
    /// `keys` are given if the token is to be verified with these keys, however its issuer's JWTs are verified otherwise.
    /// `found` are the keys for this token, if an earlier run had to wait for them.
    pub(super) fn verify_jwt(
        self: &Arc<Self>,
        token: &[u8],
        keys: Option<&Keys>,
        found: Option<FoundKeys>,
        progress: &CheckRecorder,
    ) -> Step {
        // 1. Length: `Verifier::verify` checks it before it looks for a cached result.

        // 2. Compact form: three parts of strict base64url.
        progress.begin(TokenCheck::CompactForm);
        let compact = Compact::parse(token).map_err(|failure| self.not_a_jwt(token, failure))?;
        let (header, payload, signature) = (compact.header()?, compact.payload()?, compact.signature()?);

        // 3. Header. If JWTs of some issuer are not verified with keys, only row 5 tells whether `alg` matters.
        progress.begin(TokenCheck::Header);
        let header = Header::parse(&header)?;
        if !self.delegates_jwts {
            header.check(self.algorithms)?;
        }
        let explicitly_typed = is_explicitly_typed(header.typ.as_deref())?;

        // 4. Claims: a JSON object in which each registered claim has its type.
        progress.begin(TokenCheck::Claims);
        let claims = Claims::from_json(payload).map_err(|failure| match compact.payload() {
            Ok(payload) => failure.with(Box::new(Claims::defect(&payload))),
            Err(failure) => failure.into(),
        })?;

        // 5. Issuer. It decides who verifies the token, and which `alg` and `typ` it may have.
        progress.begin(TokenCheck::Issuer);
        let issuer = self.issuer_of(&claims).ok_or_else(|| self.unknown_issuer(&claims))?;
        let (iss, kid, now) = (&*issuer.issuer, header.kid.as_deref(), self.clock.since_epoch());
        let Some(keys) = keys.or_else(|| issuer.keys()) else {
            // Rows 7 and 8, as far as no response could change the result. The response passes rows 5 to 8.
            check_before_asking(&claims, &issuer.policy, now)
                .inspect_err(|error| progress.claims_failed(error.failure))
                .map_err(about(iss, kid))?;
            return issuer.delegate(self, token, Some(&claims), progress);
        };
        let algorithm = header.check(issuer.algorithms).map_err(about(iss, kid))?;
        if issuer.policy.rfc9068_required && !explicitly_typed {
            return Err(about(iss, kid)(wrong_type(header.typ.as_deref())));
        }

        // 6. Audience, 7. times, 8. kind of token. Introspection results pass the same function.
        let claims = issuer.check_claims(claims, explicitly_typed, now, progress).map_err(about(iss, kid))?;
        check_replicated(&header, &claims).map_err(about(iss, kid))?;

        // 9. Key. The only check for which a JWT may have to wait.
        progress.begin(TokenCheck::Key);
        let wait = |seeded| self.wait_for_key(token, issuer, keys, (algorithm, header.key_name(), seeded), progress);
        let found = match found.map(Ok).or_else(|| keys.find_now(algorithm, &header.key_name())) {
            Some(found) => found.map_err(about(iss, kid))?,
            None => return Ok(wait(SeededKeys::Accepted)),
        };

        // 10. Signature, over the bytes as they were received (RFC 7515, section 5.2).
        progress.begin(TokenCheck::Signature);
        match found.verify(algorithm, compact.signing_input, &signature) {
            Signature::Valid => {}
            // The issuer may have replaced the key since its key set was saved.
            Signature::Invalid | Signature::Undecided if found.is_seeded => return Ok(wait(SeededKeys::Refused)),
            Signature::Invalid => return Err(about(iss, kid)(CheckFailure::Signature)),
            Signature::Undecided => return Err(about(iss, kid)(KeyError::Unusable)),
        }

        // 11. Revocation.
        let signature = found.generation.map(|generation| VerifiedSignature {
            issuer: Arc::clone(issuer),
            explicitly_typed,
            generation,
        });
        issuer.check_revocation(token, Accepted { claims, signature }, &self.clock, progress)
    }

    /// The failure of a token that is not in compact form. A token without any dot is opaque. So is one with another number of
    /// dots than a JWT, such as those of Ory Hydra, unless it begins as a JWT, so that a part of it may be missing.
    fn not_a_jwt(&self, token: &[u8], failure: CheckFailure) -> CheckFailure {
        let dots = memchr::memchr_iter(b'.', token).count();
        let is_opaque = dots == 0 || (dots != 2 && !token.starts_with(START_OF_HEADER));
        if failure == CheckFailure::Malformed && is_opaque && !self.accepts_opaque() {
            CheckFailure::NotJwt
        } else {
            failure
        }
    }

    fn unknown_issuer(&self, claims: &Claims) -> CheckError {
        issuer_mismatch(self.issuers().iter().flat_map(|issuer| &issuer.policy.issuers), claims)
    }

    /// Waits for the key of a token, then runs all checks again with that key.
    fn wait_for_key(
        self: &Arc<Self>,
        token: &[u8],
        issuer: &Arc<IssuerVerifier>,
        keys: &Keys,
        (algorithm, name, seeded): (Algorithm, KeyName<'_>, SeededKeys),
        progress: &CheckRecorder,
    ) -> Verification<Accepted> {
        let (this, issuer, keys, progress) = (Arc::clone(self), Arc::clone(issuer), keys.clone(), progress.clone());
        let (token, name) = (Box::<[u8]>::from(token), name.into_owned());
        Verification::Pending(Box::pin(async move {
            let find = keys.find(algorithm, &name, seeded, progress.purpose());
            let found = issuer.within_limit("the key of the token", find).await;
            let found = found.and_then(|found| Ok(found?));
            let found = found.map_err(about(&issuer.issuer, name.kid.as_deref()))?;
            this.verify_jwt(&token, Some(&keys), Some(found), &progress)?.finish().await
        }))
    }
}

/// Adds to an error what it is about, for the log.
fn about<E: Into<VerifyError>>(issuer: &str, kid: Option<&str>) -> impl Fn(E) -> VerifyError {
    move |error| error.into().about(issuer, kid)
}

/// Whether the header's `typ` says that the token is an access token: `at+jwt` (RFC 9068, section 2.1). `JWT` and no
/// `typ` leave it open. Every other type is rejected (RFC 8725, section 3.11).
///
/// It is a media type in any case, with or without `application/` (RFC 7515, section 4.1.9).
fn is_explicitly_typed(typ: Option<&str>) -> Result<bool, CheckError> {
    let Some(typ) = typ else { return Ok(false) };
    let is_one_of = |names: [&str; 2]| names.iter().any(|name| typ.eq_ignore_ascii_case(name));
    if is_one_of(["at+jwt", "application/at+jwt"]) {
        Ok(true)
    } else if is_one_of(["jwt", "application/jwt"]) {
        Ok(false)
    } else {
        Err(wrong_type(Some(typ)))
    }
}

fn wrong_type(typ: Option<&str>) -> CheckError {
    CheckFailure::TokenType.with(Detail::mismatch(["at+jwt"], typ))
}

/// Claims that are replicated in the header must have the same value there (RFC 7519, section 5.3).
fn check_replicated(header: &Header<'_>, claims: &Claims) -> Result<(), CheckError> {
    let differs = |&(name, value): &(&str, &Value)| claims.members().get(name) != Some(value);
    match header.replicated().find(differs) {
        Some(_) => {
            Err(CheckFailure::Header.with(Box::new(Detail::Note("the header repeats a claim with another value"))))
        }
        None => Ok(()),
    }
}

/// The first characters of each header that begins with `{"`, in base64url.
const START_OF_HEADER: &[u8] = b"eyJ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_access_tokens_and_unspecific_tokens_pass() {
        for (typ, expected) in [
            (None, false),
            (Some("JWT"), false),
            (Some("jwt"), false),
            (Some("application/jwt"), false),
            (Some("at+jwt"), true),
            (Some("AT+JWT"), true),
            (Some("Application/at+jwt"), true),
        ] {
            assert_eq!(is_explicitly_typed(typ).unwrap(), expected, "{typ:?}");
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
            assert_eq!(is_explicitly_typed(Some(typ)).unwrap_err().failure, CheckFailure::TokenType, "{typ:?}");
        }
    }
}
