use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::jwt::{TokenType, check_replicated, check_signature};
use super::{JwtVerifier, Verifier, VerifierKind, VerifyError};
use crate::claims::{Claims, Policy, check};
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::jose::compact::{Compact, MAX_TOKEN};
use crate::jose::header::Header;
use crate::jose::{Algorithm, AllowedAlgorithms};
use crate::json;

/// Several issuers behind one door. A token goes to the issuer that it names, never to one after the other: trying
/// would let one issuer's key vouch for another's tokens.
pub(crate) struct ByIssuer {
    verifiers: Vec<Verifier>,
    /// What any of them accepts.
    algorithms: AllowedAlgorithms,
    clock: Arc<dyn Clock>,
}

/// What has become of a token.
pub(crate) enum Verification {
    /// All that was needed was at hand: the path of nearly every token.
    Done(Result<Claims, VerifyError>),
    /// Somebody must be asked.
    Pending(Pin<Box<dyn Future<Output = Result<Claims, VerifyError>> + Send>>),
}

impl ByIssuer {
    pub(crate) fn new(verifiers: Vec<Verifier>, clock: Arc<dyn Clock>) -> Self {
        let algorithms = verifiers.iter().filter_map(|verifier| match &verifier.kind {
            VerifierKind::Jwt(jwt) => Some(jwt.algorithms),
            VerifierKind::Custom(_) => None,
        });
        let algorithms = algorithms.fold(AllowedAlgorithms::from_iter([]), AllowedAlgorithms::union);
        Self { verifiers, algorithms, clock }
    }

    pub(crate) fn verify(self: &Arc<Self>, token: &[u8]) -> Verification {
        if token.len() > MAX_TOKEN {
            return Verification::Done(Err(CheckFailure::TooLong.into()));
        }
        if let Some(verifier) = self.custom_for(token) {
            return self.ask_custom(verifier, token);
        }
        self.verify_jwt(token).unwrap_or_else(|error| Verification::Done(Err(error)))
    }

    fn verify_jwt(self: &Arc<Self>, token: &[u8]) -> Result<Verification, VerifyError> {
        let jwt = Compact::parse(token)?;
        let (header_json, signature) = (jwt.header()?, jwt.signature()?);
        let header = Header::parse(&header_json, self.algorithms)?;
        let typ = TokenType::of(header.typ.as_deref())?;
        let claims = Claims::from_json(jwt.payload()?)?;
        let (index, verifier) = self.named(&claims).ok_or(CheckFailure::Issuer)?;
        let VerifierKind::Jwt(issuer) = &verifier.kind else { return Err(CheckFailure::Issuer.into()) };
        let about = |error: VerifyError| error.about(verifier.issuer(), header.kid.as_deref());
        self.check_cheaply(issuer, &verifier.policy, &header, typ, &claims).map_err(|failure| about(failure.into()))?;
        let Some(found) = issuer.keys.find_now(header.algorithm, header.kid.as_deref()) else {
            let signed = Signed { input: jwt.signing_input().into(), signature, algorithm: header.algorithm };
            return Ok(self.wait_for_key(index, claims, header.kid.as_deref(), signed));
        };
        let checked = found.map_err(VerifyError::from).and_then(|keys| {
            check_signature(&keys, header.algorithm, jwt.signing_input(), &signature).map_err(VerifyError::from)
        });
        checked.map_err(about)?;
        Ok(Verification::Done(Ok(verifier.with_all_scopes(claims))))
    }

    fn check_cheaply(
        &self,
        issuer: &JwtVerifier,
        policy: &Policy,
        header: &Header<'_>,
        typ: TokenType,
        claims: &Claims,
    ) -> Result<(), CheckFailure> {
        issuer.check_header(header, typ)?;
        check(claims, policy, typ == TokenType::AccessToken, self.clock.since_epoch())?;
        check_replicated(header, claims)
    }

    fn wait_for_key(self: &Arc<Self>, index: usize, claims: Claims, kid: Option<&str>, signed: Signed) -> Verification {
        let (this, kid) = (Arc::clone(self), kid.map(str::to_owned));
        Verification::Pending(Box::pin(async move {
            let Some(verifier) = this.verifiers.get(index) else { return Err(CheckFailure::Issuer.into()) };
            let VerifierKind::Jwt(issuer) = &verifier.kind else { return Err(CheckFailure::Issuer.into()) };
            let found = issuer.keys.find(signed.algorithm, kid.as_deref()).await.map_err(VerifyError::from);
            found
                .and_then(|keys| {
                    check_signature(&keys, signed.algorithm, &signed.input, &signed.signature)
                        .map_err(VerifyError::from)
                })
                .map_err(|error| error.about(verifier.issuer(), kid.as_deref()))?;
            Ok(verifier.with_all_scopes(claims))
        }))
    }

    fn ask_custom(self: &Arc<Self>, index: usize, token: &[u8]) -> Verification {
        let (this, token) = (Arc::clone(self), String::from_utf8(token.into()));
        Verification::Pending(Box::pin(async move {
            let Some(verifier) = this.verifiers.get(index) else { return Err(CheckFailure::Issuer.into()) };
            let VerifierKind::Custom(custom) = &verifier.kind else { return Err(CheckFailure::Issuer.into()) };
            let about = |error: VerifyError| error.about(verifier.issuer(), None);
            let token = token.map_err(|_| about(CheckFailure::Malformed.into()))?;
            let claims = custom.verify(&token).await.map_err(about)?;
            check(&claims, &verifier.policy, false, this.clock.since_epoch())
                .map_err(|failure| about(failure.into()))?;
            Ok(verifier.with_all_scopes(claims))
        }))
    }

    /// The verifier of somebody's own making that is responsible for a token: by the issuer that a JWT names, and for
    /// all that is no JWT the only one there is (the builder sees to that).
    fn custom_for(&self, token: &[u8]) -> Option<usize> {
        let is_custom = |verifier: &Verifier| matches!(verifier.kind, VerifierKind::Custom(_));
        let only = self.verifiers.iter().position(is_custom)?;
        let jwt = match Compact::parse(token) {
            Ok(jwt) if is_jwt(&jwt) => jwt,
            Err(CheckFailure::TooLong) => return None,
            _ => return Some(only),
        };
        let claims = Claims::from_json(jwt.payload().ok()?).ok()?;
        self.named(&claims).filter(|(_, verifier)| is_custom(verifier)).map(|(index, _)| index)
    }

    fn named(&self, claims: &Claims) -> Option<(usize, &Verifier)> {
        let issuer = claims.issuer()?;
        let accepts = |verifier: &Verifier| verifier.policy.issuers.iter().any(|accepted| **accepted == *issuer);
        self.verifiers.iter().enumerate().find(|(_, verifier)| accepts(verifier))
    }
}

/// What waits for a key, each part as it was received.
struct Signed {
    input: Vec<u8>,
    signature: Vec<u8>,
    algorithm: Algorithm,
}

/// Whether three parts with dots between them are a JWT at all: an opaque token may look like that too.
fn is_jwt(jwt: &Compact<'_>) -> bool {
    jwt.header().is_ok_and(|header| json::unique_object(&header).is_ok())
}

impl Verifier {
    fn issuer(&self) -> &str {
        self.policy.issuers.first().map(AsRef::as_ref).unwrap_or_default()
    }

    fn with_all_scopes(&self, mut claims: Claims) -> Claims {
        for pointer in &self.scope_claims {
            claims.add_scopes_from(pointer);
        }
        claims
    }
}
