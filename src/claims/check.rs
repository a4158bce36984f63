use std::time::Duration;

use super::registered::TokenKind;
use super::{Claims, Confirmation, CredentialKind};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::identifier::ResourceUrl;

/// The rules that claims must satisfy.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) issuers: Vec<Box<str>>,
    pub(crate) audiences: AcceptedAudiences,
    pub(crate) without_audience: WithoutAudience,
    pub(crate) skew: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    /// A JWT that is not introspected must have all claims that RFC 9068, section 2.2 requires.
    pub(crate) rfc9068_required: bool,
    /// Access tokens may have `nonce`, `at_hash` and `c_hash`.
    pub(crate) id_token_claims_accepted: bool,
    /// An introspection response may lack both an audience and a `token_type`.
    pub(crate) missing_token_type_accepted: bool,
    pub(crate) confirmations: AcceptedConfirmations,
}

/// The members of `cnf` that the server can check for each request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AcceptedConfirmations {
    /// `jkt`, by a DPoP proof.
    pub(crate) keys: bool,
    /// `x5t#S256`, by a client certificate.
    pub(crate) certificates: bool,
}

impl AcceptedConfirmations {
    /// Whether each member of `cnf` can be checked.
    const fn cover(self, confirmation: Confirmation) -> bool {
        match confirmation {
            Confirmation::Absent => true,
            Confirmation::Bound(binding) => {
                (self.keys || binding.key.is_none()) && (self.certificates || binding.certificate.is_none())
            }
            Confirmation::Unsupported => false,
        }
    }
}

/// The audiences that are accepted.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedAudiences {
    /// The resource identifier after [`normalize`].
    resource: Option<String>,
    /// The resource identifier and its aliases, which are compared byte by byte.
    pub(crate) exact: Vec<Box<str>>,
    /// Client ids, which are compared byte by byte. ID tokens have such an audience too.
    pub(crate) clients: Vec<Box<str>>,
}

impl AcceptedAudiences {
    /// Accepts only the resource identifier.
    pub(crate) fn new(resource: &ResourceUrl) -> Self {
        Self { resource: normalize(&resource.text), exact: vec![resource.text.clone()], clients: Vec::new() }
    }

    /// Whether `audience` is an alias or this resource. The resource identifier may differ in the case of scheme and host,
    /// in the default port, and in the slash of an empty path (RFC 3986, sections 6.2.2.1 and 6.2.3), and in nothing else.
    pub(crate) fn accept(&self, audience: &str) -> bool {
        contains(&self.exact, audience) || (self.resource.is_some() && self.resource == normalize(audience))
    }
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
            Self::Clients(clients) => client_id.is_some_and(|id| contains(clients, id)),
            Self::Accepted => true,
        }
    }
}

/// Checks claims at the Unix time `now`, in this order: issuer, audience, times, lifetime, kind of token, the claims that RFC
/// 9068 requires, and `token_type`.
///
/// `explicitly_typed` means that a signed header has `typ: at+jwt` (RFC 9068, section 2.1). Claims of ID tokens are
/// accepted then.
///
/// Of a credential that is not an access token, only the times and `cnf` are checked, where they are present.
///
/// # Errors
/// The first [`CheckFailure`].
pub(crate) fn check(claims: &Claims, policy: &Policy, explicitly_typed: bool, now: Duration) -> Result<(), CheckError> {
    if claims.kind() != CredentialKind::AccessToken {
        return check_times(claims, policy, now).and_then(|()| check_kind(claims, policy, explicitly_typed));
    }
    if !claims.issuer().is_some_and(|issuer| contains(&policy.issuers, issuer)) {
        return Err(issuer_mismatch(policy.issuers.iter(), claims));
    }
    let mut audience = claims.audience();
    let accepted = match audience.len() {
        0 => policy.without_audience.accepts(claims.client_id()),
        _ => audience.any(|one| policy.audiences.accept(one) || contains(&policy.audiences.clients, one)),
    };
    if !accepted {
        return Err(audience_mismatch(claims, policy));
    }
    check_times(claims, policy, now)?;
    check_lifetime(claims, policy, now)?;
    check_kind(claims, policy, explicitly_typed)?;
    let registered = claims.registered();
    if policy.rfc9068_required
        && !registered.is_introspected
        && let Some(missing) = registered.first_missing_of_rfc9068()
    {
        return Err(CheckFailure::Claims.with(Box::new(Detail::Claim(missing))));
    }
    // Some servers respond to a refresh token with `"active": true`, but without `token_type` and `aud`.
    let is_untyped = registered.is_introspected && registered.audience.is_empty() && !registered.has_token_type;
    if is_untyped && !policy.missing_token_type_accepted {
        let note = "the introspection response has neither an audience nor a `token_type`, as that of a refresh token";
        return Err(CheckFailure::TokenType.with(Box::new(Detail::Note(note))));
    }
    Ok(())
}

/// The error of a token whose `iss` is not one of `accepted`.
pub(crate) fn issuer_mismatch<'i>(accepted: impl Iterator<Item = &'i Box<str>>, claims: &Claims) -> CheckError {
    CheckFailure::Issuer.with(match claims.issuer() {
        Some(issuer) => Detail::mismatch(accepted.map(AsRef::as_ref), [issuer]),
        None => Box::new(Detail::Claim("iss")),
    })
}

fn audience_mismatch(claims: &Claims, policy: &Policy) -> CheckError {
    let AcceptedAudiences { exact, clients, .. } = &policy.audiences;
    let expected = exact.iter().chain(clients).map(AsRef::as_ref);
    match claims.audience().len() {
        0 => CheckFailure::NoAudience.with(Detail::mismatch(expected, [])),
        _ => CheckFailure::Audience.with(Detail::mismatch(expected, claims.audience())),
    }
}

/// Checks a token that is accepted only because its audience is a client id. An ID token has such an audience too, but
/// neither a scope nor `roles`. Call it after all scopes were added to `claims`.
///
/// # Errors
/// [`CheckFailure::TokenType`] if nothing shows that the token is an access token.
pub(crate) fn check_client_audience(
    claims: &Claims,
    policy: &Policy,
    explicitly_typed: bool,
) -> Result<(), CheckError> {
    let is_for_client_only = claims.audience().len() > 0 && !claims.audience().any(|one| policy.audiences.accept(one));
    let grants = !claims.scopes().is_empty() || claims.registered().has_roles;
    if is_for_client_only && !grants && !explicitly_typed {
        let note = "the audience is a client id, and the token has neither a scope nor `roles`, as an ID token";
        return Err(CheckFailure::TokenType.with(Box::new(Detail::Note(note))));
    }
    Ok(())
}

/// Checks the claims of a JWT before it is introspected. A JWT that fails here is rejected whatever the response would
/// be.
///
/// # Errors
/// The first [`CheckFailure`].
pub(crate) fn check_before_asking(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckError> {
    check_times(claims, policy, now)?;
    check_kind(claims, policy, true)
}

fn check_times(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckError> {
    let skew = policy.skew;
    // The current time must be *before* `exp` (RFC 7519, section 4.1.4). If the clock is before 1970, `now` is
    // `Duration::MAX`, so every token is expired.
    let expires_at = claims.exp().unwrap_or(Duration::MAX);
    if now >= expires_at.saturating_add(skew) {
        let ago = now.saturating_sub(expires_at);
        return Err(CheckFailure::Expired.with(Box::new(Detail::Expired { ago, skew })));
    }
    let ahead = ahead_by(claims, now);
    if ahead > skew {
        return Err(CheckFailure::NotYetValid.with(Box::new(Detail::NotYetValid { ahead, skew })));
    }
    Ok(())
}

/// The time from `now` until both `nbf` and `iat` are in the past.
fn ahead_by(claims: &Claims, now: Duration) -> Duration {
    let registered = claims.registered();
    registered.not_before.max(registered.issued_at).unwrap_or_default().saturating_sub(now)
}

fn check_lifetime(claims: &Claims, policy: &Policy, now: Duration) -> Result<(), CheckError> {
    let registered = claims.registered();
    let lifetime = claims.exp().map(|expires_at| expires_at.saturating_sub(registered.issued_at.unwrap_or(now)));
    match (lifetime, policy.max_lifetime) {
        (Some(lifetime), Some(limit)) if lifetime > limit => {
            Err(CheckFailure::LifetimeTooLong.with(Box::new(Detail::Lifetime { lifetime, limit })))
        }
        (Some(_), _) => Ok(()),
        // In an introspection response `exp` is optional (RFC 7662, section 2.2), unless the lifetime is limited.
        (None, None) if registered.is_introspected => Ok(()),
        (None, _) => Err(CheckFailure::NoExpiry.into()),
    }
}

fn check_kind(claims: &Claims, policy: &Policy, explicitly_typed: bool) -> Result<(), CheckError> {
    let registered = claims.registered();
    if !policy.confirmations.cover(claims.confirmation()) {
        return Err(CheckFailure::SenderConstrained.into());
    }
    let note = match registered.kind {
        TokenKind::Access => return Ok(()),
        TokenKind::LikeIdToken if explicitly_typed || policy.id_token_claims_accepted => return Ok(()),
        TokenKind::LikeIdToken => "`nonce`, `at_hash` or `c_hash` is a claim of an ID token",
        TokenKind::Foreign => "`typ`, `token_use`, `token_type`, `type` or `events` names another kind of token",
    };
    Err(CheckFailure::TokenType.with(Box::new(Detail::Note(note))))
}

/// The form in which resource identifiers are compared. `None` for a text that is not an http or https URL.
fn normalize(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some([&scheme, "://", authority, slash, path].concat())
}

fn contains(texts: &[Box<str>], text: &str) -> bool {
    texts.iter().any(|known| **known == *text)
}

/// The default clock skew. RFC 7519, section 4.1.4 allows "a few minutes".
pub(crate) const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// The greatest clock skew that can be configured.
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(resource: &str, audience: &str) -> bool {
        let mut accepted = AcceptedAudiences::new(&ResourceUrl::new(resource).unwrap());
        accepted.exact.extend(["api://6e74172b", "https://alias.example.com/x"].map(Box::from));
        accepted.accept(audience)
    }

    #[test]
    fn the_same_resource_is_accepted() {
        for (resource, audience) in [
            ("https://rs.example.com/mcp", "https://rs.example.com/mcp"),
            ("https://rs.example.com/mcp", "HTTPS://RS.Example.com/mcp"),
            ("https://rs.example.com/mcp", "https://rs.example.com:443/mcp"),
            ("https://rs.example.com:443/mcp", "https://rs.example.com/mcp"),
            ("https://rs.example.com", "https://rs.example.com/"),
            ("https://rs.example.com/", "https://rs.example.com"),
            ("http://127.0.0.1:80/mcp", "http://127.0.0.1/mcp"),
            ("https://rs.example.com/mcp", "api://6e74172b"),
            ("https://rs.example.com/mcp", "https://alias.example.com/x"),
        ] {
            assert!(accepts(resource, audience), "{resource} {audience}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for audience in [
            "",
            " ",
            "*",
            "https://rs.example.com",
            "https://rs.example.com/",
            "https://rs.example.com/mcp/",
            "https://rs.example.com/MCP",
            "https://rs.example.com/mcp-evil",
            "https://rs.example.com/mcp/../admin",
            "https://rs.example.com/./mcp",
            "https://rs.example.com/%6dcp",
            "https://rs.example.com/mcp#x",
            "https://rs.example.com/mcp?x",
            "https://rs.example.com/*",
            "https://rs.example.com.evil.org/mcp",
            "https://rs.example.com@evil.org/mcp",
            "https://user@rs.example.com/mcp",
            "https://rs.example.com:444/mcp",
            "https://rs.example.com:80/mcp",
            "http://rs.example.com/mcp",
            "https://evil.org/?https://rs.example.com/mcp",
            " https://rs.example.com/mcp",
            "https://rs.example.com/mcp ",
            "a,https://rs.example.com/mcp",
            "a https://rs.example.com/mcp",
            "API://6e74172b",
            "https://ALIAS.example.com/x",
            "https://rs.ex\u{e4}mple.com/mcp",
        ] {
            assert!(!accepts("https://rs.example.com/mcp", audience), "{audience}");
        }
    }
}
