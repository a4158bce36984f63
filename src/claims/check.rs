use std::time::Duration;

use super::{AcceptedAudiences, Claims};
use crate::failure::CheckFailure;

/// What claims must hold up against.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) issuers: Vec<Box<str>>,
    pub(crate) audiences: AcceptedAudiences,
    pub(crate) skew: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) subject_required: bool,
}

impl Policy {
    /// Claims issued by `issuer`, exactly, for one of `audiences`; 60 s of clock skew.
    pub(crate) fn new(issuer: &str, audiences: AcceptedAudiences) -> Self {
        Self {
            issuers: vec![issuer.into()],
            audiences,
            skew: DEFAULT_SKEW,
            max_lifetime: None,
            subject_required: false,
        }
    }
}

/// Judges claims at the time `now` since 1970: issuer, audience, expiry and the other times, confirmation, and signs of
/// a token that is no access token, in this order.
///
/// `explicitly_typed` says that a signed header already named it an access token (RFC 9068, section 2.1); then an ID
/// token's marks mean nothing.
///
/// # Errors
/// The first [`CheckFailure`].
pub(crate) fn check(
    claims: &Claims,
    policy: &Policy,
    explicitly_typed: bool,
    now: Duration,
) -> Result<(), CheckFailure> {
    let issuer = claims.issuer().ok_or(CheckFailure::Issuer)?;
    if !policy.issuers.iter().any(|accepted| **accepted == *issuer) {
        return Err(CheckFailure::Issuer);
    }
    if !claims.audience().any(|audience| policy.audiences.accept(audience)) {
        return Err(CheckFailure::Audience);
    }
    check_times(claims, policy, now)?;
    if claims.marks.sender_constrained {
        return Err(CheckFailure::SenderConstrained);
    }
    let like_id_token = claims.marks.like_id_token && !claims.marks.access && !explicitly_typed;
    if claims.marks.foreign || like_id_token {
        return Err(CheckFailure::TokenType);
    }
    if policy.subject_required && claims.subject().is_none() {
        return Err(CheckFailure::Claims);
    }
    Ok(())
}

fn check_times(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    let expires_at = claims.expires_at().ok_or(CheckFailure::NoExpiry)?;
    // The current time must be *before* `exp` (RFC 7519, section 4.1.4).
    if now >= expires_at.saturating_add(policy.skew) {
        return Err(CheckFailure::Expired);
    }
    let latest_start = now.saturating_add(policy.skew);
    if claims.not_before.is_some_and(|time| time > latest_start)
        || claims.issued_at.is_some_and(|time| time > latest_start)
    {
        return Err(CheckFailure::NotYetValid);
    }
    let lifetime = expires_at.saturating_sub(claims.issued_at.unwrap_or(now));
    if policy.max_lifetime.is_some_and(|longest| lifetime > longest) {
        return Err(CheckFailure::LifetimeTooLong);
    }
    Ok(())
}

/// How far clocks may be apart unless configured otherwise: a minute (RFC 7519, section 4.1.4: "a few minutes").
pub(crate) const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// The most that can be configured.
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(300);
