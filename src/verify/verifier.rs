use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::Instrument as _;

use super::api_key::verify_api_key;
use super::issuer_verifier::{Accepted, Step};
use super::{
    CheckRecorder, Credential, IssuerVerifier, TokenCheck, Verification, VerifiedTokens, VerifyError, VerifyErrorKind,
};
use crate::api_key::ApiKeyTable;
use crate::claims::{Claims, CredentialKind};
use crate::clock::Clock;
use crate::failure::{CheckFailure, Detail};
use crate::http_client::{Panicked, catch_panic};
use crate::jose::{AllowedAlgorithms, Compact};
use crate::revocation::{RevocationList, SharedListState};

/// Verifies the access tokens of all issuers of a resource server.
///
/// A JWT goes to the issuer that it names, an opaque token to the issuer that is configured for opaque tokens. It never
/// goes to one issuer after the other: then one issuer could vouch for the tokens of another.
pub(crate) struct Verifier {
    issuers: Vec<Arc<IssuerVerifier>>,
    /// The algorithms that at least one issuer accepts.
    pub(super) algorithms: AllowedAlgorithms,
    /// Whether the JWTs of at least one issuer are not verified with keys.
    pub(super) delegates_jwts: bool,
    opaque: OpaqueRoute,
    max_token_length: usize,
    cache: Option<Arc<VerifiedTokens>>,
    api_keys: Option<Arc<ApiKeyTable>>,
    revocations: Arc<RevocationList>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The issuer of opaque tokens.
pub(crate) enum OpaqueRoute {
    /// Opaque tokens are rejected.
    None,
    /// The only issuer that can verify them.
    One(Arc<IssuerVerifier>),
    /// The issuer that the application chooses.
    Chosen(RouteOpaque),
}

/// The application's choice of the issuer of an opaque token.
pub(crate) type RouteOpaque = Arc<dyn Fn(&str) -> Option<Box<str>> + Send + Sync>;

impl Verifier {
    pub(crate) fn new(
        issuers: Vec<Arc<IssuerVerifier>>,
        opaque: OpaqueRoute,
        max_token_length: usize,
        cache: Option<VerifiedTokens>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let algorithms = issuers.iter().filter(|issuer| issuer.keys().is_some()).map(|issuer| issuer.algorithms);
        let algorithms = algorithms.fold(AllowedAlgorithms::from_iter([]), AllowedAlgorithms::union);
        let delegates_jwts = issuers.iter().any(|issuer| issuer.keys().is_none());
        let cache = cache.map(Arc::new);
        let revocations = Arc::new(RevocationList::new(SharedListState::NotShared));
        Self {
            issuers,
            algorithms,
            delegates_jwts,
            opaque,
            max_token_length,
            cache,
            api_keys: None,
            revocations,
            clock,
        }
    }

    /// Accepts API keys as well.
    pub(crate) fn with_api_keys(self, api_keys: Option<Arc<ApiKeyTable>>) -> Self {
        Self { api_keys, ..self }
    }

    /// Rejects the tokens in this list.
    pub(crate) fn with_revocations(self, revocations: Arc<RevocationList>) -> Self {
        Self { revocations, ..self }
    }

    /// Verifies the credentials of a request.
    ///
    /// A panic in code of the application (token verifiers, key sources, HTTP clients, clocks, `route_opaque`) becomes an
    /// error. It leaves nothing half-changed: the crate calls no such code while it holds a lock.
    pub(crate) fn verify(self: &Arc<Self>, credential: Credential<'_>) -> Verification {
        self.verify_with(credential, &CheckRecorder::none())
    }

    /// The same, with a record of the checks if `progress` has one.
    pub(super) fn verify_with(self: &Arc<Self>, credential: Credential<'_>, progress: &CheckRecorder) -> Verification {
        let token = credential.as_bytes();
        // The span is disabled unless a subscriber asks for it.
        let span = tracing::debug_span!(target: "mcp_bearer::verification", "verify_token");
        let verify = || {
            let _entered = span.enter();
            // Row 1 of the table, for opaque tokens as well, and before the token is hashed for the cache.
            progress.begin(TokenCheck::Length);
            self.check_length(token.len())?;
            if let Some(keys) = self.api_keys.as_ref().filter(|keys| self.is_api_key(credential, keys)) {
                return verify_api_key(token, keys, &self.clock, progress);
            }
            match &self.cache {
                Some(cache) => cache.verify(token, &self.clock, progress, || self.verify_uncached(token, progress)),
                None => self.verify_uncached(token, progress),
            }
        };
        let verify = || {
            let verification = verify()?;
            let Verification::Done(Ok(accepted)) = verification else { return Ok(verification) };
            Ok(Verification::Done(self.reject_revoked(token, accepted, progress)))
        };
        let outage = |panicked: Panicked| VerifyError::unavailable(None).with_source(panicked);
        match catch_unwind(AssertUnwindSafe(verify)).unwrap_or_else(|_| Err(outage(Panicked(VERIFICATION)))) {
            Ok(Verification::Done(accepted)) => Verification::Done(accepted.map(|accepted| accepted.claims)),
            Ok(Verification::Pending(pending)) => {
                let (this, token, progress) = (Arc::clone(self), Box::<[u8]>::from(token), progress.clone());
                let checked = async move { this.reject_revoked(&token, pending.await?, &progress) };
                let finish = async move {
                    let accepted = catch_panic(VERIFICATION, checked).await.map_err(outage)?;
                    accepted.map(|accepted| accepted.claims)
                };
                Verification::Pending(Box::pin(finish.instrument(span)))
            }
            Err(error) => Verification::Done(Err(error)),
        }
    }

    pub(crate) fn issuers(&self) -> &[Arc<IssuerVerifier>] {
        &self.issuers
    }

    pub(crate) const fn api_keys(&self) -> Option<&Arc<ApiKeyTable>> {
        self.api_keys.as_ref()
    }

    pub(crate) const fn revocations(&self) -> &Arc<RevocationList> {
        &self.revocations
    }

    /// How many verified tokens are cached at most.
    pub(crate) fn cached_tokens(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.capacity())
    }

    /// Whether at least one issuer verifies opaque tokens.
    pub(super) const fn accepts_opaque(&self) -> bool {
        !matches!(self.opaque, OpaqueRoute::None)
    }

    /// Removes a token from all caches.
    pub(crate) fn forget(&self, token: &[u8]) {
        if let Some(keys) = &self.api_keys {
            keys.forget(token);
        }
        if let Some(cache) = &self.cache {
            cache.forget(token);
        }
        for introspector in self.issuers.iter().filter_map(|issuer| issuer.introspector()) {
            introspector.forget(token);
        }
    }

    /// Row 12 of the table. It comes after everything that can wait and after each cache, so that a token is not accepted once it
    /// is revoked.
    fn reject_revoked(
        &self,
        token: &[u8],
        accepted: Accepted,
        progress: &CheckRecorder,
    ) -> Result<Accepted, VerifyError> {
        if !self.revocations.is_empty() {
            progress.begin(TokenCheck::RevocationList);
            self.check_not_revoked(token, &accepted.claims)?;
        }
        Ok(accepted)
    }

    /// Row 12 of the table alone. A caller that waits for anything after the verification calls it again.
    pub(crate) fn check_not_revoked(&self, token: &[u8], claims: &Claims) -> Result<(), VerifyError> {
        if self.revocations.is_empty() || !self.revocations.is_revoked(token, claims, self.clock.since_epoch()) {
            return Ok(());
        }
        let error = VerifyError::from(CheckFailure::Revoked);
        Err(match self.issuer_of(claims) {
            _ if claims.kind() == CredentialKind::ApiKey => error.about_api_key(token),
            Some(issuer) => error.about(&issuer.issuer, None),
            None => error,
        })
    }

    /// Whether only an API key can be valid: in the header for API keys, with their prefix, or on a server without an issuer.
    fn is_api_key(&self, credential: Credential<'_>, keys: &ApiKeyTable) -> bool {
        matches!(credential, Credential::ApiKey(_)) || keys.is_key(credential.as_bytes()) || self.issuers.is_empty()
    }

    /// Row 1 of the table: rejects tokens that are too long.
    fn check_length(&self, length: usize) -> Result<(), VerifyError> {
        let limit = self.max_token_length;
        if length <= limit {
            return Ok(());
        }
        Err(CheckFailure::TooLong.with(Box::new(Detail::Length { length, limit })).into())
    }

    fn verify_uncached(self: &Arc<Self>, token: &[u8], progress: &CheckRecorder) -> Step {
        if self.accepts_opaque() && Compact::of_jwt(token).is_none() {
            progress.begin(TokenCheck::Issuer);
            return self.opaque_issuer(token)?.delegate(self, token, None, progress);
        }
        self.verify_jwt(token, None, None, progress)
    }

    fn opaque_issuer(&self, token: &[u8]) -> Result<&Arc<IssuerVerifier>, VerifyError> {
        match &self.opaque {
            OpaqueRoute::None => Err(CheckFailure::Issuer.into()),
            OpaqueRoute::One(issuer) => Ok(issuer),
            OpaqueRoute::Chosen(choose) => {
                let chosen = std::str::from_utf8(token).ok().and_then(|token| choose(token));
                let chosen = chosen.ok_or(CheckFailure::Issuer)?;
                let is_chosen = |issuer: &&Arc<IssuerVerifier>| issuer.accepts_opaque() && *issuer.issuer == *chosen;
                let unknown = || VerifyError::new(VerifyErrorKind::Misconfigured).with_source(UNKNOWN_ROUTE);
                self.issuers.iter().find(is_chosen).ok_or_else(unknown)
            }
        }
    }

    /// The issuer that accepts `iss`.
    pub(super) fn issuer_of(&self, claims: &Claims) -> Option<&Arc<IssuerVerifier>> {
        let iss = claims.issuer()?;
        self.issuers.iter().find(|issuer| issuer.policy.issuers.iter().any(|accepted| **accepted == *iss))
    }
}

const UNKNOWN_ROUTE: &str =
    "`route_opaque` returned the name of an issuer that is not configured or does not verify opaque tokens";
/// The name of a verification in the error of a panic.
const VERIFICATION: &str = "the verification of the token";
