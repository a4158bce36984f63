use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Asked, JwtVerifier, VerifyError};
use crate::claims::{Claims, Policy, ahead_by, check, check_client_audience};
use crate::failure::CheckFailure;
use crate::introspection::Introspector;

/// Verifies tokens in a way of its own: a format that is not JWT, a database, a vendor's library.
///
/// It has to bound its own requests. One that takes longer than
/// [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout), or that panics, gives 503. A JWT gets there only if it names the verifier's issuer and does not itself
/// say that it has expired or is something else than an access token; whatever is no JWT gets there as it is. What comes
/// back is judged like a JWT's claims: issuer, audience, expiry, confirmation and the marks of foreign tokens are checked by
/// the crate, whoever verified.
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies `token`, which is the text after `Bearer`, and says what it claims.
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a>;
}

/// What [`TokenVerifier::verify`] returns.
pub type VerifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Claims, VerifyError>> + Send + 'a>>;

/// The verification of one issuer's tokens: JWTs here, if that is possible, and all others by asking somebody.
pub(crate) struct Verifier {
    /// The issuer as it is configured and published.
    pub(crate) issuer: Box<str>,
    pub(crate) policy: Policy,
    /// Where further scopes stand, as JSON pointers.
    pub(crate) scope_claims: Vec<String>,
    /// Absent if JWTs are asked about too.
    pub(crate) jwt: Option<JwtVerifier>,
    /// Where every token is introspected: tells a valid JWT that the authorization server does not introspect from an
    /// invalid one.
    pub(crate) not_introspected: Option<JwtVerifier>,
    pub(crate) asked: Option<Asked>,
    /// How long a request waits for a key, or for a verifier of the application's own.
    pub(crate) wait_limit: Duration,
}

impl Verifier {
    /// What the log calls the issuer.
    pub(super) const fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The names that no other issuer can have beside it: its own, and those that its tokens carry.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let accepted = self.policy.issuers.iter().map(AsRef::as_ref);
        std::iter::once(self.issuer()).chain(accepted.filter(|accepted| *accepted != self.issuer()))
    }

    /// Judges claims at the time `now` since 1970, and adds the scopes that are at configured places.
    ///
    /// # Errors
    /// The first [`CheckFailure`], with what the operator needs to know of it.
    pub(super) fn check_claims(
        &self,
        mut claims: Claims,
        explicitly_typed: bool,
        now: Duration,
    ) -> Result<Claims, VerifyError> {
        check(&claims, &self.policy, explicitly_typed, now).map_err(|failure| match failure {
            CheckFailure::NotYetValid => VerifyError::from(failure).with_source(ClockBehind::new(&claims, now)),
            failure => failure.into(),
        })?;
        for pointer in &self.scope_claims {
            claims.add_scopes_from(pointer)?;
        }
        check_client_audience(&claims, &self.policy, explicitly_typed)?;
        Ok(claims)
    }

    /// What asks the authorization server about tokens, if anything does.
    pub(crate) const fn introspector(&self) -> Option<&Arc<Introspector>> {
        match &self.asked {
            Some(Asked::Introspection(introspector)) => Some(introspector),
            _ => None,
        }
    }
}

/// A token from the future: most often, the clock of this machine is wrong.
#[derive(Debug, thiserror::Error)]
#[error("`nbf` or `iat` is {seconds} s ahead of the clock of this machine, which may be behind")]
struct ClockBehind {
    seconds: u64,
}

impl ClockBehind {
    fn new(claims: &Claims, now: Duration) -> Self {
        // A part of a second counts as one: none would be no time at all.
        Self { seconds: ahead_by(claims, now).saturating_add(Duration::from_nanos(999_999_999)).as_secs() }
    }
}
