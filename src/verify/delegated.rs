use std::sync::Arc;
use std::time::Duration;

use super::issuer_verifier::{Accepted, Step};
use super::{CheckRecorder, IssuerVerifier, Method, TokenCheck, Verification, Verifier, VerifyError, VerifyErrorKind};
use crate::claims::{Claims, Confirmation};
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::introspection::{Introspector, TokenStatus};

impl IssuerVerifier {
    /// Verifies a token without keys. `jwt` has the claims of a JWT, which are not verified. It is `None` for an opaque
    /// token.
    pub(super) fn delegate(
        self: &Arc<Self>,
        verifier: &Arc<Verifier>,
        token: &[u8],
        jwt: Option<&Claims>,
        progress: &CheckRecorder,
    ) -> Step {
        let (is_jwt, verifier) = (jwt.is_some(), Arc::clone(verifier));
        let stated = jwt.map_or(Confirmation::Absent, Claims::confirmation);
        progress.begin(TokenCheck::Delegated);
        match &self.method {
            Method::Jwt(_) => Err(self.error(CheckFailure::Issuer)),
            Method::JwtOrIntrospection { introspector, .. } | Method::Introspection { introspector, .. } => {
                let (expires_at, clock) = (jwt.and_then(Claims::exp), Arc::clone(&verifier.clock));
                let later = progress.clone();
                let conclude = move |this: &Arc<Self>, token: &[u8], status| match status {
                    TokenStatus::Active(claims) => {
                        Verification::Done(this.check_result(claims, stated, &verifier, &later))
                    }
                    TokenStatus::Unsupported if is_jwt => this.explain_unsupported(&verifier, token, &later),
                    TokenStatus::Rejected(failure) => Verification::Done(Err(this.error(failure))),
                    TokenStatus::Inactive | TokenStatus::Unsupported => {
                        Verification::Done(Err(this.error(CheckFailure::Inactive)))
                    }
                };
                self.introspect(introspector, token, (expires_at, None), &clock, progress, conclude)
            }
            Method::Custom(custom) => {
                let (this, custom, token, progress) =
                    (Arc::clone(self), Arc::clone(custom), text(token), progress.clone());
                Ok(Verification::Pending(Box::pin(async move {
                    let verified = this.within_limit("the token verifier", custom.verify_boxed(&token)).await;
                    let claims = verified.and_then(|verified| verified?.into_claims(&this.issuer));
                    let claims = claims.map_err(|error| this.error(error))?;
                    this.check_result(claims, stated, &verifier, &progress)
                })))
            }
        }
    }

    /// Row 11 of the table.
    pub(super) fn check_revocation(
        self: &Arc<Self>,
        token: &[u8],
        accepted: Accepted,
        clock: &Arc<dyn Clock>,
        progress: &CheckRecorder,
    ) -> Step {
        let (Method::JwtOrIntrospection { introspector, .. }, Some(_)) = (&self.method, self.revocation_check) else {
            return Ok(Verification::Done(Ok(accepted)));
        };
        progress.begin(TokenCheck::Revocation);
        self.introspect(introspector, token, (None, self.revocation_check), clock, progress, |this, _, status| {
            Verification::Done(match status {
                TokenStatus::Active(_) => Ok(accepted),
                TokenStatus::Inactive => Err(this.error(CheckFailure::Inactive)),
                TokenStatus::Rejected(failure) => Err(this.error(failure)),
                TokenStatus::Unsupported => Err(this.misconfigured(CANNOT_BE_REVOKED)),
            })
        })
    }

    /// Calls `conclude` with the authorization server's result for a token: now if it is cached, else after a request.
    ///
    /// No result is cached beyond `expires_at`. `max_age` replaces the configured `positive_cache`.
    fn introspect(
        self: &Arc<Self>,
        introspector: &Arc<Introspector>,
        token: &[u8],
        (expires_at, max_age): (Option<Duration>, Option<Duration>),
        clock: &Arc<dyn Clock>,
        progress: &CheckRecorder,
        conclude: impl FnOnce(&Arc<Self>, &[u8], TokenStatus) -> Verification<Accepted> + Send + 'static,
    ) -> Step {
        let (fingerprint, purpose) = (introspector.fingerprint(token), progress.purpose());
        if let Some(status) = introspector.cached(&fingerprint, max_age, purpose) {
            return Ok(conclude(self, token, status));
        }
        let (this, introspector, clock) = (Arc::clone(self), Arc::clone(introspector), Arc::clone(clock));
        let token = text(token);
        Ok(Verification::Pending(Box::pin(async move {
            let lifetimes = (expires_at, max_age);
            let status = introspector.introspect(fingerprint, Arc::clone(&token), lifetimes, clock, purpose).await;
            let status = status.map_err(|error| this.error(error))?;
            conclude(&this, token.as_bytes(), status).finish().await
        })))
    }

    /// Verifies a JWT that the authorization server does not introspect, to find the cause: the failure of a check. If the
    /// JWT is valid, or keys to verify it with are not configured, the cause is the configuration.
    fn explain_unsupported(
        self: &Arc<Self>,
        verifier: &Arc<Verifier>,
        token: &[u8],
        progress: &CheckRecorder,
    ) -> Verification<Accepted> {
        let misconfigured = Err(self.misconfigured(CANNOT_BE_INTROSPECTED));
        let Method::Introspection { keys: Some(keys), .. } = &self.method else {
            return Verification::Done(misconfigured);
        };
        match verifier.verify_jwt(token, Some(keys), None, progress) {
            Ok(verification) => {
                let progress = progress.clone();
                Verification::Pending(Box::pin(async move {
                    verification.finish().await?;
                    progress.begin(TokenCheck::Delegated);
                    misconfigured
                }))
            }
            Err(error) => Verification::Done(Err(error)),
        }
    }

    /// Rows 5 to 8 of the table. A cached result passes them with every request. `stated` is the `cnf` of a JWT.
    fn check_result(
        &self,
        claims: Claims,
        stated: Confirmation,
        verifier: &Verifier,
        progress: &CheckRecorder,
    ) -> Result<Accepted, VerifyError> {
        let now = verifier.clock.since_epoch();
        let claims = claims.confirmed_by(stated).map_err(|failure| self.error(failure))?;
        let claims = self.check_claims(claims, false, now, progress).map_err(|error| self.error(error))?;
        Ok(Accepted { claims, signature: None })
    }

    fn misconfigured(&self, source: &'static str) -> VerifyError {
        self.error(VerifyError::new(VerifyErrorKind::Misconfigured).with_source(source))
    }

    fn error(&self, error: impl Into<VerifyError>) -> VerifyError {
        error.into().about(&self.issuer, None)
    }
}

/// The token as text. The grammar of credentials allows ASCII only (RFC 6750, section 2.1), so nothing is replaced.
fn text(token: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(token).into()
}

const CANNOT_BE_REVOKED: &str =
    "the authorization server does not introspect JWTs, so `revocation_check` cannot work with it";
const CANNOT_BE_INTROSPECTED: &str =
    "the authorization server does not introspect JWTs: use `introspect_opaque`, which verifies them by their keys";
