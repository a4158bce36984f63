use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::decision::{AcceptedBody, logged};
use super::exchange::{Exchange, McpState};
use super::{McpRequestBody, McpResponseBody, McpResponseFuture, OperationFailure};
use crate::bearer::{BearerToken, Caller, Rejection, is_preflight};
use crate::error::BoxError;
use crate::scope::Scopes;

/// The service that [`McpLayer`](super::McpLayer) makes, inside of a [`BearerAuth`](crate::bearer::BearerAuth).
#[derive(Clone)]
pub struct McpAuth<S> {
    inner: S,
    state: Arc<McpState>,
}

impl<S> McpAuth<S> {
    pub(super) const fn new(inner: S, state: Arc<McpState>) -> Self {
        Self { inner, state }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for McpAuth<S>
where
    S: Service<Request<McpRequestBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<McpResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = McpResponseFuture<S, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let state = &self.state;
        match state.admit(&mut request) {
            // A preflight does not have a body.
            McpAdmission::Preflight => {
                McpResponseFuture::untouched(self.inner.call(request.map(|_| McpRequestBody::default())))
            }
            McpAdmission::Rejected(rejection) => McpResponseFuture::rejected(state.bearer.respond(&rejection)),
            McpAdmission::Unread(exchange) => {
                McpResponseFuture::calling(self.inner.call(request.map(McpRequestBody::untouched)), exchange)
            }
            McpAdmission::ToBeRead(exchange) => {
                // The clone is not ready. The service that was polled ready is called later.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let (parts, body) = request.into_parts();
                McpResponseFuture::reading(body, ready, parts, exchange)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for McpAuth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAuth").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// The decision about a request before its body is read.
enum McpAdmission {
    Preflight,
    Rejected(Rejection),
    Unread(Box<Exchange>),
    ToBeRead(Box<Exchange>),
}

impl McpState {
    fn admit<B: Body>(self: &Arc<Self>, request: &mut Request<B>) -> McpAdmission {
        if is_preflight(request.method(), request.headers()) {
            return McpAdmission::Preflight;
        }
        #[expect(clippy::expect_used, reason = "`McpLayer::layer` alone makes this service, inside of a `BearerAuth`")]
        let caller =
            Caller::from_extensions(request.extensions()).expect("the bearer layer outside accepted the request");
        let carries_message =
            !matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
        if let (Caller::Anonymous(guard), false) = (&caller, carries_message) {
            return McpAdmission::Rejected(logged(guard, Rejection::missing_token(guard, Scopes::EMPTY)));
        }
        let token = self.revalidation_interval.and_then(|_| BearerToken::from_headers(request.headers()).ok());
        let mut session_owner = None;
        if let Some(sessions) = &self.sessions {
            session_owner = sessions.owner(request.headers(), &caller);
            if sessions.unbind_request(request.headers_mut(), session_owner.as_ref()).is_err() {
                let rejection = Rejection::for_operation(OperationFailure::UnknownSession, None);
                return McpAdmission::Rejected(logged(caller.guard(), rejection));
            }
        }
        // A resumed stream may contain the response to a list request.
        let accepted = AcceptedBody { lists: !carries_message, ..AcceptedBody::default() };
        let exchange = Box::new(Exchange { state: Arc::clone(self), caller, accepted, token, session_owner });
        // If a GET has a body, the handler might read it.
        let is_bare = !carries_message && request.body().is_end_stream();
        if is_bare { McpAdmission::Unread(exchange) } else { McpAdmission::ToBeRead(exchange) }
    }
}
