use std::sync::Arc;

use super::{Rejection, RejectionKind, log};
use crate::auth_info::AuthInfo;
use crate::scope::{ScopeRequirement, Scopes};

impl AuthInfo {
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
        Err(Rejection::insufficient_scope(Arc::clone(protection), scopes))
    }
}
