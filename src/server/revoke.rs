use std::sync::Arc;
use std::time::SystemTime;

use super::{ResourceServer, ResourceServerBuilder};
use crate::escape::{Escaped, MAX_SHOWN, shown};
use crate::revocation::{Revocation, RevocationEntry, RevocationList, RevokeError, RevokeErrorKind, SharedListState};

impl ResourceServerBuilder {
    /// The revocation list of the server, which is empty.
    pub(super) fn revocation_list(&self) -> Arc<RevocationList> {
        let shared = match self.shared_revocations {
            None => SharedListState::NotShared,
            Some(_) => SharedListState::Outdated { since: self.clock.now(), error: None },
        };
        Arc::new(RevocationList::new(shared))
    }
}

impl ResourceServer {
    /// Rejects access tokens from now until `until`, although they have not expired.
    ///
    /// Choose `until` at least as late as the last expiry of a revoked token. For a subject or a session, that is the longest
    /// lifetime of the tokens of its issuer from now. The [clock skew](crate::ResourceServerBuilder::clock_skew) is added, because an
    /// expired token is accepted for so long. Afterwards a token that has not expired is accepted again. The longest time is ten
    /// years.
    ///
    /// When the call returns, every further request with a revoked token gets 401 with `error="invalid_token"`, whatever the
    /// caches contain. A request whose verification waits at that time gets 401 too. Open streaming responses of the
    /// [MCP layer](crate::McpLayer) end within 100 ms, also with
    /// [`streams_may_outlive_token`](crate::McpLayer::streams_may_outlive_token). Requests that a handler is processing are not
    /// interrupted.
    ///
    /// Without `shared_state` (feature `redis`), the list is in memory only: it is empty after a restart, and other replicas do not
    /// see it. With `shared_state`, the call also waits until Redis has stored the entry, and each replica that is connected
    /// receives it at once. Another replica reads it when it connects again.
    ///
    /// A revocation here does not replace one at the authorization server, which can still issue new tokens.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use std::time::{Duration, SystemTime};
    ///
    /// use mcp_bearer::testing::TestIssuer;
    /// use mcp_bearer::{ResourceServer, Revocation};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(issuer.issuer()).build().await?;
    /// let token = issuer.token().audience("https://mcp.example.com/mcp").claim("sid", "08a5019c").sign();
    /// assert!(server.explain(&token).await.is_accepted());
    ///
    /// let until = SystemTime::now() + Duration::from_secs(3600);
    /// server.revoke(Revocation::session("https://auth.example.com", "08a5019c"), until).await?;
    /// assert!(!server.explain(&token).await.is_accepted());
    /// # Ok(())
    /// # }
    /// # main().unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`RevokeError`]. Nothing is revoked then, unless its kind is [`RevokeErrorKind::NotShared`].
    pub async fn revoke(&self, revocation: Revocation, until: SystemTime) -> Result<(), RevokeError> {
        let now = self.clock.since_epoch();
        self.check_issuer(&revocation)?;
        let entry = revocation.entry(until, now)?;
        let entry = RevocationEntry { until: entry.until.saturating_add(self.skew), ..entry };
        let list = self.verifier.revocations();
        // First, so that the tokens are rejected here even if the store fails or the caller drops the future.
        list.add(&entry, now).map_err(|_| {
            RevokeError::new(
                RevokeErrorKind::Full,
                format!(
                    "the revocation list has {} entries, which is the limit; revoke subjects in place of single tokens, or choose \
                     an earlier `until`",
                    list.len()
                ),
            )
        })?;
        if let Some(token) = revocation.revoked_token() {
            self.forget(token);
        }
        tracing::info!(target: "mcp_bearer::revocation", kind = entry.kind.label(), entries = list.len(), "access tokens revoked");
        let Some(shared) = &self.shared_revocations else { return Ok(()) };
        shared.publish(entry).await.map_err(|error| {
            RevokeError::new(
                RevokeErrorKind::NotShared,
                "the tokens are revoked on this server, and other servers may accept them, because the shared store did not \
                 confirm the revocation; call `revoke` again",
            )
            .with_source(error)
        })
    }

    /// Checks that tokens of the issuer can be accepted at all. If not, the issuer of the revocation is a mistake.
    fn check_issuer(&self, revocation: &Revocation) -> Result<(), RevokeError> {
        let Some(issuer) = revocation.issuer() else { return Ok(()) };
        let accepted = || self.verifier.issuers().iter().flat_map(|verifier| verifier.names());
        if accepted().any(|name| name == issuer) {
            return Ok(());
        }
        let (issuer, accepted) = (Escaped(issuer, MAX_SHOWN), shown(accepted(), ", "));
        let message = if accepted.is_empty() {
            format!(
                "the revocation has the issuer \"{issuer}\", and this server does not have an issuer; use `Revocation::token`"
            )
        } else {
            format!(
                "the revocation has the issuer \"{issuer}\", whose tokens this server does not accept; use the claim `iss` of the \
                 tokens, which is one of: {accepted}"
            )
        };
        Err(RevokeError::new(RevokeErrorKind::NoMatch, message))
    }
}

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
