use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tower_layer::Layer;

use super::McpAuth;
use super::scopes::Rules;
use super::session::{KEY_LENGTH, SessionBinding};
use crate::bearer::Guard;
use crate::bearer::{OnRejection, Rejection};
use crate::clock::Clock;
use crate::error::{BuildError, BuildErrorKind};
use crate::verify::ByIssuer;

/// Decides what a request may do by the MCP operation in it. It goes **inside** the bearer layer.
///
/// Made by [`ResourceServer::mcp_layer`](crate::ResourceServer::mcp_layer). A request that no bearer layer of the same
/// resource has let in is refused with 500, and the log says so.
///
/// In axum, the layer that is added first is the inner one:
///
/// ```
/// # #[cfg(all(feature = "axum", feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
/// # use axum::{Router, routing::post};
/// # use mcp_bearer::{Issuer, ResourceServer, mcp::McpScopes, testing::TestIssuer};
/// # let auth = TestIssuer::new("https://auth.example.com");
/// # let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer()).build_lazy().unwrap();
/// # let mcp = post(|| async {});
/// # (|| {
/// let scopes = McpScopes::new().tool("add_note", ["notes:write"]);
/// let app: Router = Router::new()
///     .route("/mcp", mcp)
///     .route_layer(server.mcp_layer(scopes)?.filter_lists(true))
///     .route_layer(server.bearer_layer().required_scopes(["mcp:tools"])?)
///     .merge(server.metadata_router());
/// # Ok::<(), mcp_bearer::BuildError>(()) })().unwrap(); }
/// ```
#[derive(Clone)]
#[must_use]
pub struct McpLayer {
    state: Arc<State>,
}

/// What all requests share.
#[derive(Clone)]
pub(super) struct State {
    pub(super) rules: Arc<Rules>,
    pub(super) server: ServerParts,
    pub(super) filters_lists: bool,
    pub(super) streams_may_outlive_token: bool,
    pub(super) revalidation_interval: Option<Duration>,
    pub(super) sessions: Option<Arc<SessionBinding>>,
    pub(super) max_body: usize,
    pub(super) max_anonymous_body: usize,
    pub(super) on_rejection: Option<OnRejection>,
}

/// What the layer needs of the server that made it.
#[derive(Clone)]
pub(crate) struct ServerParts {
    pub(crate) guard: Arc<Guard>,
    pub(crate) verifier: Arc<ByIssuer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) skew: Duration,
}

impl McpLayer {
    pub(crate) fn new(rules: Rules, server: ServerParts) -> Self {
        let state = State {
            rules: Arc::new(rules),
            server,
            filters_lists: false,
            streams_may_outlive_token: false,
            revalidation_interval: None,
            sessions: None,
            max_body: MAX_BODY,
            max_anonymous_body: MAX_ANONYMOUS_BODY,
            on_rejection: None,
        };
        Self { state: Arc::new(state) }
    }

    /// Leaves out of `tools/list`, `prompts/list`, `resources/list` and `resources/templates/list` what the caller could
    /// not use, and marks such answers with `cacheScope: "private"`. Off by default: a client that does not see a tool does
    /// not ask for the scope that it needs.
    ///
    /// An inner service must not compress these answers, nor the streams that clients open with GET: what is compressed
    /// cannot be filtered and is refused with 500. An answer to such a request that cannot be read as JSON-RPC is replaced by a
    /// 500 if its status is a success, and an event that cannot be read is left out. If the body of a JSON answer takes more
    /// than 10 s, the head goes ahead of it, and an error ends a body that cannot be read. Answers of more than 16 MiB are not
    /// passed on either.
    pub fn filter_lists(self, filter: bool) -> Self {
        self.with(|state| state.filters_lists = filter)
    }

    /// Lets responses continue after their token has expired. Without this call, a response ends with its token, at
    /// `exp` plus the clock skew: an event stream between two events, anything else with an error, so that nobody takes it for
    /// complete. An answer that announces its length ends with an error too.
    pub fn streams_may_outlive_token(self) -> Self {
        self.with(|state| state.streams_may_outlive_token = true)
    }

    /// While an answer goes on, asks the verifier again whether its token is good, every `interval` (up to a tenth earlier,
    /// so that streams do not ask all at once), and ends the answer if it is not. For introspected tokens this is what a
    /// revocation closes streams with. An outage ends an answer once its token could not be judged for `interval` plus one
    /// hour.
    ///
    /// 1 s to 1 h; off by default. Even with [`streams_may_outlive_token`](Self::streams_may_outlive_token), an expired token
    /// is not good, and ends its answers at the next question. Between two questions the
    /// [positive cache](crate::introspection::Introspection::positive_cache) of introspection answers as for any request.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if the interval is out of range.
    pub fn revalidate_streams(self, interval: Duration) -> Result<Self, BuildError> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            return Err(wrong(format!(
                "streams are revalidated every {interval:?}: give {MIN_INTERVAL:?} to {MAX_INTERVAL:?}"
            )));
        }
        Ok(self.with(|state| state.revalidation_interval = Some(interval)))
    }

    /// Binds `Mcp-Session-Id` (MCP up to 2025-11-25) to issuer, subject and client of who opened the session. Somebody else
    /// who shows it gets 404, as for a session that does not exist. Where a token has no `sub`, its `username` takes the place
    /// of the subject, as in some introspection answers; where it has neither, the session belongs to this one token.
    ///
    /// Nothing is stored: the id that clients see has an HMAC-SHA-256 in it. Its key is random, so that sessions end with
    /// the process; replicas need [`bind_sessions_with_key`](Self::bind_sessions_with_key). A session that was opened
    /// without a token belongs to nobody in particular, and ends for who logs in: clients then open another, as after any
    /// 404.
    ///
    /// A stream is resumed only together with its session: `Last-Event-ID` without `Mcp-Session-Id` is a 404 too. That an
    /// event belongs to the session is for the server's event store to check.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if this build has no cryptography, or the machine no randomness.
    pub fn bind_sessions(self) -> Result<Self, BuildError> {
        self.bind(SessionBinding::random())
    }

    /// [`bind_sessions`](Self::bind_sessions) with a key that replicas share: 32 random bytes that nobody else knows.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if the key has another length, or if this build has no cryptography.
    pub fn bind_sessions_with_key(self, key: &[u8]) -> Result<Self, BuildError> {
        let wrong_length = |_| wrong(format!("the session key has {} bytes: give {KEY_LENGTH} random ones", key.len()));
        let key: &[u8; KEY_LENGTH] = key.try_into().map_err(wrong_length)?;
        self.bind(SessionBinding::keyed(key))
    }

    /// The largest request body that is read, in bytes: 1 KiB to 64 MiB, 4 MiB by default. A larger one is answered with 413.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if it is out of range.
    pub fn max_body(self, bytes: usize) -> Result<Self, BuildError> {
        if !(LOWEST_MAX_BODY..=HIGHEST_MAX_BODY).contains(&bytes) {
            let message = format!("the largest body is {bytes} bytes: give {LOWEST_MAX_BODY} to {HIGHEST_MAX_BODY}");
            return Err(wrong(message));
        }
        Ok(self.with(|state| state.max_body = bytes))
    }

    /// The largest request body that is read of a caller without a token, in bytes, where the bearer layer
    /// [allows them](crate::BearerAuthLayer::allow_anonymous): 1 KiB to [`max_body`](Self::max_body), 64 KiB by default. A
    /// larger one is answered with 401 and the challenge, because a caller with a token may send more. Call `max_body` first
    /// to set more than 4 MiB; a smaller `max_body` bounds this one too.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`] if it is out of range.
    pub fn max_anonymous_body(self, bytes: usize) -> Result<Self, BuildError> {
        let highest = self.state.max_body;
        if !(LOWEST_MAX_BODY..=highest).contains(&bytes) {
            let message = format!(
                "the largest body of a caller without a token is {bytes} bytes: give {LOWEST_MAX_BODY} to {highest}, or raise \
                 `max_body` first"
            );
            return Err(wrong(message));
        }
        Ok(self.with(|state| state.max_anonymous_body = bytes))
    }

    /// Answers refusals with the response that `respond` makes of them, as
    /// [`BearerAuthLayer::on_rejection`](crate::BearerAuthLayer::on_rejection) does for those of the bearer layer.
    pub fn on_rejection(self, respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.with(|state| state.on_rejection = Some(Arc::new(respond)))
    }

    fn bind(self, binding: Option<SessionBinding>) -> Result<Self, BuildError> {
        let binding = binding.ok_or_else(|| {
            wrong("sessions cannot be bound: switch on the feature `aws-lc-rs` or `rust-crypto`".to_owned())
        })?;
        Ok(self.with(|state| state.sessions = Some(Arc::new(binding))))
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        let mut state = Arc::unwrap_or_clone(self.state);
        change(&mut state);
        Self { state: Arc::new(state) }
    }
}

impl State {
    pub(super) fn respond(&self, rejection: &Rejection) -> Response<Bytes> {
        rejection.to_response_by(self.on_rejection.as_ref())
    }
}

impl<S> Layer<S> for McpLayer {
    type Service = McpAuth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        McpAuth::new(inner, Arc::clone(&self.state))
    }
}

impl fmt::Debug for McpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpLayer")
            .field("rules", &self.state.rules)
            .field("filters_lists", &self.state.filters_lists)
            .finish_non_exhaustive()
    }
}

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Setting, message)
}

/// As much as the servers of the MCP SDKs take.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Messages without a token are public ones, such as `initialize`: they are short.
const MAX_ANONYMOUS_BODY: usize = 64 * 1024;
/// A request with a name and an id.
const LOWEST_MAX_BODY: usize = 1_024;
/// It is held in memory, once for each request.
const HIGHEST_MAX_BODY: usize = 64 * 1024 * 1024;
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
