use http::request::Parts;

use super::{Rejection, RejectionKind, Unauthenticated, log};
use crate::auth_info::AuthInfo;
use crate::scope::{ScopeRequirement, Scopes};

impl AuthInfo {
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
            let rejection = Rejection::missing_token(&passed.protection, Scopes::EMPTY);
            log::refused(&passed.protection, &rejection, None);
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
        let protection = self.protection();
        let scopes = Scopes::new(scopes).map_err(|_| {
            log::misconfigured(
                protection,
                "not_a_scope",
                "a handler requires a text that is not a scope (RFC 6749, section 3.3)",
            );
            Rejection::new(RejectionKind::Internal)
        })?;
        if ScopeRequirement::from(scopes.clone()).is_met(self.scopes(), &protection.hierarchy) {
            return Ok(());
        }
        log::insufficient_scope(protection, self.issuer());
        Err(Rejection::insufficient_scope(protection, scopes))
    }
}
