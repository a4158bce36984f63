use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::jwt::{Jwt, TokenType};
use super::own_code::caught;
use super::verified_tokens::Place;
use super::{LongTokens, VerifiedTokens, Verifier, VerifyError, VerifyErrorKind};
use crate::claims::Claims;
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::jose::AllowedAlgorithms;
use crate::jose::compact::Compact;
use crate::jose::header::Header;
use crate::json;

/// Several issuers behind one door. A token goes to the issuer that it names, or, if it says nothing, to the one that is
/// configured for such; never to one after the other: trying would let one issuer vouch for another's tokens.
pub(crate) struct ByIssuer {
    verifiers: Vec<Arc<Verifier>>,
    /// What any of them accepts.
    algorithms: AllowedAlgorithms,
    /// Whether one of them takes JWTs that are not checked here.
    asks_about_jwts: bool,
    for_opaque: ForOpaque,
    long_tokens: LongTokens,
    /// JWTs that were verified just now, where they are remembered.
    verified: Option<Arc<VerifiedTokens>>,
    clock: Arc<dyn Clock>,
}

/// Who takes tokens that say nothing themselves.
pub(crate) enum ForOpaque {
    Nobody,
    /// The only issuer that can.
    One(Arc<Verifier>),
    /// The issuer that the application names.
    Routed(Route),
}

/// Names the issuer of a token that says nothing itself.
pub(crate) type Route = Arc<dyn Fn(&str) -> Option<Box<str>> + Send + Sync>;

pub(crate) type Verified = Result<Claims, VerifyError>;
pub(crate) type PendingVerification = Pin<Box<dyn Future<Output = Verified> + Send>>;

/// What has become of a token.
pub(crate) enum Verification {
    /// All that was needed was at hand: the path of nearly every token.
    Done(Verified),
    /// Somebody must be asked.
    Pending(PendingVerification),
}

impl ByIssuer {
    pub(crate) fn new(
        verifiers: Vec<Arc<Verifier>>,
        for_opaque: ForOpaque,
        max_token_length: usize,
        verified: Option<VerifiedTokens>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let algorithms = verifiers.iter().filter_map(|verifier| verifier.jwt.as_ref().map(|jwt| jwt.algorithms));
        let algorithms = algorithms.fold(AllowedAlgorithms::from_iter([]), AllowedAlgorithms::union);
        let asks_about_jwts = verifiers.iter().any(|verifier| verifier.jwt.is_none());
        Self {
            verifiers,
            algorithms,
            asks_about_jwts,
            for_opaque,
            long_tokens: LongTokens::new(max_token_length),
            verified: verified.map(Arc::new),
            clock,
        }
    }

    pub(crate) fn verify(&self, token: &[u8]) -> Verification {
        caught(|| self.route(token).unwrap_or_else(|error| Verification::Done(Err(error))))
    }

    /// Drops what is remembered of a token.
    pub(crate) fn forget(&self, token: &[u8]) {
        if let Some(verified) = &self.verified {
            verified.forget(token);
        }
        for introspector in self.verifiers.iter().filter_map(|verifier| verifier.introspector()) {
            introspector.forget(token);
        }
    }

    /// By shape, then by issuer.
    fn route(&self, token: &[u8]) -> Result<Verification, VerifyError> {
        self.long_tokens.reject(token.len())?;
        let takes_opaque = !matches!(self.for_opaque, ForOpaque::Nobody);
        let compact = Compact::parse(token);
        let remembering = self.verified.as_ref().filter(|_| compact.is_ok());
        let remembering = remembering.map(|verified| (verified, verified.fingerprint(token)));
        if let Some((verified, fingerprint)) = &remembering
            && let Some(verification) = verified.recall(fingerprint, token, &self.clock)
        {
            return verification;
        }
        let place = remembering.map(|(verified, fingerprint)| verified.place(fingerprint));
        match compact {
            Ok(compact) if !takes_opaque || is_jwt(&compact) => self.route_jwt(token, &compact, place),
            Ok(_) => self.route_opaque(token),
            Err(failure) if !takes_opaque => Err(failure.into()),
            Err(_) => self.route_opaque(token),
        }
    }

    fn route_jwt(
        &self,
        token: &[u8],
        compact: &Compact<'_>,
        place: Option<Place>,
    ) -> Result<Verification, VerifyError> {
        // Whose it is was found out when it was asked about: the same bytes lead to the same issuer.
        let mut asking = self.verifiers.iter().filter(|verifier| self.asks_about_jwts && verifier.jwt.is_none());
        if let Some(verified) = asking.find_map(|verifier| verifier.recall(token, self.clock.as_ref())) {
            return Ok(Verification::Done(verified));
        }
        let (header_json, signature) = (compact.header()?, compact.signature()?);
        let header = Header::parse(&header_json, self.algorithms)
            .and_then(|header| Ok((TokenType::of(header.typ.as_deref())?, header)));
        // Where no algorithm is checked, none is wrong; everywhere else it is, before anything dearer is done.
        if let (Err(failure), false) = (&header, self.asks_about_jwts) {
            return Err((*failure).into());
        }
        let claims = Claims::from_json(compact.payload()?)?;
        let verifier = self.named(&claims).ok_or(CheckFailure::Issuer)?;
        verifier.verify(Jwt { token, compact, header, claims, signature }, place, &self.clock)
    }

    fn route_opaque(&self, token: &[u8]) -> Result<Verification, VerifyError> {
        let verifier = match &self.for_opaque {
            ForOpaque::Nobody => None,
            ForOpaque::One(verifier) => Some(verifier),
            ForOpaque::Routed(route) => match std::str::from_utf8(token).ok().and_then(|token| route(token)) {
                None => None,
                Some(issuer) => {
                    let is_named =
                        |verifier: &&Arc<Verifier>| verifier.asked.is_some() && *issuer == *verifier.issuer();
                    let misrouted = || VerifyError::new(VerifyErrorKind::Misconfigured).with_source(Misrouted);
                    Some(self.verifiers.iter().find(is_named).ok_or_else(misrouted)?)
                }
            },
        };
        verifier.ok_or(CheckFailure::Issuer)?.ask(token, false, &self.clock, || Ok(None))
    }

    fn named(&self, claims: &Claims) -> Option<&Arc<Verifier>> {
        let issuer = claims.issuer()?;
        let accepts = |accepted: &[Box<str>]| accepted.iter().any(|accepted| **accepted == *issuer);
        self.verifiers.iter().find(|verifier| accepts(&verifier.policy.issuers))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`route_opaque` names what is no configured issuer that takes opaque tokens")]
struct Misrouted;

/// Whether three parts with dots between them are a JWT at all: an opaque token may look like that too.
fn is_jwt(compact: &Compact<'_>) -> bool {
    compact.header().is_ok_and(|header| json::is_unique_object(&header))
}
