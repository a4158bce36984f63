use std::time::Duration;

use super::{AcceptedAudiences, Claims};
use crate::failure::CheckFailure;

/// What claims must hold up against.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) issuers: Vec<Box<str>>,
    pub(crate) audiences: AcceptedAudiences,
    pub(crate) without_audience: WithoutAudience,
    pub(crate) skew: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    /// JWTs must have all claims that RFC 9068, section 2.2 requires.
    pub(crate) rfc9068_required: bool,
    /// Access tokens may carry `nonce`, `at_hash` and `c_hash`.
    pub(crate) id_token_claims_accepted: bool,
    /// An introspection answer needs neither an audience nor a `token_type`, where the former may be missing.
    pub(crate) missing_token_type_accepted: bool,
}

/// What becomes of a token that names no audience at all.
#[derive(Debug, Clone)]
pub(crate) enum WithoutAudience {
    Refused,
    /// Accepted if it was issued to one of these.
    Clients(Vec<Box<str>>),
    Accepted,
}

impl WithoutAudience {
    /// Whether it says anything: a list of clients without any is a mistake.
    pub(crate) fn is_meaningful(&self) -> bool {
        !matches!(self, Self::Clients(clients) if clients.is_empty() || clients.iter().any(|client| client.is_empty()))
    }

    fn accepts(&self, client_id: Option<&str>) -> bool {
        match self {
            Self::Refused => false,
            Self::Clients(clients) => client_id.is_some_and(|id| clients.iter().any(|client| **client == *id)),
            Self::Accepted => true,
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
    let mut audience = claims.audience();
    let accepted = match audience.len() {
        0 => policy.without_audience.accepts(claims.client_id()),
        _ => audience.any(|audience| policy.audiences.accept(audience) || policy.audiences.accept_client(audience)),
    };
    if !accepted {
        return Err(CheckFailure::Audience);
    }
    check_times(claims, policy, now)?;
    check_lifetime(claims, policy, now)?;
    check_marks(claims, policy, explicitly_typed)?;
    let is_introspected = claims.registered().is_introspected;
    if policy.rfc9068_required && !is_introspected && !claims.registered().is_rfc9068_complete() {
        return Err(CheckFailure::Claims);
    }
    // Some servers answer for a refresh token as for an access token, but without `token_type` and `aud`.
    let is_untyped = is_introspected && claims.audience().len() == 0 && !claims.registered().has_token_type;
    if is_untyped && !policy.missing_token_type_accepted { Err(CheckFailure::TokenType) } else { Ok(()) }
}

/// Judges a token that only a client id makes acceptable, once all its scopes are known: an ID token has the same
/// audience, but neither a scope nor `roles`.
///
/// # Errors
/// [`CheckFailure::TokenType`] if nothing shows that it is an access token.
pub(crate) fn check_client_audience(
    claims: &Claims,
    policy: &Policy,
    explicitly_typed: bool,
) -> Result<(), CheckFailure> {
    let is_for_client_only = claims.audience().len() > 0 && !claims.audience().any(|one| policy.audiences.accept(one));
    let grants = !claims.scopes().is_empty() || claims.registered().has_roles;
    if is_for_client_only && !grants && !explicitly_typed { Err(CheckFailure::TokenType) } else { Ok(()) }
}

/// Judges what a token says of itself before its issuer is asked about it: only what no answer could mend.
///
/// # Errors
/// The first [`CheckFailure`].
pub(crate) fn check_before_asking(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    check_times(claims, policy, now)?;
    check_marks(claims, policy, true)
}

fn check_marks(claims: &Claims, policy: &Policy, explicitly_typed: bool) -> Result<(), CheckFailure> {
    let marks = &claims.registered().marks;
    if marks.sender_constrained {
        return Err(CheckFailure::SenderConstrained);
    }
    let like_id_token = marks.like_id_token && !marks.access && !explicitly_typed && !policy.id_token_claims_accepted;
    if marks.foreign || like_id_token { Err(CheckFailure::TokenType) } else { Ok(()) }
}

fn check_lifetime(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    let Some(expires_at) = claims.expires_at() else {
        // RFC 7662, section 2.2: an answer need not name it, unless somebody wants to know how long a token lives.
        let needed = !claims.registered().is_introspected || policy.max_lifetime.is_some();
        return if needed { Err(CheckFailure::NoExpiry) } else { Ok(()) };
    };
    let lifetime = expires_at.saturating_sub(claims.issued_at().unwrap_or(now));
    if policy.max_lifetime.is_some_and(|longest| lifetime > longest) {
        return Err(CheckFailure::LifetimeTooLong);
    }
    Ok(())
}

/// By how much a token is ahead of the clock at `now`: the later of `nbf` and `iat`.
pub(crate) fn ahead_by(claims: &Claims, now: Duration) -> Duration {
    let start = claims.registered().not_before.max(claims.issued_at());
    start.unwrap_or_default().saturating_sub(now)
}

fn check_times(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    // The current time must be *before* `exp` (RFC 7519, section 4.1.4).
    if claims.expires_at().is_some_and(|expires_at| now >= expires_at.saturating_add(policy.skew)) {
        return Err(CheckFailure::Expired);
    }
    let latest_start = now.saturating_add(policy.skew);
    if claims.registered().not_before.is_some_and(|time| time > latest_start)
        || claims.issued_at().is_some_and(|time| time > latest_start)
    {
        return Err(CheckFailure::NotYetValid);
    }
    Ok(())
}

/// How far clocks may be apart unless configured otherwise: a minute (RFC 7519, section 4.1.4: "a few minutes").
pub(crate) const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// The most that can be configured.
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(300);
