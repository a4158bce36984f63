use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use serde_json::{Map, Value};

use super::{Guard, Rejection, RejectionKind, Unauthenticated, log};
use crate::claims::Claims;
use crate::scope::{ScopeRequirement, Scopes};

/// Who makes a request, by the word of a verified access token.
///
/// The bearer layer puts one into the request's extensions; with the feature `axum` it is an extractor. Cloning costs
/// two atomic increments. The token itself is not in it: it must not travel on (RFC 9700, section 2.3; MCP 2026-07-28).
///
/// A user is the pair of issuer and subject, [`identity`](Self::identity): a subject alone is unique within its issuer
/// only, and a client identifier may look like a subject (RFC 9700, section 4.15).
#[derive(Clone)]
pub struct AuthInfo {
    claims: Claims,
    guard: Arc<Guard>,
}

impl AuthInfo {
    pub(crate) const fn new(claims: Claims, guard: Arc<Guard>) -> Self {
        Self { claims, guard }
    }

    /// The issuer identifier of the authorization server that issued the token.
    #[must_use]
    pub fn issuer(&self) -> &str {
        // Claims without an issuer do not get this far.
        self.claims.issuer().unwrap_or_default()
    }

    /// Whom the token is about (`sub`). `None` if the token does not say, as with machine-to-machine tokens of some
    /// servers.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.claims.subject()
    }

    /// Issuer and subject together: what a user is known by, and what a database should have as its key. `None` where
    /// [`subject`](Self::subject) is.
    #[must_use]
    pub fn identity(&self) -> Option<(&str, &str)> {
        Some((self.issuer(), self.subject()?))
    }

    /// The OAuth client that the token was issued to: `client_id`, else `azp`, `cid` or `appid`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.claims.client_id()
    }

    /// For whom the token was issued; one of these is this resource. Empty only where a missing audience is accepted, by a
    /// setting that says `dangerously`.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.claims.audience()
    }

    /// The scopes as the token grants them, without those that they imply.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.claims.scopes()
    }

    /// Whether the token grants `scope`, itself or by a broader one (see
    /// [`scope_implies`](crate::ResourceServerBuilder::scope_implies)).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.guard.hierarchy.grants(self.scopes(), scope)
    }

    /// When the token expires. Requests are accepted up to the clock skew longer. `None` if only the authorization
    /// server knows: a JWT always says so, an introspection answer need not (RFC 7662, section 2.2).
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(self.expires_since_epoch()?)
    }

    pub(crate) fn expires_since_epoch(&self) -> Option<Duration> {
        self.claims.expires_at()
    }

    /// Who makes a request, for frameworks without an extractor.
    ///
    /// # Errors
    /// A [`Rejection`] with the layer's challenge if it let the request pass without credentials (401). Where no bearer
    /// layer has seen the request, that is a mistake in the server: an internal error (500).
    pub fn of(request: &Parts) -> Result<&Self, Rejection> {
        let extensions = &request.extensions;
        if let Some(auth) = extensions.get() {
            return Ok(auth);
        }
        if let Some(passed) = extensions.get::<Unauthenticated>() {
            let rejection = Rejection::missing_token(&passed.guard, Scopes::EMPTY);
            log::refused(&passed.guard, &rejection, None);
            return Err(rejection);
        }
        log::misconfigured_outside(
            "no_layer",
            Some(request.uri.path()),
            "no `BearerAuthLayer` covers this route: add `.route_layer(server.bearer_layer())`",
        );
        Err(Rejection::new(RejectionKind::Internal))
    }

    /// The caller of a request, or `None` where the bearer layer allows anonymous requests and this is one. For frameworks
    /// without an extractor.
    ///
    /// # Errors
    /// As [`of`](Self::of): where no bearer layer has seen the request, it is an internal error (500) and not an anonymous
    /// request.
    pub fn optional_of(request: &Parts) -> Result<Option<&Self>, Rejection> {
        match request.extensions.get::<Unauthenticated>() {
            Some(passed) if passed.anonymous_allowed && request.extensions.get::<Self>().is_none() => Ok(None),
            _ => Self::of(request).map(Some),
        }
    }

    /// Goes on only if the token grants all of `scopes`, themselves or by broader ones.
    ///
    /// # Errors
    /// A [`Rejection`] whose challenge names the layer's scopes and these (403). A text that is no scope is a mistake
    /// in the handler: an internal error (500).
    pub fn require_scopes<I>(&self, scopes: I) -> Result<(), Rejection>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let guard = self.guard();
        let scopes = Scopes::new(scopes).map_err(|_| {
            log::misconfigured(
                guard,
                "not_a_scope",
                "a handler requires a text that is not a scope (RFC 6749, section 3.3)",
            );
            Rejection::new(RejectionKind::Internal)
        })?;
        if ScopeRequirement::from(scopes.clone()).is_met(self.scopes(), &guard.hierarchy) {
            return Ok(());
        }
        log::insufficient_scope(guard, self.issuer());
        Err(Rejection::insufficient_scope(guard, scopes))
    }

    /// All claims, as the token or the authorization server states them.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        self.claims.members()
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }
}

impl fmt::Debug for AuthInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthInfo").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}
