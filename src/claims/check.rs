use std::time::Duration;

use super::registered::TokenKind;
use super::{AcceptedAudiences, Claims};
use crate::failure::CheckFailure;

/// The rules that claims must satisfy.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) issuers: Vec<Box<str>>,
    pub(crate) audiences: AcceptedAudiences,
    pub(crate) without_audience: WithoutAudience,
    pub(crate) skew: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    /// JWTs must have all claims that RFC 9068, section 2.2 requires.
    pub(crate) rfc9068_required: bool,
    /// Access tokens may have `nonce`, `at_hash` and `c_hash`.
    pub(crate) id_token_claims_accepted: bool,
    /// An introspection response may lack both an audience and a `token_type`.
    pub(crate) missing_token_type_accepted: bool,
}

/// How a token without an audience is treated.
#[derive(Debug, Clone)]
pub(crate) enum WithoutAudience {
    Rejected,
    /// Accepted if it was issued to one of these clients.
    Clients(Vec<Box<str>>),
    Accepted,
}

impl WithoutAudience {
    /// Whether the configuration makes sense. A list without clients, or with an empty client id, is a mistake.
    pub(crate) fn is_meaningful(&self) -> bool {
        !matches!(self, Self::Clients(clients) if clients.is_empty() || clients.iter().any(|client| client.is_empty()))
    }

    fn accepts(&self, client_id: Option<&str>) -> bool {
        match self {
            Self::Rejected => false,
            Self::Clients(clients) => client_id.is_some_and(|id| clients.iter().any(|client| **client == *id)),
            Self::Accepted => true,
        }
    }
}

/// Checks claims at the time `now` since 1970, in this order: issuer, audience, times, `cnf`, and claims of tokens that
/// are not access tokens.
///
/// `explicitly_typed` means that a signed header has `typ: at+jwt` (RFC 9068, section 2.1). Claims of ID tokens are
/// accepted then.
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
    check_kind(claims, policy, explicitly_typed)?;
    let is_introspected = claims.registered().is_introspected;
    if policy.rfc9068_required && !is_introspected && !claims.registered().is_rfc9068_complete() {
        return Err(CheckFailure::Claims);
    }
    // Some servers introspect a refresh token like an access token, but without `token_type` and `aud`.
    let is_untyped = is_introspected && claims.audience().len() == 0 && !claims.registered().has_token_type;
    if is_untyped && !policy.missing_token_type_accepted { Err(CheckFailure::TokenType) } else { Ok(()) }
}

/// Checks a token that is accepted only because its audience is a client id. An ID token has such an audience too, but
/// neither a scope nor `roles`. All scopes of the token must be known.
///
/// # Errors
/// [`CheckFailure::TokenType`] if nothing shows that the token is an access token.
pub(crate) fn check_client_audience(
    claims: &Claims,
    policy: &Policy,
    explicitly_typed: bool,
) -> Result<(), CheckFailure> {
    let is_for_client_only = claims.audience().len() > 0 && !claims.audience().any(|one| policy.audiences.accept(one));
    let grants = !claims.scopes().is_empty() || claims.registered().has_roles;
    if is_for_client_only && !grants && !explicitly_typed { Err(CheckFailure::TokenType) } else { Ok(()) }
}

/// Checks the claims of a JWT before it is introspected. A JWT that fails here is rejected whatever the response would be.
///
/// # Errors
/// The first [`CheckFailure`].
pub(crate) fn check_before_asking(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    check_times(claims, policy, now)?;
    check_kind(claims, policy, true)
}

fn check_kind(claims: &Claims, policy: &Policy, explicitly_typed: bool) -> Result<(), CheckFailure> {
    match claims.registered().kind {
        TokenKind::Bearer => Ok(()),
        TokenKind::LikeIdToken if explicitly_typed || policy.id_token_claims_accepted => Ok(()),
        TokenKind::Foreign | TokenKind::LikeIdToken => Err(CheckFailure::TokenType),
        TokenKind::SenderConstrained => Err(CheckFailure::SenderConstrained),
    }
}

fn check_lifetime(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    let Some(expires_at) = claims.exp() else {
        // An introspection response may lack `exp` (RFC 7662, section 2.2), unless there is a limit for the lifetime.
        let needed = !claims.registered().is_introspected || policy.max_lifetime.is_some();
        return if needed { Err(CheckFailure::NoExpiry) } else { Ok(()) };
    };
    let lifetime = expires_at.saturating_sub(claims.iat().unwrap_or(now));
    if policy.max_lifetime.is_some_and(|longest| lifetime > longest) {
        return Err(CheckFailure::LifetimeTooLong);
    }
    Ok(())
}

/// The time from `now` until both `nbf` and `iat` are in the past.
pub(crate) fn ahead_by(claims: &Claims, now: Duration) -> Duration {
    let start = claims.registered().not_before.max(claims.iat());
    start.unwrap_or_default().saturating_sub(now)
}

fn check_times(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckFailure> {
    // The current time must be *before* `exp` (RFC 7519, section 4.1.4). A clock before 1970 shows `Duration::MAX`.
    if now >= claims.exp().map_or(Duration::MAX, |expires_at| expires_at.saturating_add(policy.skew)) {
        return Err(CheckFailure::Expired);
    }
    let latest_start = now.saturating_add(policy.skew);
    if claims.registered().not_before.is_some_and(|time| time > latest_start)
        || claims.iat().is_some_and(|time| time > latest_start)
    {
        return Err(CheckFailure::NotYetValid);
    }
    Ok(())
}

/// The default clock skew. RFC 7519, section 4.1.4 allows "a few minutes".
pub(crate) const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// The greatest clock skew that can be configured.
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(300);
