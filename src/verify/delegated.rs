use std::sync::Arc;
use std::time::Duration;

use super::issuer_verifier::{Accepted, Step};
use super::{IssuerVerifier, Method, Verification, Verifier, VerifyError, VerifyErrorKind};
use crate::claims::Claims;
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::introspection::{Introspector, TokenStatus};

/// The form of a token that is not verified with keys.
#[derive(Clone, Copy)]
enum Form {
    Opaque,
    /// `expires_at` is the token's own `exp`. Nobody has verified it, but no answer is used for longer.
    Jwt {
        expires_at: Option<Duration>,
    },
}

impl IssuerVerifier {
    pub(super) fn delegate_opaque(self: &Arc<Self>, verifier: &Arc<Verifier>, token: &[u8]) -> Step {
        self.delegate(verifier, token, Form::Opaque)
    }

    pub(super) fn delegate_jwt(
        self: &Arc<Self>,
        verifier: &Arc<Verifier>,
        token: &[u8],
        expires_at: Option<Duration>,
    ) -> Step {
        self.delegate(verifier, token, Form::Jwt { expires_at })
    }

    fn delegate(self: &Arc<Self>, verifier: &Arc<Verifier>, token: &[u8], form: Form) -> Step {
        match &self.method {
            Method::Jwt(_) => Err(self.error(CheckFailure::Issuer)),
            Method::JwtOrIntrospection { introspector, .. } | Method::Introspection { introspector, .. } => {
                self.introspect(introspector, verifier, token, form)
            }
            Method::Custom(custom) => {
                let (this, verifier) = (Arc::clone(self), Arc::clone(verifier));
                let (custom, token) = (Arc::clone(custom), text(token));
                Ok(Verification::Pending(Box::pin(async move {
                    let verify = async { custom.verify(&token).await };
                    let answer = this.within_limit("the token verifier", verify).await;
                    let claims = answer.and_then(|claims| claims).map_err(|error| this.error(error))?;
                    this.check_answer(claims, verifier.clock.as_ref())
                })))
            }
        }
    }

    fn introspect(
        self: &Arc<Self>,
        introspector: &Arc<Introspector>,
        verifier: &Arc<Verifier>,
        token: &[u8],
        form: Form,
    ) -> Step {
        let fingerprint = introspector.fingerprint(token);
        let cached = introspector.cached(&fingerprint, None);
        let unsupported =
            |verdict: &TokenStatus| matches!((verdict, form), (TokenStatus::Unsupported, Form::Jwt { .. }));
        if let Some(verdict) = cached.clone().filter(|verdict| !unsupported(verdict)) {
            return Ok(Verification::Done(self.conclude(verdict, verifier.clock.as_ref())));
        }
        let (this, introspector, verifier) = (Arc::clone(self), Arc::clone(introspector), Arc::clone(verifier));
        let token = text(token);
        let expires_at = match form {
            Form::Opaque => None,
            Form::Jwt { expires_at } => expires_at,
        };
        Ok(Verification::Pending(Box::pin(async move {
            let verdict = match cached {
                Some(verdict) => verdict,
                None => {
                    let answer =
                        introspector.introspect(fingerprint, token.clone(), expires_at, None, &verifier.clock).await;
                    answer.map_err(|error| this.error(error))?
                }
            };
            if matches!((&verdict, form), (TokenStatus::Unsupported, Form::Jwt { .. })) {
                return Err(this.not_introspected(&verifier, token.as_bytes()).await);
            }
            this.conclude(verdict, verifier.clock.as_ref())
        })))
    }

    /// The error for a JWT that the authorization server does not introspect: the failure of a check, or, if the JWT is valid
    /// or there are no keys to verify it with, a wrong configuration.
    async fn not_introspected(&self, verifier: &Arc<Verifier>, token: &[u8]) -> VerifyError {
        let cannot_be_introspected =
            || self.error(VerifyError::new(VerifyErrorKind::Misconfigured).with_source(CannotBeIntrospected));
        let Method::Introspection { keys: Some(keys), .. } = &self.method else { return cannot_be_introspected() };
        let verified = match verifier.verify_jwt(token, Some(keys), None) {
            Ok(verification) => verification.finish().await.err(),
            Err(error) => Some(error),
        };
        verified.unwrap_or_else(cannot_be_introspected)
    }

    fn conclude(&self, verdict: TokenStatus, clock: &dyn Clock) -> Result<Accepted, VerifyError> {
        match verdict {
            TokenStatus::Active(claims) => self.check_answer(claims, clock),
            TokenStatus::Inactive | TokenStatus::Unsupported => Err(self.error(CheckFailure::Inactive)),
        }
    }

    /// Rows 5 to 8 of the table. A cached answer passes them with every request.
    fn check_answer(&self, claims: Claims, clock: &dyn Clock) -> Result<Accepted, VerifyError> {
        let claims = self.check_claims(claims, false, clock.since_epoch()).map_err(|error| self.error(error))?;
        Ok(Accepted { claims, signature: None })
    }

    /// Row 11 of the table.
    pub(super) fn check_revocation(self: &Arc<Self>, token: &[u8], accepted: Accepted, clock: &Arc<dyn Clock>) -> Step {
        let (Method::JwtOrIntrospection { introspector, .. }, Some(interval)) = (&self.method, self.revocation_check)
        else {
            return Ok(Verification::Done(Ok(accepted)));
        };
        let fingerprint = introspector.fingerprint(token);
        if let Some(verdict) = introspector.cached(&fingerprint, Some(interval)) {
            return Ok(Verification::Done(self.unless_revoked(accepted, &verdict)));
        }
        let (this, introspector, clock) = (Arc::clone(self), Arc::clone(introspector), Arc::clone(clock));
        let token = text(token);
        Ok(Verification::Pending(Box::pin(async move {
            let verdict = introspector.introspect(fingerprint, token, None, Some(interval), &clock).await;
            let verdict = verdict.map_err(|error| this.error(error))?;
            this.unless_revoked(accepted, &verdict)
        })))
    }

    fn unless_revoked(&self, accepted: Accepted, verdict: &TokenStatus) -> Result<Accepted, VerifyError> {
        match verdict {
            TokenStatus::Active(_) => Ok(accepted),
            TokenStatus::Inactive => Err(self.error(CheckFailure::Inactive)),
            TokenStatus::Unsupported => {
                Err(self.error(VerifyError::new(VerifyErrorKind::Misconfigured).with_source(CannotBeRevoked)))
            }
        }
    }

    fn error(&self, error: impl Into<VerifyError>) -> VerifyError {
        error.into().about(&self.issuer, None)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the authorization server does not introspect JWTs, so `revocation_check` cannot work with it")]
struct CannotBeRevoked;

#[derive(Debug, thiserror::Error)]
#[error(
    "the authorization server does not introspect JWTs: use `introspect_opaque`, which verifies them by their keys"
)]
struct CannotBeIntrospected;

/// The token as text. The grammar of credentials allows ASCII only (RFC 6750, section 2.1), so nothing is replaced.
fn text(token: &[u8]) -> Box<str> {
    String::from_utf8_lossy(token).into()
}
