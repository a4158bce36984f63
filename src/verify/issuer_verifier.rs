use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{CheckRecorder, DynVerifier, VerifyError};
use crate::claims::{Claims, Policy, check, check_client_audience};
use crate::events::IssuerEvents;
use crate::failure::Detail;
use crate::introspection::Introspector;
use crate::jose::{Algorithm, AllowedAlgorithms};
use crate::keys::Keys;

/// Verifies the access tokens of one issuer.
pub(crate) struct IssuerVerifier {
    /// The issuer identifier, as it is configured and published.
    pub(crate) issuer: Box<str>,
    /// Where the events about the issuer go.
    pub(crate) events: Arc<IssuerEvents>,
    pub(crate) policy: Policy,
    /// JSON pointers to further scopes in the claims.
    pub(crate) scope_claims: Vec<String>,
    pub(crate) method: Method,
    /// The accepted signature algorithms of JWTs that are verified with keys.
    pub(crate) algorithms: AllowedAlgorithms,
    /// Set if JWTs that are verified with keys are introspected as well: how old a result may be.
    pub(crate) revocation_check: Option<Duration>,
    /// How long a request waits for a key or for a [`TokenVerifier`](super::TokenVerifier).
    pub(crate) time_limit: Duration,
}

/// How the tokens of an issuer are verified. Clones share keys and cached results.
#[derive(Clone)]
pub(crate) enum Method {
    /// JWTs with the issuer's keys. Opaque tokens are rejected.
    Jwt(Keys),
    /// JWTs with the issuer's keys, opaque tokens by introspection.
    JwtOrIntrospection { keys: Keys, introspector: Arc<Introspector> },
    /// All tokens by introspection, or by the application's verifier with the same cache and limits. If the authorization server cannot introspect a JWT, its signature is verified with the
    /// keys: an invalid signature then gives 401, and a valid one 503.
    Introspection { introspector: Arc<Introspector>, keys: Option<Keys> },
    /// All tokens by the application's verifier.
    Custom(Arc<dyn DynVerifier>),
}

/// The verification of a token.
pub(crate) enum Verification<T = Claims> {
    /// The result, without waiting for anything: the usual case.
    Done(Result<T, VerifyError>),
    /// A key or an introspection result has to be fetched first.
    Pending(PendingVerification<T>),
}

pub(crate) type VerifyResult = Result<Claims, VerifyError>;
pub(crate) type PendingVerification<T = Claims> = Pin<Box<dyn Future<Output = Result<T, VerifyError>> + Send>>;

/// A verification, or the error of a check that comes before anything has to be fetched.
pub(super) type Step = Result<Verification<Accepted>, VerifyError>;

/// A token that passed all checks.
pub(super) struct Accepted {
    pub(super) claims: Claims,
    /// Set for a JWT whose signature was verified with a numbered key set.
    pub(super) signature: Option<VerifiedSignature>,
}

/// The facts that must still hold when the cached result of a signature check is used.
pub(super) struct VerifiedSignature {
    pub(super) issuer: Arc<IssuerVerifier>,
    /// The header has `typ: at+jwt`.
    pub(super) explicitly_typed: bool,
    /// The number of the key set that the key is from.
    pub(super) generation: u64,
}

impl IssuerVerifier {
    /// The names that no other issuer may have: its own, and the accepted values of `iss`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let accepted = &self.policy.issuers;
        let own = (!accepted.contains(&self.issuer)).then_some(&self.issuer);
        own.into_iter().chain(accepted).map(AsRef::as_ref)
    }

    /// The issuer, and how its tokens are verified: for the log.
    pub(crate) fn summary(&self) -> String {
        let algorithms: Vec<_> = self.algorithms.iter().map(Algorithm::name).collect();
        let jwt = format!("JWT: {}", algorithms.join(" "));
        let how = match (&self.method, self.revocation_check) {
            (Method::Jwt(_), _) => jwt,
            (Method::JwtOrIntrospection { .. }, None) => format!("{jwt}; opaque tokens are introspected"),
            (Method::JwtOrIntrospection { .. }, Some(_)) => format!("{jwt}; all tokens are introspected too"),
            (Method::Introspection { introspector, .. }, _) if introspector.asks_application() => {
                "a `TokenVerifier` of the application, with a cache and limits".to_owned()
            }
            (Method::Introspection { .. }, _) => "all tokens are introspected".to_owned(),
            (Method::Custom(_), _) => "a `TokenVerifier` of the application".to_owned(),
        };
        format!("{} ({how})", self.issuer)
    }

    /// The keys that JWTs are verified with. `None` if they are introspected, or verified by the application.
    pub(crate) const fn keys(&self) -> Option<&Keys> {
        match &self.method {
            Method::Jwt(keys) | Method::JwtOrIntrospection { keys, .. } => Some(keys),
            Method::Introspection { .. } | Method::Custom(_) => None,
        }
    }

    pub(crate) const fn introspector(&self) -> Option<&Arc<Introspector>> {
        match &self.method {
            Method::JwtOrIntrospection { introspector, .. } | Method::Introspection { introspector, .. } => {
                Some(introspector)
            }
            Method::Jwt(_) | Method::Custom(_) => None,
        }
    }

    /// Whether opaque tokens can be verified.
    pub(crate) const fn accepts_opaque(&self) -> bool {
        !matches!(self.method, Method::Jwt(_))
    }

    /// Rows 5 to 8 of the table in [`verify`](crate::verify): checks the claims at the Unix time `now`, and adds the scopes at
    /// `scope_claims`.
    pub(super) fn check_claims(
        &self,
        mut claims: Claims,
        explicitly_typed: bool,
        now: Duration,
        progress: &CheckRecorder,
    ) -> Result<Claims, VerifyError> {
        check(&claims, &self.policy, explicitly_typed, now)
            .inspect_err(|error| progress.claims_failed(error.failure))?;
        progress.claims_passed();
        for pointer in &self.scope_claims {
            let note = Detail::Note("the value at a `scope_claim` is neither a text nor a list or an object of texts");
            claims.add_scopes_from(pointer).map_err(|failure| failure.with(Box::new(note)))?;
        }
        check_client_audience(&claims, &self.policy, explicitly_typed)?;
        Ok(claims)
    }

    /// Waits for `work`, at most for `time_limit`. The error names `what`. Outside a tokio runtime the time is not limited.
    pub(super) async fn within_limit<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, VerifyError> {
        // A timer panics outside a tokio runtime.
        if tokio::runtime::Handle::try_current().is_err() {
            return Ok(work.await);
        }
        let limit = self.time_limit;
        let timed_out = |_| VerifyError::unavailable(None).with_source(format!("{what} took longer than {limit:?}"));
        tokio::time::timeout(limit, work).await.map_err(timed_out)
    }
}

impl<T> Verification<T> {
    pub(crate) async fn finish(self) -> Result<T, VerifyError> {
        match self {
            Self::Done(result) => result,
            Self::Pending(pending) => pending.await,
        }
    }
}
