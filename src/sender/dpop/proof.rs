use std::time::Duration;

use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::key::ProofKey;
use super::nonce::Nonces;
use super::target::ProofTarget;
use crate::claims::NumericDate;
use crate::crypto::{digests_equal, sha256};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::jose::{AllowedAlgorithms, Compact, Header, Thumbprint};
use crate::json::{self, Text};
use crate::sender::{DPOP, ProofError, ProofFailure};

/// The proof of a request: the value of its only header `DPoP` (RFC 9449, section 4.3, check 1). `None` if it has none.
pub(crate) fn find_proof(headers: &HeaderMap) -> Result<Option<&[u8]>, ProofFailure> {
    let mut values = headers.get_all(&DPOP).iter();
    let Some(proof) = values.next() else { return Ok(None) };
    // A proxy may join two headers with a comma, which no JWT has.
    let is_alone = values.next().is_none() && memchr::memchr(b',', proof.as_bytes()).is_none();
    if is_alone { Ok(Some(proof.as_bytes())) } else { Err(ProofFailure::Several) }
}

/// The rules that each proof must satisfy.
#[derive(Debug, Clone)]
pub(crate) struct ProofRules {
    pub(crate) algorithms: AllowedAlgorithms,
    /// How far `iat` may be in the past, and in the future.
    pub(crate) max_age: Duration,
    pub(crate) target: ProofTarget,
}

/// The request that a proof came with.
pub(crate) struct ProofRequest<'r> {
    pub(crate) method: &'r Method,
    /// The path of the request, as this server received it.
    pub(crate) path: &'r str,
    /// The access token.
    pub(crate) token: &'r [u8],
    /// The time since 1970.
    pub(crate) now: Duration,
    /// The nonces of this server. `None` if it ignores them.
    pub(crate) nonces: Option<&'r Nonces>,
    /// Whether the proof must have one of them.
    pub(crate) nonce_required: bool,
}

/// A proof that passed all checks but the search for an earlier use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The thumbprint of its key, which the access token must be bound to.
    pub(crate) key: Thumbprint,
    /// The SHA-256 digest of `jti`.
    pub(crate) id: [u8; 32],
    /// The time since 1970 from which on the proof is rejected: `iat` plus the greatest age. Its use is remembered until then.
    pub(crate) expires_at: Duration,
    /// The time since 1970 at which the server made the nonce of the proof. The proof was made later, whatever its `iat` is.
    pub(crate) nonce_made_at: Option<Duration>,
}

impl ProofRules {
    /// Runs all checks of a proof, in the order of the table in the [module's documentation](crate::sender).
    pub(crate) fn check(&self, proof: &[u8], request: &ProofRequest<'_>) -> Result<Proof, ProofError> {
        // 3. Length.
        if proof.len() > MAX_PROOF {
            return Err(ProofFailure::TooLong.into());
        }

        // 4. Form: a JWT, whose header and claims are JSON objects without repeated names.
        let compact = Compact::parse(proof).map_err(malformed)?;
        let (header, payload) = (compact.header().map_err(malformed)?, compact.payload().map_err(malformed)?);
        let signature = compact.signature().map_err(malformed)?;
        let (stated, claims) = (Header::parse(&header).map_err(malformed)?, ProofClaims::parse(&payload)?);

        // 5. Type.
        require_type(stated.typ.as_deref())?;

        // 6. Algorithm, and no critical extension.
        let algorithm = stated.check(self.algorithms).map_err(malformed)?;

        // 7. Key.
        let key = ProofKey::from_jwk(stated.jwk, algorithm)?;

        // 8. Method.
        claims.require_method(request.method)?;

        // 9. URL.
        claims.require_target(&self.target, request.path)?;

        // 10. Times.
        let expires_at = claims.require_time(request.now, self.max_age)?;

        // 11. Identifier.
        let id = claims.id()?;

        // 12. Access token.
        claims.require_token(request.token)?;

        // 13. Nonce.
        let nonce = request.nonces.ok_or(ProofFailure::NoNonce).and_then(|nonces| claims.nonce_in(nonces, request.now));
        let nonce_made_at = match nonce {
            Err(failure) if request.nonce_required => return Err(failure.into()),
            nonce => nonce.ok(),
        };

        // 14. Signature, over the bytes as they were received (RFC 7515, section 5.2).
        if !key.verifies(compact.signing_input, &signature) {
            return Err(ProofFailure::Signature.into());
        }
        Ok(Proof { key: key.thumbprint, id, expires_at, nonce_made_at })
    }
}

/// The failure of a proof whose form or header is not that of a signed JWT.
fn malformed(error: impl Into<CheckError>) -> ProofError {
    let CheckError { failure, detail } = error.into();
    let failure = match failure {
        CheckFailure::TooLong => ProofFailure::TooLong,
        CheckFailure::Algorithm => ProofFailure::Algorithm,
        _ => ProofFailure::Malformed,
    };
    ProofError { failure, detail }
}

/// `typ` is a media type in any case, with or without `application/` (RFC 7515, section 4.1.9).
fn require_type(typ: Option<&str>) -> Result<(), ProofError> {
    let is_proof = |typ: &str| ["dpop+jwt", "application/dpop+jwt"].iter().any(|name| typ.eq_ignore_ascii_case(name));
    match typ {
        Some(typ) if is_proof(typ) => Ok(()),
        _ => Err(ProofFailure::Type.with(Detail::mismatch(["dpop+jwt"], typ))),
    }
}

/// The claims of a proof (RFC 9449, section 4.2), each with its type. `null` means that a claim is absent.
#[derive(Deserialize)]
struct ProofClaims<'d> {
    #[serde(borrow)]
    jti: Option<Text<'d>>,
    htm: Option<Text<'d>>,
    htu: Option<Text<'d>>,
    iat: Option<NumericDate>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    ath: Option<Text<'d>>,
    /// Any value: the nonce of another server may have another type. It matters only to a server that requires a nonce.
    #[serde(borrow)]
    nonce: Option<&'d RawValue>,
}

impl<'d> ProofClaims<'d> {
    fn parse(json: &'d [u8]) -> Result<Self, ProofError> {
        json::parse(json).map_err(|_| ProofFailure::Malformed.with(Box::new(defect(json))))
    }

    /// `htm` is the method, byte by byte: methods are case-sensitive (RFC 9110, section 9.1).
    fn require_method(&self, method: &Method) -> Result<(), ProofError> {
        let htm = self.htm.as_deref();
        if htm == Some(method.as_str()) {
            return Ok(());
        }
        Err(ProofFailure::Method.with(Detail::mismatch([method.as_str()], htm)))
    }

    fn require_target(&self, target: &ProofTarget, path: &str) -> Result<(), ProofError> {
        let htu = self.htu.as_deref();
        if htu.is_some_and(|htu| target.matches(htu, path)) {
            return Ok(());
        }
        // A query may have personal data, and is not compared.
        let found = htu.and_then(|htu| htu.split(['?', '#']).next());
        Err(ProofFailure::Target.with(Detail::mismatch([target.url(path).as_str()], found)))
    }

    /// Checks `iat`, `exp` and `nbf`. Returns the time from which on `iat` is too old.
    fn require_time(&self, now: Duration, max_age: Duration) -> Result<Duration, ProofError> {
        let failed = |detail| Err(ProofFailure::Time.with(Box::new(detail)));
        let Some(NumericDate(made_at)) = self.iat else { return failed(Detail::Claim("iat")) };
        let expires_at = made_at.saturating_add(max_age);
        if now >= expires_at {
            return failed(Detail::ProofAge { age: now.saturating_sub(made_at), max_age });
        }
        let ahead = made_at.saturating_sub(now);
        if ahead > max_age {
            return failed(Detail::ProofAhead { ahead, max_age });
        }
        if self.exp.is_some_and(|exp| now >= exp.0) {
            return failed(Detail::Note("`exp` is in the past"));
        }
        // The clock of the client may be ahead. By that clock, the proof was sent after `iat`.
        if self.nbf.is_some_and(|nbf| nbf.0 > now.max(made_at)) {
            return failed(Detail::Note("`nbf` is in the future"));
        }
        Ok(expires_at)
    }

    /// The digest of `jti`, so that an identifier of any length takes the same memory in a store.
    fn id(&self) -> Result<[u8; 32], ProofError> {
        let failed = |detail| ProofFailure::Id.with(Box::new(detail));
        let jti = self.jti.as_deref().ok_or_else(|| failed(Detail::Claim("jti")))?;
        if jti.is_empty() || jti.len() > MAX_ID {
            return Err(failed(Detail::Note("`jti` is empty or longer than 256 bytes")));
        }
        sha256(jti.as_bytes()).ok_or_else(|| failed(Detail::Note("this build does not have a cryptography backend")))
    }

    /// `ath` is the digest of the access token in base64url without padding.
    fn require_token(&self, token: &[u8]) -> Result<(), ProofError> {
        let Some(ath) = self.ath.as_deref() else {
            return Err(ProofFailure::TokenHash.with(Box::new(Detail::Claim("ath"))));
        };
        let stated = Thumbprint::parse(ath);
        let is_same = stated.zip(sha256(token)).is_some_and(|(stated, own)| digests_equal(stated.as_bytes(), &own));
        if is_same { Ok(()) } else { Err(ProofFailure::TokenHash.into()) }
    }

    /// When the server made the nonce.
    fn nonce_in(&self, nonces: &Nonces, now: Duration) -> Result<Duration, ProofFailure> {
        let stated = self.nonce.ok_or(ProofFailure::NoNonce)?;
        let Ok(Text(nonce)) = serde_json::from_str(stated.get()) else { return Err(ProofFailure::Nonce) };
        nonces.made_at(&nonce, now).ok_or(ProofFailure::Nonce)
    }
}

/// Why the claims of a proof were not read, for the log.
fn defect(json: &[u8]) -> Detail {
    let Ok(claims) = json::parse::<Map<String, Value>>(json) else {
        return Detail::Note("the claims are not a JSON object with unique names");
    };
    let is_text = |value: &Value| value.is_null() || value.is_string();
    let wrong_text = ["jti", "htm", "htu", "ath"].into_iter().find(|name| !claims.get(*name).is_none_or(is_text));
    let is_date = |value: &Value| value.is_null() || serde_json::from_value::<NumericDate>(value.clone()).is_ok();
    let wrong_date = ["iat", "exp", "nbf"].into_iter().find(|name| !claims.get(*name).is_none_or(is_date));
    wrong_text.or(wrong_date).map_or(Detail::Note("a claim has a wrong type"), Detail::Claim)
}

/// The longest proof, in bytes. A proof with an RSA key of 4096 bits has 2 KiB, one with an EC key less than 1 KiB.
const MAX_PROOF: usize = 8 * 1024;
/// The longest `jti`, in bytes. A UUID has 36.
const MAX_ID: usize = 256;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod claims_tests;
#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod properties;
#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
