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
            log::refused(&rejection, None);
            return Err(rejection);
        }
        tracing::error!(target: "mcp_bearer::rejection", kind = "internal", cause = "no_layer", path = request.uri.path(),
            "no `BearerAuthLayer` covers this route: add `.route_layer(server.bearer_layer())`");
        Err(Rejection::new(RejectionKind::Internal))
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
        let scopes = Scopes::new(scopes).map_err(|error| {
            tracing::error!(target: "mcp_bearer::rejection", %error, "a handler asks for what is no scope");
            Rejection::new(RejectionKind::Internal)
        })?;
        let protection = self.protection();
        if ScopeRequirement::from(scopes.clone()).is_met(self.scopes(), &protection.hierarchy) {
            return Ok(());
        }
        log::insufficient_scope(self.issuer());
        Err(Rejection::insufficient_scope(protection, scopes))
    }
}
