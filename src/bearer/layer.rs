use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tower_layer::Layer;

use super::admission::BearerState;
use super::sender_check::SenderRules;
use super::{BearerAuth, Guard, Rejection};
use crate::error::{BuildError, BuildErrorKind, valid_or_panic};
use crate::resource::MetadataService;
use crate::scope::{InvalidScope, ScopeRequirement, Scopes};
use crate::sender::SenderConstraint;
use crate::verify::Verifier;

/// Verifies the access token of each request, and puts [`AuthInfo`](crate::AuthInfo) into the request's extensions.
///
/// Make it with [`ResourceServer::bearer_layer`](crate::ResourceServer::bearer_layer). In axum, add it with
/// [`Router::route_layer`](https://docs.rs/axum/latest/axum/struct.Router.html#method.route_layer). With `layer`, paths
/// that do not exist answer 401 instead of 404, which confuses clients that look for metadata.
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
/// use axum::{Router, routing::get};
/// use mcp_bearer::{AuthInfo, ResourceServer};
///
/// async fn list_notes(auth: AuthInfo) -> String {
///     format!("the notes of {:?}", auth.subject())
/// }
///
/// fn app(server: &ResourceServer) -> Router {
///     Router::new()
///         .route("/notes", get(list_notes))
///         .route_layer(server.bearer_layer().required_scopes(["notes:read"]))
///         .merge(server.metadata_router())
/// }
/// # let auth = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
/// # let server = ResourceServer::builder("https://api.example.com/notes").issuer(auth.issuer());
/// # app(&server.build_lazy().unwrap());
/// # }
/// ```
///
/// A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes without credentials, so the handler
/// of `OPTIONS` must only answer. A CORS layer outside of this layer answers preflights first.
///
/// Merge the metadata router after the layer. If the layer covers the metadata document, it answers with the document
/// itself, without a token, and logs one error.
///
/// The layer also works in a [`tower::ServiceBuilder`](https://docs.rs/tower/latest/tower/struct.ServiceBuilder.html). To
/// add it only if a configuration says so, give [`option_layer`](https://docs.rs/tower/latest/tower/util/fn.option_layer.html)
/// the tuple `(MapResponseLayer::new(IntoResponse::into_response), server.bearer_layer())`. The responses with and without
/// the layer then have one type.
#[derive(Debug, Clone)]
pub struct BearerAuthLayer {
    state: Arc<BearerState>,
}

impl BearerAuthLayer {
    pub(crate) fn new(verifier: Arc<Verifier>, guard: Arc<Guard>, metadata: MetadataService) -> Self {
        let state = BearerState { verifier, guard, metadata, anonymous_allowed: false, on_rejection: None };
        Self { state: Arc::new(state) }
    }

    /// Requires all of `scopes`, in addition to earlier calls.
    ///
    /// # Panics
    /// If one of them is not a scope (RFC 6749, section 3.3), or if there is none.
    /// [`try_required_scopes`](Self::try_required_scopes) returns an error instead.
    #[track_caller]
    #[must_use]
    pub fn required_scopes(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        valid_or_panic(self.try_required_scopes(scopes))
    }

    /// [`required_scopes`](Self::required_scopes) for scopes from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] where `required_scopes` panics.
    pub fn try_required_scopes(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, BuildError> {
        self.require("required_scopes", Scopes::new(scopes).map(ScopeRequirement::from))
    }

    /// Requires one of `scopes`, in addition to earlier calls. Challenges name the first.
    ///
    /// # Panics
    /// If one of them is not a scope (RFC 6749, section 3.3), or if there is none. [`try_any_scope`](Self::try_any_scope)
    /// returns an error instead.
    #[track_caller]
    #[must_use]
    pub fn any_scope(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        valid_or_panic(self.try_any_scope(scopes))
    }

    /// [`any_scope`](Self::any_scope) for scopes from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] where `any_scope` panics.
    pub fn try_any_scope(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, BuildError> {
        self.require("any_scope", ScopeRequirement::any(scopes))
    }

    /// Which access tokens must be sender-constrained on this route, in place of the setting of the
    /// [server](crate::ResourceServerBuilder::sender_constraint).
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// # use mcp_bearer::testing::TestIssuer;
    /// use mcp_bearer::sender::SenderConstraint;
    /// use mcp_bearer::{BearerAuthLayer, ResourceServer};
    ///
    /// fn for_payments(server: &ResourceServer) -> BearerAuthLayer {
    ///     server.bearer_layer().required_scopes(["pay"]).sender_constraint(SenderConstraint::Dpop)
    /// }
    /// # let auth = TestIssuer::new("https://auth.example.com");
    /// # let builder = ResourceServer::builder("https://api.example.com/pay").issuer(auth.issuer());
    /// # for_payments(&builder.sender_constraint(SenderConstraint::Optional).build_lazy().unwrap());
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the server does not accept tokens that are bound in this way.
    /// [`try_sender_constraint`](Self::try_sender_constraint) returns an error instead.
    #[track_caller]
    #[must_use]
    pub fn sender_constraint(self, constraint: SenderConstraint) -> Self {
        valid_or_panic(self.try_sender_constraint(constraint))
    }

    /// [`sender_constraint`](Self::sender_constraint) for a value from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] where `sender_constraint` panics.
    pub fn try_sender_constraint(self, constraint: SenderConstraint) -> Result<Self, BuildError> {
        self.state.guard.sender.check(constraint)?;
        Ok(self.with_sender(|sender| sender.constraint = constraint))
    }

    /// Requires a nonce of this server in each DPoP proof on this route: see [`Dpop::require_nonces`](crate::sender::Dpop::require_nonces).
    /// It has no effect on requests with bearer tokens.
    ///
    /// # Panics
    /// If the server does not accept DPoP proofs. [`try_require_dpop_nonce`](Self::try_require_dpop_nonce) returns an error instead.
    #[track_caller]
    #[must_use]
    pub fn require_dpop_nonce(self) -> Self {
        valid_or_panic(self.try_require_dpop_nonce())
    }

    /// [`require_dpop_nonce`](Self::require_dpop_nonce), with an error in place of a panic.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] where `require_dpop_nonce` panics.
    pub fn try_require_dpop_nonce(self) -> Result<Self, BuildError> {
        self.state.guard.sender.check_nonces()?;
        Ok(self.with_sender(|sender| sender.nonces_required = true))
    }

    /// Accepts requests without an `Authorization` header. They have no [`AuthInfo`](crate::AuthInfo).
    ///
    /// A request with an `Authorization` header is judged as without this call, because its sender expects an identity. An
    /// invalid token is rejected, and so are an empty header and credentials of another scheme, such as `Basic`.
    #[must_use]
    pub fn allow_anonymous(self) -> Self {
        self.with(|state| state.anonymous_allowed = true)
    }

    /// Answers rejected requests with the response that `respond` makes.
    ///
    /// The layer then adds the challenge, `Cache-Control`, `Retry-After` and the [`Rejection`] in the extensions. If
    /// `respond` panics, the request gets the default response. A gRPC client gets only the headers of the response.
    #[must_use]
    pub fn on_rejection(self, respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.with(|state| state.on_rejection = Some(Arc::new(respond)))
    }

    /// The response to a rejected request, by [`on_rejection`](Self::on_rejection) if it was called.
    pub(crate) fn respond(&self, rejection: &Rejection) -> Response<Bytes> {
        rejection.to_response_by(self.state.on_rejection.as_ref())
    }

    pub(super) fn state(&self) -> &BearerState {
        &self.state
    }

    pub(crate) fn verifier(&self) -> &Arc<Verifier> {
        &self.state.verifier
    }

    fn require(self, setting: &str, requirement: Result<ScopeRequirement, InvalidScope>) -> Result<Self, BuildError> {
        let wrong = |message: String| BuildError::new(BuildErrorKind::Scope, message);
        let requirement = requirement.map_err(|error| wrong(error.to_string()))?;
        if requirement.scopes().next().is_none() {
            return Err(wrong(format!(
                "`{setting}` needs at least one scope: name it, or remove the call to accept every valid token"
            )));
        }
        self.state.guard.warn_of(&requirement);
        Ok(self.with(|state| {
            let required = state.guard.required.and(&requirement);
            state.guard = Arc::new(Guard { required, ..Guard::clone(&state.guard) });
        }))
    }

    fn with_sender(self, change: impl FnOnce(&mut SenderRules)) -> Self {
        self.with(|state| {
            let mut guard = Guard::clone(&state.guard);
            change(&mut guard.sender);
            state.guard = Arc::new(guard);
        })
    }

    fn with(self, change: impl FnOnce(&mut BearerState)) -> Self {
        let mut state = Arc::unwrap_or_clone(self.state);
        change(&mut state);
        Self { state: Arc::new(state) }
    }
}

impl<S> Layer<S> for BearerAuthLayer {
    type Service = BearerAuth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerAuth { inner, state: Arc::clone(&self.state) }
    }
}
