use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tower_layer::Layer;

use super::McpAuth;
use super::exchange::McpState;
use super::scopes::Rules;
use super::session::SessionBinding;
use crate::bearer::{BearerAuth, BearerAuthLayer, Rejection};
use crate::clock::Clock;
use crate::crypto::Hmac;
use crate::error::{BuildError, BuildErrorKind, valid_or_panic};
use crate::sender::SenderConstraint;

/// Protects an MCP endpoint: verifies the access token, and decides by the MCP operation in the body.
///
/// The layer contains the bearer layer, so it is the only one that an MCP endpoint needs. Make it with
/// [`ResourceServer::mcp_layer`](crate::ResourceServer::mcp_layer) and add it with
/// [`Router::route_layer`](https://docs.rs/axum/latest/axum/struct.Router.html#method.route_layer):
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
/// use axum::{Router, routing::post};
/// use mcp_bearer::mcp::McpScopes;
/// use mcp_bearer::{AuthInfo, ResourceServer};
///
/// async fn endpoint(auth: AuthInfo) -> String {
///     format!("hello {:?}", auth.subject())
/// }
///
/// fn app(server: &ResourceServer) -> Router {
///     let scopes = McpScopes::new().tool("add_note", ["notes:write"]);
///     Router::new()
///         .route("/mcp", post(endpoint))
///         .route_layer(server.mcp_layer(scopes).required_scopes(["mcp:tools"]).filter_lists())
///         .merge(server.metadata_router())
/// }
/// # let auth = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
/// # let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer());
/// # app(&server.build_lazy().unwrap());
/// # }
/// ```
///
/// A bearer layer or another MCP layer of the same server may be outside of it, as in a router inside a router. A request
/// then needs the scopes of both.
#[derive(Debug, Clone)]
#[must_use]
pub struct McpLayer {
    state: Arc<McpState>,
}

impl McpLayer {
    pub(crate) fn new(bearer: BearerAuthLayer, rules: Rules, clock: Arc<dyn Clock>, skew: Duration) -> Self {
        let state = McpState {
            bearer,
            rules: Arc::new(rules),
            clock,
            skew,
            filters_lists: false,
            streams_may_outlive_token: false,
            revalidation_interval: None,
            sessions: None,
            max_body: MAX_BODY,
            max_anonymous_body: MAX_ANONYMOUS_BODY,
        };
        Self { state: Arc::new(state) }
    }

    /// Requires all of `scopes` for every request, in addition to the scopes of its operation.
    ///
    /// # Panics
    /// If one of them is not a scope (RFC 6749, section 3.3), or if there is none.
    /// [`try_required_scopes`](Self::try_required_scopes) returns an error instead.
    #[track_caller]
    pub fn required_scopes(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        valid_or_panic(self.try_required_scopes(scopes))
    }

    /// [`required_scopes`](Self::required_scopes) for scopes from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] where `required_scopes` panics.
    pub fn try_required_scopes(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, BuildError> {
        let bearer = self.state.bearer.clone().try_required_scopes(scopes)?;
        Ok(self.with(|state| state.bearer = bearer))
    }

    /// Requires one of `scopes` for every request, in addition to the scopes of its operation. Challenges name the first.
    ///
    /// # Panics
    /// If one of them is not a scope (RFC 6749, section 3.3), or if there is none. [`try_any_scope`](Self::try_any_scope)
    /// returns an error instead.
    #[track_caller]
    pub fn any_scope(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        valid_or_panic(self.try_any_scope(scopes))
    }

    /// [`any_scope`](Self::any_scope) for scopes from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] where `any_scope` panics.
    pub fn try_any_scope(self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, BuildError> {
        let bearer = self.state.bearer.clone().try_any_scope(scopes)?;
        Ok(self.with(|state| state.bearer = bearer))
    }

    /// Accepts requests without an `Authorization` header for [public](super::McpScopes::public) operations. Other
    /// operations are answered with a challenge.
    ///
    /// See [`BearerAuthLayer::allow_anonymous`] for what counts as anonymous.
    pub fn allow_anonymous(self) -> Self {
        self.with(|state| state.bearer = state.bearer.clone().allow_anonymous())
    }

    /// Which access tokens must be sender-constrained, in place of the setting of the server: see
    /// [`BearerAuthLayer::sender_constraint`]. [`McpScopes::sender_constrained`](super::McpScopes::sender_constrained) requires it
    /// for some operations only.
    ///
    /// # Panics
    /// If the server does not accept tokens that are bound in this way.
    /// [`try_sender_constraint`](Self::try_sender_constraint) returns an error instead.
    #[track_caller]
    pub fn sender_constraint(self, constraint: SenderConstraint) -> Self {
        valid_or_panic(self.try_sender_constraint(constraint))
    }

    /// [`sender_constraint`](Self::sender_constraint) for a value from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] where `sender_constraint` panics.
    pub fn try_sender_constraint(self, constraint: SenderConstraint) -> Result<Self, BuildError> {
        let bearer = self.state.bearer.clone().try_sender_constraint(constraint)?;
        Ok(self.with(|state| state.bearer = bearer))
    }

    /// Requires a nonce of this server in each DPoP proof: see [`BearerAuthLayer::require_dpop_nonce`].
    ///
    /// # Panics
    /// If the server does not accept DPoP proofs. [`try_require_dpop_nonce`](Self::try_require_dpop_nonce) returns an error instead.
    #[track_caller]
    pub fn require_dpop_nonce(self) -> Self {
        valid_or_panic(self.try_require_dpop_nonce())
    }

    /// [`require_dpop_nonce`](Self::require_dpop_nonce), with an error in place of a panic.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] where `require_dpop_nonce` panics.
    pub fn try_require_dpop_nonce(self) -> Result<Self, BuildError> {
        let bearer = self.state.bearer.clone().try_require_dpop_nonce()?;
        Ok(self.with(|state| state.bearer = bearer))
    }

    /// Answers rejected requests with the response that `respond` makes, as [`BearerAuthLayer::on_rejection`] does.
    pub fn on_rejection(self, respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.with(|state| state.bearer = state.bearer.clone().on_rejection(respond))
    }

    /// Removes from `tools/list`, `prompts/list`, `resources/list` and `resources/templates/list` what the caller may not
    /// use, and marks the response with `cacheScope: "private"`. Off by default: see the [guide](crate::guide::mcp_scopes).
    ///
    /// A compressed response cannot be filtered and becomes a 500, and so does a successful response that is not JSON-RPC. An
    /// event that is not JSON-RPC is left out. If a JSON body takes more than 10 s, its head is sent before it, and a body
    /// that is not JSON-RPC then ends with an error. Responses over 16 MiB are not passed on.
    pub fn filter_lists(self) -> Self {
        self.with(|state| state.filters_lists = true)
    }

    /// Lets responses continue after their access token has expired. Without this call, a response
    /// [ends](crate::guide::mcp_scopes) at `exp` plus the clock skew.
    pub fn streams_may_outlive_token(self) -> Self {
        self.with(|state| state.streams_may_outlive_token = true)
    }

    /// Verifies the access token of a streaming response again every `interval`, from 1 s to 1 h, and ends the response
    /// when the token is no longer valid. Off by default. The [guide](crate::guide::mcp_scopes) says which revocations are
    /// found.
    ///
    /// Each interval is shortened by up to a tenth, so that many streams do not ask at once. The
    /// [positive cache](crate::introspection::Introspection::positive_cache) answers as for any request. If the token cannot
    /// be verified for `interval` plus one hour, the response ends. An expired token is invalid even with
    /// [`streams_may_outlive_token`](Self::streams_may_outlive_token).
    ///
    /// # Panics
    /// If the interval is out of range. [`try_revalidate_streams`](Self::try_revalidate_streams) returns an error instead.
    #[track_caller]
    pub fn revalidate_streams(self, interval: Duration) -> Self {
        valid_or_panic(self.try_revalidate_streams(interval))
    }

    /// [`revalidate_streams`](Self::revalidate_streams) for an interval from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if the interval is out of range.
    pub fn try_revalidate_streams(self, interval: Duration) -> Result<Self, BuildError> {
        Self::check_interval(interval)?;
        Ok(self.with(|state| state.revalidation_interval = Some(interval)))
    }

    /// Binds each `Mcp-Session-Id` (MCP up to 2025-11-25) to the issuer, subject and client that opened the session, and to the key
    /// or the client certificate that their token is bound to. Another caller gets 404, as for a session that does not exist. The
    /// [guide](crate::guide::mcp_scopes) describes restarts and replicas.
    ///
    /// If a token has no `sub`, its `username` is used. If it has neither, the session belongs to this token alone. A session
    /// that was opened without a token ends when its user logs in. A request with `Last-Event-ID` and without
    /// `Mcp-Session-Id` gets 404 too. The server's event store must check that an event belongs to the session.
    ///
    /// # Panics
    /// In a build without a cryptography backend, or if the machine gives no random bytes.
    /// [`try_bind_sessions`](Self::try_bind_sessions) returns an error instead.
    #[track_caller]
    pub fn bind_sessions(self) -> Self {
        valid_or_panic(self.try_bind_sessions())
    }

    /// [`bind_sessions`](Self::bind_sessions), with an error in place of a panic.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] where `bind_sessions` panics.
    pub fn try_bind_sessions(self) -> Result<Self, BuildError> {
        self.bind(Hmac::random())
    }

    /// [`bind_sessions`](Self::bind_sessions) with a key that replicas share: 32 random bytes that only they know.
    ///
    /// # Panics
    /// In a build without a cryptography backend. [`try_bind_sessions_with_key`](Self::try_bind_sessions_with_key)
    /// returns an error instead.
    #[track_caller]
    pub fn bind_sessions_with_key(self, key: &[u8; 32]) -> Self {
        valid_or_panic(self.try_bind_sessions_with_key(key))
    }

    /// [`bind_sessions_with_key`](Self::bind_sessions_with_key), with an error in place of a panic.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] in a build without a cryptography backend.
    pub fn try_bind_sessions_with_key(self, key: &[u8; 32]) -> Result<Self, BuildError> {
        self.bind(Hmac::with_key(key))
    }

    /// Rejects request bodies over this size with 413: 1 KiB to 64 MiB, 4 MiB by default.
    ///
    /// # Panics
    /// If the size is out of range. [`try_max_body`](Self::try_max_body) returns an error instead.
    #[track_caller]
    pub fn max_body(self, bytes: usize) -> Self {
        valid_or_panic(self.try_max_body(bytes))
    }

    /// [`max_body`](Self::max_body) for a size from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if the size is out of range.
    pub fn try_max_body(self, bytes: usize) -> Result<Self, BuildError> {
        Self::check_max_body(bytes)?;
        Ok(self.with(|state| state.max_body = bytes))
    }

    /// Rejects request bodies over this size with a challenge if the request does not have an access token: 1 KiB to
    /// [`max_body`](Self::max_body), 64 KiB by default.
    ///
    /// It applies with [`allow_anonymous`](Self::allow_anonymous). Call `max_body` first to set more than 4 MiB. A smaller
    /// `max_body` limits these requests too.
    ///
    /// # Panics
    /// If the size is out of range. [`try_max_anonymous_body`](Self::try_max_anonymous_body) returns an error instead.
    #[track_caller]
    pub fn max_anonymous_body(self, bytes: usize) -> Self {
        valid_or_panic(self.try_max_anonymous_body(bytes))
    }

    /// [`max_anonymous_body`](Self::max_anonymous_body) for a size from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if the size is out of range.
    pub fn try_max_anonymous_body(self, bytes: usize) -> Result<Self, BuildError> {
        Self::check_max_anonymous_body(bytes, self.state.max_body)?;
        Ok(self.with(|state| state.max_anonymous_body = bytes))
    }

    pub(crate) fn check_interval(interval: Duration) -> Result<(), BuildError> {
        if (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            return Ok(());
        }
        Err(wrong(format!(
            "streams are revalidated every {} s; use between {} s and {} s",
            interval.as_secs_f64(),
            MIN_INTERVAL.as_secs(),
            MAX_INTERVAL.as_secs()
        )))
    }

    pub(crate) fn check_max_body(bytes: usize) -> Result<(), BuildError> {
        if (LOWEST_MAX_BODY..=HIGHEST_MAX_BODY).contains(&bytes) {
            return Ok(());
        }
        Err(wrong(format!("the largest body is {bytes} bytes: give {LOWEST_MAX_BODY} to {HIGHEST_MAX_BODY}")))
    }

    /// `highest` is the largest body of a request with a token.
    pub(crate) fn check_max_anonymous_body(bytes: usize, highest: usize) -> Result<(), BuildError> {
        if (LOWEST_MAX_BODY..=highest).contains(&bytes) {
            return Ok(());
        }
        Err(wrong(format!(
            "the largest body of a caller without a token is {bytes} bytes: give {LOWEST_MAX_BODY} to {highest}, or raise \
             `max_body` first"
        )))
    }

    fn bind(self, key: Option<Hmac>) -> Result<Self, BuildError> {
        let key = key.ok_or_else(|| {
            wrong("sessions cannot be bound: switch on the feature `aws-lc-rs` or `rust-crypto`".to_owned())
        })?;
        Ok(self.with(|state| state.sessions = Some(Arc::new(SessionBinding { key }))))
    }

    fn with(self, change: impl FnOnce(&mut McpState)) -> Self {
        let mut state = Arc::unwrap_or_clone(self.state);
        change(&mut state);
        Self { state: Arc::new(state) }
    }
}

impl<S> Layer<S> for McpLayer {
    type Service = BearerAuth<McpAuth<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        self.state.bearer.layer(McpAuth { inner, state: Arc::clone(&self.state) })
    }
}

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Setting, message)
}

/// The limit of the servers of the MCP SDKs.
pub(crate) const MAX_BODY: usize = 4 * 1024 * 1024;
/// Messages without a token are public ones, such as `initialize`, and short.
const MAX_ANONYMOUS_BODY: usize = 64 * 1024;
/// Enough for a request with a name and an id.
const LOWEST_MAX_BODY: usize = 1_024;
/// Each request holds its body in memory.
const HIGHEST_MAX_BODY: usize = 64 * 1024 * 1024;
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
