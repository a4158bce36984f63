use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::unreachable::unreachable;
use super::upkeep::Upkeep;
use super::warm_up::warm_up;
use super::{Health, IssuerHealth, RevocationHealth};
use crate::bearer::{Authenticated, BearerAuthLayer, Guard, Rejection};
use crate::clock::Clock;
use crate::error::{BuildError, BuildErrorKind, valid_or_panic};
use crate::mcp::{McpLayer, McpScopes};
use crate::origin::OriginLayer;
use crate::resource::MetadataService;
use crate::revocation::SharedRevocations;
use crate::verify::{Explanation, Verifier};

/// A protected resource: the layers that protect it, its metadata and its health.
///
/// It is immutable, and cheap to clone.
///
/// ```no_run
/// use mcp_bearer::{BuildError, Issuer, ResourceServer};
///
/// #[tokio::main]
/// async fn main() -> Result<(), BuildError> {
///     let server = ResourceServer::builder("https://mcp.example.com/mcp")
///         .issuer(Issuer::discover("https://auth.example.com"))
///         .scopes_supported(["mcp:tools"])
///         .build()
///         .await?;
///     let layer = server.bearer_layer().required_scopes(["mcp:tools"]);
///     println!("{layer:?}, metadata at {}", server.metadata_url());
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct ResourceServer {
    pub(super) verifier: Arc<Verifier>,
    pub(super) guard: Arc<Guard>,
    pub(super) metadata: MetadataService,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) skew: Duration,
    pub(super) upkeep: Upkeep,
    /// The store through which replicas share revocations.
    pub(super) shared_revocations: Option<Arc<dyn SharedRevocations>>,
}

impl ResourceServer {
    /// The layer that verifies access tokens. Unless it requires scopes, it accepts every valid token.
    #[must_use]
    pub fn bearer_layer(&self) -> BearerAuthLayer {
        BearerAuthLayer::new(Arc::clone(&self.verifier), Arc::clone(&self.guard), self.metadata.clone())
    }

    /// Decides about a request, for servers without tower: verifies the access token. It does not require scopes. See
    /// [`BearerAuthLayer::authenticate`], which can require them, for an example and for what it leaves to the server.
    ///
    /// # Errors
    /// A [`Rejection`], whose [`to_response`](Rejection::to_response) is the response to the request.
    pub async fn authenticate(&self, request: &Parts) -> Result<Authenticated, Rejection> {
        self.bearer_layer().authenticate(request).await
    }

    /// The layer that protects an MCP endpoint: [`bearer_layer`](Self::bearer_layer), and the scopes of each MCP operation.
    ///
    /// # Panics
    /// If a rule needs a text that is not a scope, if two rules are for the same name or contradict each other, or if a
    /// resource is not a URI template. [`try_mcp_layer`](Self::try_mcp_layer) returns an error instead.
    #[track_caller]
    pub fn mcp_layer(&self, scopes: McpScopes) -> McpLayer {
        valid_or_panic(self.try_mcp_layer(scopes))
    }

    /// [`mcp_layer`](Self::mcp_layer) for rules from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] or [`BuildErrorKind::Setting`] where `mcp_layer` panics.
    pub fn try_mcp_layer(&self, scopes: McpScopes) -> Result<McpLayer, BuildError> {
        let rules = scopes.compile(&self.guard)?;
        Ok(McpLayer::new(self.bearer_layer(), rules, Arc::clone(&self.clock), self.skew))
    }

    /// A layer that accepts requests only from web pages of these origins, against DNS rebinding (MCP transport, "Security
    /// Warning"). A request with another `Origin` header gets 403, whatever its method and token. A request without `Origin`
    /// passes, because only browsers send the header.
    ///
    /// An origin is scheme, host and port, as in `https://app.example.com` or `http://localhost:6274`. Scheme and host are
    /// compared without case, and the default port of http and https may be omitted. A loopback host may have the port `*`,
    /// for tools on developers' machines. `null` is never allowed. An empty list allows no page.
    ///
    /// Add the layer **outside** of [`cors_layer`](Self::cors_layer), so that it also rejects preflights. Merge the metadata
    /// router after it, because every page may read the metadata. In axum, the layer that is added last is the outermost:
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "cors"))] {
    /// use axum::{Router, routing::post};
    /// use mcp_bearer::ResourceServer;
    ///
    /// fn app(server: &ResourceServer) -> Router {
    ///     Router::new()
    ///         .route("/mcp", post(|| async { "hello" }))
    ///         .route_layer(server.bearer_layer())
    ///         .layer(server.cors_layer())
    ///         .layer(server.allowed_origins(["https://app.example.com", "http://localhost:*"]))
    ///         .merge(server.metadata_router())
    /// }
    /// # }
    /// ```
    ///
    /// # Panics
    /// If one of them is not an origin. [`try_allowed_origins`](Self::try_allowed_origins) returns an error instead.
    #[track_caller]
    pub fn allowed_origins(&self, origins: impl IntoIterator<Item = impl AsRef<str>>) -> OriginLayer {
        valid_or_panic(self.try_allowed_origins(origins))
    }

    /// [`allowed_origins`](Self::allowed_origins) for origins from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if one of them is not an origin.
    pub fn try_allowed_origins(
        &self,
        origins: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<OriginLayer, BuildError> {
        OriginLayer::new(origins, &self.guard, Rejection::for_origin())
    }

    /// The service that answers with the protected resource metadata, for servers without axum.
    ///
    /// The log warns once, with the target `mcp_bearer::metadata`, of a document that clients cannot find: at the first
    /// response with status 401 if neither this method nor `metadata_router` was called, and after 20 such responses within
    /// 5 minutes if no client has requested the document. Ignore the second warning if a gateway
    /// or a cache serves the document, or if your clients know their authorization server without it.
    #[must_use]
    pub fn metadata_service(&self) -> MetadataService {
        self.metadata.reach().publish();
        self.metadata.clone()
    }

    /// The absolute URL of the metadata, as challenges name it.
    #[must_use]
    pub fn metadata_url(&self) -> &str {
        &self.guard.metadata_url
    }

    /// Waits until the keys and the introspection endpoint of every issuer are available. All issuers are asked at the same
    /// time. With `shared_state` (feature `redis`), it then waits for a connection to Redis.
    ///
    /// Where tokens are introspected, it also introspects one made-up token, to check the client credentials. A response that
    /// shows neither that they are accepted nor that they are rejected is not an error.
    ///
    /// In a server that was built outside a tokio runtime, it also starts the background task that
    /// [`build_lazy`](crate::ResourceServerBuilder::build_lazy) describes.
    ///
    /// # Errors
    /// [`BuildErrorKind::Unreachable`] if an attempt fails. [`BuildErrorKind::Credentials`] if the response to the made-up token
    /// has the error code `invalid_client` or `unauthorized_client` (RFC 6749, section 5.2). The background task tries again.
    pub async fn warm_up(&self) -> Result<(), BuildError> {
        self.start_upkeep();
        self.warm_up_once().await
    }

    /// [`warm_up`](Self::warm_up) without the background task, which must not outlive a failed build.
    pub(super) async fn warm_up_once(&self) -> Result<(), BuildError> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            let message = "this code does not run in a tokio runtime; call it in one, or use `build_lazy`";
            return Err(BuildError::new(BuildErrorKind::Unreachable, message));
        };
        // All at once: the slowest issuer determines the time, not the sum of all.
        let tasks = self.verifier.issuers().iter().map(|issuer| {
            let (task, clock) = (Arc::clone(issuer), Arc::clone(&self.clock));
            (issuer, runtime.spawn(async move { warm_up(&task, &clock).await }))
        });
        let mut result = Ok(());
        for (issuer, task) in tasks.collect::<Vec<_>>() {
            let outcome = task.await.unwrap_or(Err(None));
            if let (Err(cause), Ok(())) = (outcome, &result) {
                result = Err(unreachable(&issuer.issuer, cause));
            }
        }
        result?;
        match &self.shared_revocations {
            Some(shared) => shared.connect().await,
            None => Ok(()),
        }
    }

    /// Removes this token from all caches, so that it is verified or introspected again. It does not reject the token:
    /// [`revoke`](Self::revoke) does. An older result that other replicas
    /// [shared](crate::guide::replicas#share-introspection-results) is not used here any more.
    pub fn forget(&self, token: &str) {
        self.verifier.forget(token.as_bytes());
    }

    /// Reads the file of [API keys](crate::api_key::ApiKeys::from_file) again, for example after a signal. The calling thread
    /// waits for the file. Does nothing without a file.
    ///
    /// # Errors
    /// [`BuildErrorKind::ApiKeys`] if the file cannot be read, or with all mistakes in it. The previous keys stay in use.
    pub fn reload_api_keys(&self) -> Result<(), BuildError> {
        self.verifier.api_keys().map_or(Ok(()), |keys| keys.reload())
    }

    /// Explains why a token is accepted or rejected: the outcome of each check, and what to do about the one that failed.
    ///
    /// It runs the checks of a request, with the same caches, fetches and limits. It makes no event, no metric and no negative
    /// cache entry. It does not check:
    ///
    /// - the scopes, and whether the route requires a sender-constrained token, because each layer has its own settings;
    /// - the proof or the certificate of a token that is bound to a key, because only a request has them.
    ///
    /// The explanation is for operators: do not send it to clients.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use mcp_bearer::testing::TestIssuer;
    /// use mcp_bearer::verify::TokenCheck;
    /// use mcp_bearer::{BuildError, ResourceServer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BuildError> {
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(issuer.issuer()).build().await?;
    /// let token = issuer.token().audience("https://mcp.example.com/mcp/").sign();
    /// let explanation = server.explain(&token).await;
    /// println!("{explanation}");
    /// let failed = explanation.failed().expect("a failed check");
    /// assert_eq!(failed.check(), TokenCheck::Audience);
    /// assert_eq!(failed.expected(), Some("https://mcp.example.com/mcp"));
    /// assert_eq!(failed.found(), Some("https://mcp.example.com/mcp/"));
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub async fn explain(&self, token: &str) -> Explanation {
        self.verifier.explain(token.as_bytes()).await
    }

    /// Whether tokens can be verified, and if not, why. Use it to answer a readiness probe.
    ///
    /// It reads only: it does not wait, and starts no request. The background task of the server fetches what is missing.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.clock.now();
        let issuers = self.verifier.issuers().iter().map(|issuer| IssuerHealth::new(issuer, now)).collect();
        Health { issuers, revocations: RevocationHealth::new(self.verifier.revocations()) }
    }

    /// Writes the configuration to the log: one line for each server.
    pub(super) fn announce(&self) {
        #[cfg(feature = "metrics")]
        crate::events::metrics::server_built(&self.guard.events.resource);
        let issuers: Vec<_> = self.verifier.issuers().iter().map(|issuer| issuer.summary()).collect();
        tracing::info!(
            target: "mcp_bearer",
            resource = &*self.guard.events.resource, metadata_url = &*self.guard.metadata_url,
            issuers = issuers.join("; "), cached_tokens = self.verifier.cached_tokens(),
            api_keys = self.verifier.api_keys().map(|keys| keys.summary()),
            sender_constraint = self.guard.sender.summary(),
            "this server verifies access tokens for the resource"
        );
        self.warn_of_development();
    }

    /// Warns the operator of a server that trusts everyone on this machine.
    fn warn_of_development(&self) {
        if self.guard.development.is_some() {
            tracing::warn!(target: "mcp_bearer", resource = &*self.guard.events.resource,
                "this server accepts every request from this machine without credentials: \
                 `dangerously_trust_everyone_on_loopback` is for development only");
        }
    }

    /// Starts the background task, in a tokio runtime.
    pub(super) fn start_upkeep(&self) {
        self.upkeep.start(&self.verifier, &self.clock, self.shared_revocations.as_ref());
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.verifier.issuers().iter().map(|issuer| &issuer.issuer).collect();
        f.debug_struct("ResourceServer")
            .field("metadata_url", &self.metadata_url())
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}
