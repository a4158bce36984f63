//! The scopes that the server advertises, and the names that clients request.

use super::ResourceServerBuilder;
use crate::error::{BuildError, BuildErrorKind};
use crate::scope::{OFFLINE_ACCESS, Scopes};

impl ResourceServerBuilder {
    /// Adds scopes to `scopes_supported` of the metadata, from which clients choose. They have no effect on requests: the
    /// layers require scopes.
    pub fn scopes_supported(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes_supported.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds to the scope hierarchy: a token with `scope` may do everything that needs one of `implied`. The relation is
    /// transitive. A circle is an error.
    pub fn scope_implies(
        mut self,
        scope: impl Into<String>,
        implied: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.implications.push((scope.into(), implied.into_iter().map(Into::into).collect()));
        self
    }

    /// Sets the name of `scope` in challenges and in the metadata, if clients must request a scope under another name than
    /// tokens contain.
    ///
    /// Entra grants `read` to a client that requests `api://notes/read`: `.challenge_scope("read", "api://notes/read")`.
    /// All other methods, such as [`required_scopes`](crate::BearerAuthLayer::required_scopes), use the name in tokens.
    pub fn challenge_scope(mut self, scope: impl Into<String>, requested: impl Into<String>) -> Self {
        self.challenge_scopes.push((scope.into(), requested.into()));
        self
    }

    /// Adds scopes to the challenge of a request without an access token, after those that the route requires. Clients ask for
    /// them at their first login. They are not required, and no other challenge names them. None by default.
    ///
    /// Some authorization servers let a client that registers itself request only the scopes with which it registered: Keycloak,
    /// Ory Hydra and nanoidp. MCP clients register with the scopes of the first challenge, so a later step-up ends in
    /// `invalid_scope`. For such a server, name all scopes that clients may ever need. For other servers, do not use it: MCP says
    /// that a challenge should name what the operation needs and no more, so that users consent to little at first.
    ///
    /// Scopes are named as tokens contain them: see [`challenge_scope`](Self::challenge_scope). A text that is not a scope
    /// makes the build fail, and `offline_access` does too.
    ///
    /// ```
    /// use mcp_bearer::ResourceServer;
    ///
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
    ///     .scopes_supported(["notes:read", "notes:write"])
    ///     .initial_scopes(["notes:read", "notes:write"]);
    /// ```
    pub fn initial_scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.initial_scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// The scopes of [`initial_scopes`](Self::initial_scopes).
    pub(super) fn first_challenge_scopes(&self) -> Result<Scopes, BuildError> {
        let wrong = |message: String| BuildError::new(BuildErrorKind::Scope, message);
        let scopes = Scopes::new(&self.initial_scopes).map_err(|error| wrong(error.to_string()))?;
        if scopes.contains(OFFLINE_ACCESS) {
            let message = "`initial_scopes` contains `offline_access`, which no challenge names; remove it";
            return Err(wrong(message.to_owned()));
        }
        Ok(scopes)
    }

    pub(super) fn advertised_scopes(&self) -> Result<Scopes, BuildError> {
        let scopes = Scopes::new(&self.scopes_supported)
            .map_err(|error| BuildError::new(BuildErrorKind::Scope, error.to_string()))?;
        if scopes.contains(OFFLINE_ACCESS) {
            tracing::warn!(target: "mcp_bearer", "`offline_access` is not a scope of a resource, so the metadata does not contain it (MCP 2026-07-28)");
        }
        Ok(scopes.without(OFFLINE_ACCESS))
    }
}
