//! Tokens that somebody else is asked about: the authorization server, or a verifier of the application's.

use std::sync::Arc;
use std::time::Duration;

use super::by_issuer::Verified;
use super::jwt::{Jwt, TokenType};
use super::own_code::within;
use super::{TokenVerifier, Verification, Verifier, VerifyError, VerifyErrorKind};
use crate::claims::{Claims, check_before_asking};
use crate::clock::Clock;
use crate::crypto::Fingerprint;
use crate::failure::CheckFailure;
use crate::introspection::{IntrospectionError, Introspector, Verdict};
use crate::jose::header::Header;

/// Who is asked about a token.
pub(crate) enum Asked {
    Introspection(Arc<Introspector>),
    Custom(Arc<dyn TokenVerifier>),
}

/// Asks now and then whether a token that is good by itself was revoked.
pub(crate) struct RevocationCheck {
    pub(crate) introspector: Arc<Introspector>,
    /// For how long an answer holds.
    pub(crate) interval: Duration,
}

impl Verifier {
    /// A JWT that is not judged here: only what it says of itself is, before anybody is asked.
    pub(super) fn ask_about_jwt(
        self: &Arc<Self>,
        jwt: &Jwt<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Verification, VerifyError> {
        self.ask(jwt.token, true, clock, || {
            TokenType::of(Header::typ_of(&jwt.compact.header()?)?.as_deref())?;
            check_before_asking(&jwt.claims, &self.policy, clock.since_epoch())?;
            Ok(jwt.claims.expires_at())
        })
    }

    /// What becomes of a token by an answer that is at hand.
    pub(super) fn recall(&self, token: &[u8], clock: &dyn Clock) -> Option<Verified> {
        match Question::new(self.introspector()?, token, None).recall()? {
            Verdict::Unsupported => None,
            verdict => Some(self.conclude(verdict, clock)),
        }
    }

    /// Asks about a token, unless the answer is at hand. `check_first` is made only where a request would follow, and says
    /// when the token ends by its own word.
    pub(super) fn ask(
        self: &Arc<Self>,
        token: &[u8],
        is_jwt: bool,
        clock: &Arc<dyn Clock>,
        check_first: impl FnOnce() -> Result<Option<Duration>, CheckFailure>,
    ) -> Result<Verification, VerifyError> {
        let (this, clock) = (Arc::clone(self), Arc::clone(clock));
        match &self.asked {
            None => Err(self.about(CheckFailure::Issuer)),
            Some(Asked::Custom(custom)) => {
                check_first().map_err(|failure| self.about(failure))?;
                let (custom, token) = (Arc::clone(custom), text(token));
                Ok(Verification::Pending(Box::pin(async move {
                    let verified = within(this.wait_limit, "the token verifier", async { custom.verify(&token).await });
                    let claims = verified.await.unwrap_or_else(Err).map_err(|error| this.about(error))?;
                    this.judge(claims, clock.as_ref())
                })))
            }
            Some(Asked::Introspection(introspector)) => {
                let question = Question::new(introspector, token, None);
                let recalled = question.recall();
                if let Some(verdict) = &recalled
                    && !(is_jwt && matches!(verdict, Verdict::Unsupported))
                {
                    return Ok(Verification::Done(self.conclude(verdict.clone(), clock.as_ref())));
                }
                let ends_at = check_first().map_err(|failure| self.about(failure))?;
                let question = question.put(token, ends_at);
                Ok(Verification::Pending(Box::pin(async move {
                    let token = question.token.clone();
                    let verdict = match recalled {
                        Some(verdict) => verdict,
                        None => question.answer(&clock).await.map_err(|error| this.about(error))?,
                    };
                    match verdict {
                        Verdict::Unsupported if is_jwt => {
                            Err(this.judge_without_introspection(&token, clock.as_ref()).await)
                        }
                        verdict => this.conclude(verdict, clock.as_ref()),
                    }
                })))
            }
        }
    }

    /// A JWT that is good by itself: was it revoked?
    pub(super) fn check_revocation(
        self: &Arc<Self>,
        revocation: &RevocationCheck,
        token: &[u8],
        claims: Claims,
        clock: &Arc<dyn Clock>,
    ) -> Result<Verification, VerifyError> {
        let question = Question::new(&revocation.introspector, token, Some(revocation.interval));
        if let Some(verdict) = question.recall() {
            return Ok(Verification::Done(self.unless_revoked(claims, &verdict)));
        }
        let (this, clock, question) = (Arc::clone(self), Arc::clone(clock), question.put(token, None));
        Ok(Verification::Pending(Box::pin(async move {
            let verdict = question.answer(&clock).await.map_err(|error| this.about(error))?;
            this.unless_revoked(claims, &verdict)
        })))
    }

    fn unless_revoked(&self, claims: Claims, verdict: &Verdict) -> Verified {
        match verdict {
            Verdict::Active(_) => Ok(claims),
            Verdict::Inactive => Err(self.about(CheckFailure::Inactive)),
            Verdict::Unsupported => {
                Err(self.about(VerifyError::new(VerifyErrorKind::Misconfigured).with_source(CannotBeRevoked)))
            }
        }
    }

    /// A JWT that the authorization server does not introspect is not invalid because of that. If its keys show that it is
    /// valid, or if there are no keys, it cannot be judged.
    async fn judge_without_introspection(&self, token: &str, clock: &dyn Clock) -> VerifyError {
        let checked = match &self.not_introspected {
            Some(verifier) => self.check_by_keys(verifier, token.as_bytes(), clock).await,
            None => Ok(()),
        };
        let valid = || VerifyError::new(VerifyErrorKind::Misconfigured).with_source(CannotBeIntrospected);
        self.about(checked.err().unwrap_or_else(valid))
    }

    fn conclude(&self, verdict: Verdict, clock: &dyn Clock) -> Verified {
        match verdict {
            Verdict::Active(claims) => self.judge(claims, clock),
            Verdict::Inactive | Verdict::Unsupported => Err(self.about(CheckFailure::Inactive)),
        }
    }

    /// What somebody else says of a token is held up against the same policy, each time that it is used.
    fn judge(&self, claims: Claims, clock: &dyn Clock) -> Verified {
        self.check_claims(claims, false, clock.since_epoch()).map_err(|error| self.about(error))
    }

    fn about(&self, error: impl Into<VerifyError>) -> VerifyError {
        error.into().about(self.issuer(), None)
    }
}

/// What the authorization server is, or would be, asked.
struct Question<'i> {
    introspector: &'i Arc<Introspector>,
    fingerprint: Fingerprint,
    within: Option<Duration>,
}

impl<'i> Question<'i> {
    fn new(introspector: &'i Arc<Introspector>, token: &[u8], within: Option<Duration>) -> Self {
        Self { introspector, fingerprint: introspector.fingerprint(token), within }
    }

    fn recall(&self) -> Option<Verdict> {
        self.introspector.recall(&self.fingerprint, self.within)
    }

    fn put(self, token: &[u8], ends_at: Option<Duration>) -> PutQuestion {
        let (introspector, token) = (Arc::clone(self.introspector), text(token));
        PutQuestion { introspector, fingerprint: self.fingerprint, token, ends_at, within: self.within }
    }
}

/// A question that lives on its own.
struct PutQuestion {
    introspector: Arc<Introspector>,
    fingerprint: Fingerprint,
    token: Box<str>,
    ends_at: Option<Duration>,
    within: Option<Duration>,
}

impl PutQuestion {
    async fn answer(self, clock: &Arc<dyn Clock>) -> Result<Verdict, IntrospectionError> {
        self.introspector.ask(self.fingerprint, self.token, self.ends_at, self.within, clock).await
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the authorization server does not introspect JWTs, so that `revocation_check` cannot work with it")]
struct CannotBeRevoked;

#[derive(Debug, thiserror::Error)]
#[error(
    "the authorization server does not introspect JWTs: use `introspect_opaque`, which verifies them by their keys"
)]
struct CannotBeIntrospected;

/// Credentials are ASCII (RFC 6750, section 2.1): what is not never gets here.
fn text(token: &[u8]) -> Box<str> {
    String::from_utf8_lossy(token).into()
}
