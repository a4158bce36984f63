use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tower_layer::Layer;

use super::{BearerAuth, Guard, OnRejection, Rejection};
use crate::error::{BuildError, BuildErrorKind};
use crate::scope::{InvalidScope, ScopeRequirement};
use crate::verify::ByIssuer;

/// Lets requests pass that carry a good access token, and puts [`AuthInfo`](crate::AuthInfo) into their extensions.
///
/// A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes without credentials, since a
/// browser sends none with it: what answers `OPTIONS` must do nothing but answer. A CORS layer outside this one answers
/// preflights before they get here.
///
/// Made by [`ResourceServer::bearer_layer`](crate::ResourceServer::bearer_layer). In axum, add it with
/// [`Router::route_layer`](https://docs.rs/axum/latest/axum/struct.Router.html#method.route_layer): with `layer`, paths
/// that do not exist answer 401 instead of 404, which clients that look for metadata do not understand.
///
/// It stands anywhere in a [`tower::ServiceBuilder`](https://docs.rs/tower/latest/tower/struct.ServiceBuilder.html). A layer
/// that a configuration may leave out needs one type of response with it and without it:
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
/// # use axum::{Router, response::IntoResponse, routing::get};
/// # use mcp_bearer::{ResourceServer, testing::TestIssuer};
/// use tower::util::{MapResponseLayer, option_layer};
///
/// # let auth = TestIssuer::new("https://auth.example.com");
/// # let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer()).build_lazy().unwrap();
/// # let is_protected = true;
/// let guard = is_protected.then(|| (MapResponseLayer::new(IntoResponse::into_response), server.bearer_layer()));
/// let app: Router = Router::new().route("/mcp", get(|| async {})).route_layer(option_layer(guard));
/// # }
/// ```
#[derive(Clone)]
pub struct BearerAuthLayer {
    state: Arc<State>,
}

/// What all requests share.
#[derive(Clone)]
pub(super) struct State {
    pub(super) verifier: Arc<ByIssuer>,
    pub(super) guard: Arc<Guard>,
    pub(super) anonymous_allowed: bool,
    pub(super) on_rejection: Option<OnRejection>,
}

impl BearerAuthLayer {
    pub(crate) fn new(verifier: Arc<ByIssuer>, guard: Arc<Guard>) -> Self {
        Self { state: Arc::new(State { verifier, guard, anonymous_allowed: false, on_rejection: None }) }
    }

    /// Requires all of `scopes`, besides what was required before.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] if one of them is not a scope (RFC 6749, section 3.3), or if there is none.
    pub fn required_scopes<I>(self, scopes: I) -> Result<Self, BuildError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.require("required_scopes", ScopeRequirement::all(scopes))
    }

    /// Requires one of `scopes`, besides what was required before. Challenges name the first.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] if one of them is no scope, or if there is none.
    pub fn any_scope<I>(self, scopes: I) -> Result<Self, BuildError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.require("any_scope", ScopeRequirement::any(scopes))
    }

    /// Lets requests pass that have no `Authorization` header, without `AuthInfo`.
    ///
    /// Every `Authorization` header is judged as without this call: an invalid token is rejected, and so are credentials of
    /// another scheme (`DPoP`, `Basic`) and an empty header. Their sender expects an identity, and must not be taken for
    /// nobody.
    #[must_use]
    pub fn allow_anonymous(self) -> Self {
        self.with(|state| state.anonymous_allowed = true)
    }

    /// Answers refusals with the response that `respond` makes of them. Challenge, `Cache-Control` and the
    /// [`Rejection`] in the extensions are put in afterwards, whatever it does. Where it panics, the request gets the
    /// response that it would get without this call. Of the response to a gRPC request only the headers are used.
    #[must_use]
    pub fn on_rejection(self, respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.with(|state| state.on_rejection = Some(Arc::new(respond)))
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

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        let mut state = Arc::unwrap_or_clone(self.state);
        change(&mut state);
        Self { state: Arc::new(state) }
    }
}

impl<S> Layer<S> for BearerAuthLayer {
    type Service = BearerAuth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerAuth::new(inner, Arc::clone(&self.state))
    }
}

impl fmt::Debug for BearerAuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuthLayer")
            .field("guard", &self.state.guard)
            .field("anonymous_allowed", &self.state.anonymous_allowed)
            .finish_non_exhaustive()
    }
}
