use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::digest::{RevocationDigest, RevocationKind};
use super::{RevokeError, RevokeErrorKind};

/// Which access tokens [`ResourceServer::revoke`](crate::ResourceServer::revoke) rejects.
///
/// `issuer` is the claim `iss` of the tokens, as [`AuthInfo::issuer`](crate::AuthInfo::issuer) returns it, compared byte for byte.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use mcp_bearer::{ResourceServer, Revocation};
/// # use mcp_bearer::revocation::RevokeError;
///
/// /// The longest lifetime of an access token.
/// const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
///
/// /// Rejects the tokens of a session after a logout token of the authorization server was verified (OpenID Connect Back-Channel
/// /// Logout 1.0): `iss` and `sid` are its claims.
/// async fn back_channel_logout(server: &ResourceServer, iss: &str, sid: &str) -> Result<(), RevokeError> {
///     server.revoke(Revocation::session(iss, sid), SystemTime::now() + TOKEN_LIFETIME).await
/// }
///
/// /// Rejects all tokens that a user has now. New tokens are accepted, from the next second on: `iat` has whole seconds.
/// async fn sign_out_everywhere(server: &ResourceServer, iss: &str, sub: &str) -> Result<(), RevokeError> {
///     let now = SystemTime::now();
///     server.revoke(Revocation::subject(iss, sub).issued_before(now), now + TOKEN_LIFETIME).await
/// }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Revocation {
    target: RevokedTarget,
    issued_before: Option<SystemTime>,
}

#[derive(Clone)]
enum RevokedTarget {
    Token(Box<str>),
    Claim { kind: RevocationKind, issuer: Box<str>, value: Box<str> },
}

/// One entry of the list. It contains no part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RevocationEntry {
    pub(crate) kind: RevocationKind,
    pub(crate) digest: RevocationDigest,
    /// When the entry ends, since 1970.
    pub(crate) until: Duration,
    /// Only tokens with an `iat` before this time, since 1970, and those without `iat`. `None` means all tokens.
    pub(crate) issued_before: Option<Duration>,
}

impl Revocation {
    /// Rejects this token, or this API key. A token is the text after `Bearer` or `DPoP` in the request. A JWT with the same header
    /// and claims and another valid signature is rejected too: an ECDSA signature can be changed without the key.
    pub fn token(token: impl Into<Box<str>>) -> Self {
        Self { target: RevokedTarget::Token(token.into()), issued_before: None }
    }

    /// Rejects the token of `issuer` with this id: the claim `jti` (RFC 7519, section 4.1.7).
    pub fn token_id(issuer: impl Into<Box<str>>, jti: impl Into<Box<str>>) -> Self {
        Self::claim(RevocationKind::TokenId, issuer, jti)
    }

    /// Rejects all tokens of this subject of `issuer`: the claim `sub`. Those that are issued later are rejected as well, unless
    /// [`issued_before`](Self::issued_before) is called.
    pub fn subject(issuer: impl Into<Box<str>>, sub: impl Into<Box<str>>) -> Self {
        Self::claim(RevocationKind::Subject, issuer, sub)
    }

    /// Rejects all tokens of this login session at `issuer`: the claim `sid` (OpenID Connect Back-Channel Logout 1.0, section 2.1).
    ///
    /// The authorization server must write `sid` into its access tokens. It is not the session of an MCP client.
    pub fn session(issuer: impl Into<Box<str>>, sid: impl Into<Box<str>>) -> Self {
        Self::claim(RevocationKind::Session, issuer, sid)
    }

    /// Rejects only tokens that were issued before this time: their `iat` is earlier. A token without `iat` is rejected, because
    /// nobody knows when it was issued.
    ///
    /// `iat` is a time of the authorization server's clock, in whole seconds. So a token that is issued after this time, in the same
    /// second, is rejected too. If that clock may be ahead of the clock of this machine, choose a time that is later by the
    /// difference.
    pub const fn issued_before(mut self, time: SystemTime) -> Self {
        self.issued_before = Some(time);
        self
    }

    const fn kind(&self) -> RevocationKind {
        match self.target {
            RevokedTarget::Token(_) => RevocationKind::Token,
            RevokedTarget::Claim { kind, .. } => kind,
        }
    }

    fn claim(kind: RevocationKind, issuer: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        let target = RevokedTarget::Claim { kind, issuer: issuer.into(), value: value.into() };
        Self { target, issued_before: None }
    }

    /// The token that caches may have a result for.
    pub(crate) fn revoked_token(&self) -> Option<&str> {
        match &self.target {
            RevokedTarget::Token(token) => Some(token),
            RevokedTarget::Claim { .. } => None,
        }
    }

    /// The issuer of the revoked tokens.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.target {
            RevokedTarget::Token(_) => None,
            RevokedTarget::Claim { issuer, .. } => Some(issuer),
        }
    }

    /// The entry of the list. `now` is the time since 1970.
    ///
    /// # Errors
    /// All kinds of [`RevokeErrorKind`] but `Full` and `NotShared`.
    pub(crate) fn entry(&self, until: SystemTime, now: Duration) -> Result<RevocationEntry, RevokeError> {
        self.check_target()?;
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(ahead) = until.checked_sub(now).filter(|ahead| !ahead.is_zero()) else {
            let ago = now.saturating_sub(until).as_secs();
            return Err(RevokeError::new(
                RevokeErrorKind::Until,
                format!(
                    "`until` is now or in the past, by {ago} s; use a time at least as late as the last expiry of a revoked token"
                ),
            ));
        };
        if ahead > MAX_AHEAD {
            let (days, most) = (ahead.as_secs() / DAY, MAX_AHEAD.as_secs() / DAY);
            return Err(RevokeError::new(
                RevokeErrorKind::Until,
                format!(
                    "`until` is {days} days ahead; use at most {most} days, and a time after the last expiry of a revoked token"
                ),
            ));
        }
        let digest = match &self.target {
            RevokedTarget::Token(token) => RevocationKind::Token.digest_of_token(token.as_bytes()),
            RevokedTarget::Claim { kind, issuer, value } => kind.digest(&[issuer.as_bytes(), value.as_bytes()]),
        };
        let digest = digest.ok_or_else(|| {
            RevokeError::new(
                RevokeErrorKind::Unsupported,
                "tokens cannot be revoked without a cryptography backend; switch on the feature `aws-lc-rs` or `rust-crypto`",
            )
        })?;
        // A time before 1970 is before every `iat`.
        let issued_before = self.issued_before.map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default());
        Ok(RevocationEntry { kind: self.kind(), digest, until, issued_before })
    }

    /// Checks that a token can match.
    fn check_target(&self) -> Result<(), RevokeError> {
        let message = match &self.target {
            RevokedTarget::Token(token) if token.is_empty() => {
                "the revoked token is empty; use the text after `Bearer` or `DPoP`"
            }
            RevokedTarget::Token(token) if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "the revoked token contains a character that no token has, such as a space; use only the text after `Bearer` or `DPoP`"
            }
            RevokedTarget::Claim { kind, value, .. } if value.is_empty() => match kind {
                RevocationKind::TokenId => "the token id of the revocation is empty; use the claim `jti` of the token",
                RevocationKind::Session => "the session of the revocation is empty; use the claim `sid` of the tokens",
                _ => "the subject of the revocation is empty; use the claim `sub` of the tokens",
            },
            _ => return Ok(()),
        };
        Err(RevokeError::new(RevokeErrorKind::NoMatch, message))
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret, and the claims are personal data.
        f.debug_struct("Revocation")
            .field("kind", &self.kind())
            .field("issued_before", &self.issued_before)
            .finish_non_exhaustive()
    }
}

/// The longest time of an entry. No access token lives as long, and an entry takes memory until its time is over.
pub(crate) const MAX_AHEAD: Duration = Duration::from_secs(3_660 * DAY);
const DAY: u64 = 24 * 3_600;
