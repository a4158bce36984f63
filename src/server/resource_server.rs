use std::fmt;
use std::sync::Arc;

use super::{Health, IssuerHealth, ResourceServerBuilder};
use crate::bearer::BearerAuthLayer;
use crate::error::{BuildError, BuildErrorKind};
use crate::keys::{KeyError, Keys};
use crate::protection::Protection;
use crate::resource::MetadataService;
use crate::verify::ByIssuer;

/// One protected resource: what guards it and what describes it. Immutable; cloning costs one atomic increment.
///
/// ```
/// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
/// # use mcp_bearer::{Issuer, ResourceServer, testing::TestIssuer};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let auth = TestIssuer::new("https://auth.example.com");
/// let server = ResourceServer::builder("https://mcp.example.com/mcp")
///     .issuer(Issuer::discover("https://auth.example.com").http_client(auth.http_client()))
///     .scopes_supported(["mcp:tools"])
///     .build()
///     .await?;
/// let layer = server.bearer_layer().required_scopes(["mcp:tools"])?;
/// assert_eq!(server.metadata_url(), "https://mcp.example.com/.well-known/oauth-protected-resource/mcp");
/// # Ok::<(), mcp_bearer::BuildError>(()) }).unwrap(); }
/// ```
#[derive(Clone)]
pub struct ResourceServer {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) verifier: Arc<ByIssuer>,
    pub(super) protection: Arc<Protection>,
    pub(super) metadata: MetadataService,
    pub(super) issuers: Vec<(Box<str>, Option<Keys>)>,
}

impl ResourceServer {
    /// Starts the configuration of the resource with this identifier: its URL as clients know it, https and without
    /// fragment (RFC 9728, section 1.2). It is published as written, and tokens must be issued for it.
    pub fn builder(resource: impl Into<Box<str>>) -> ResourceServerBuilder {
        ResourceServerBuilder::new(resource.into())
    }

    /// The layer that guards the resource. Without further calls any good token of its issuers passes.
    #[must_use]
    pub fn bearer_layer(&self) -> BearerAuthLayer {
        BearerAuthLayer::new(Arc::clone(&self.inner.verifier), Arc::clone(&self.inner.protection))
    }

    /// The service that answers with the protected resource metadata, for servers without axum.
    #[must_use]
    pub fn metadata_service(&self) -> MetadataService {
        self.inner.metadata.clone()
    }

    /// The absolute URL of the metadata, as challenges name it.
    #[must_use]
    pub fn metadata_url(&self) -> &str {
        &self.inner.protection.metadata_url
    }

    /// Waits until every issuer's keys are at hand, all at once.
    ///
    /// # Errors
    /// [`BuildErrorKind::Unreachable`] if an attempt fails. Later requests try again by themselves.
    pub async fn warm_up(&self) -> Result<(), BuildError> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            let message = "there is no tokio runtime here: build inside one, or with `build_lazy`";
            return Err(BuildError::new(BuildErrorKind::Unreachable, message));
        };
        // All are asked at once, so that the slowest decides and not the sum.
        let tasks: Vec<_> = self.remote_keys().map(|keys| runtime.spawn(async move { keys.warm_up().await })).collect();
        let mut result = Ok(());
        for (task, issuer) in tasks.into_iter().zip(self.remote_issuers()) {
            let outcome = task.await.unwrap_or(Err(KeyError::Unavailable { retry_after: None, source: None }));
            if let (Err(error), Ok(())) = (outcome, &result) {
                result = Err(unreachable(issuer, error));
            }
        }
        result
    }

    /// Whether tokens can be judged, and if not, why: an answer for a readiness probe.
    ///
    /// It waits for nothing. Inside a tokio runtime it starts a fetch that is due, so that a server which gets no
    /// traffic while it is not ready becomes ready all the same.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(self.inner.issuers.iter().map(|(issuer, keys)| IssuerHealth::of(issuer, keys.as_ref())).collect())
    }

    pub(super) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Tries until every issuer has answered once, at the pace that the key sources allow.
    pub(super) fn warm_up_in_background(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for keys in self.remote_keys() {
            // The trying ends when neither the server nor a layer of it is left.
            let verifier = Arc::downgrade(&self.inner.verifier);
            let keys = Arc::downgrade(&keys);
            runtime.spawn(async move {
                while verifier.strong_count() > 0 {
                    let Some(keys) = keys.upgrade() else { return };
                    if keys.warm_up().await.is_ok() {
                        return;
                    }
                    let pause = keys.back_off();
                    drop(keys);
                    tokio::time::sleep(pause).await;
                }
            });
        }
    }

    fn remote_keys(&self) -> impl Iterator<Item = Arc<crate::keys::RemoteKeys>> {
        self.inner.issuers.iter().filter_map(|(_, keys)| match keys {
            Some(Keys::Remote(remote)) => Some(Arc::clone(remote)),
            _ => None,
        })
    }

    fn remote_issuers(&self) -> impl Iterator<Item = &str> {
        self.inner.issuers.iter().filter(|(_, keys)| matches!(keys, Some(Keys::Remote(_)))).map(|(issuer, _)| &**issuer)
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.inner.issuers.iter().map(|(issuer, _)| issuer).collect();
        f.debug_struct("ResourceServer")
            .field("metadata_url", &self.metadata_url())
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}

fn unreachable(issuer: &str, error: KeyError) -> BuildError {
    let message = format!(
        "the keys of the issuer {issuer:?} cannot be had: check its URL and whether it runs, or build with `build_lazy`"
    );
    let built = BuildError::new(BuildErrorKind::Unreachable, message);
    match error {
        KeyError::Unavailable { source: Some(source), .. } => built.with_source(source),
        other => built.with_source(other),
    }
}
