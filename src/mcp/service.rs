use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::decision::{AcceptedBody, missing_token};
use super::exchange::{Exchange, Listing, McpState};
use super::list::FilteredBody;
use super::request::{BodyReadError, BodyReader};
use super::{McpRequestBody, McpResponseBody, OperationFailure};
use crate::bearer::{Caller, Rejection};
use crate::error::BoxError;
use crate::events::RequestInfo;
use crate::scope::Scopes;
use crate::verify::Credential;

/// The service that [`McpLayer`](super::McpLayer) makes, inside of a [`BearerAuth`](crate::bearer::BearerAuth).
#[derive(Debug, Clone)]
pub struct McpAuth<S> {
    pub(super) inner: S,
    pub(super) state: Arc<McpState>,
}

pin_project! {
    /// The response future of [`McpAuth`].
    pub struct McpResponseFuture<S, B, R>
    where
        S: Service<Request<McpRequestBody<B>>>,
    {
        #[pin]
        stage: McpStage<S, B, S::Future, R>,
    }
}

pin_project! {
    #[project = McpStageProjection]
    enum McpStage<S, B, F, R> {
        Reading {
            #[pin]
            reader: BodyReader<B>,
            // Set once the body is not available at once.
            timeout: Option<Pin<Box<Sleep>>>,
            next: Option<Box<UnreadRequest<S>>>,
        },
        // `None` for a preflight.
        Calling { #[pin] future: F, exchange: Option<Box<Exchange>> },
        Listing { listing: Option<Box<Listing<R>>> },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// A request whose body is not read yet, and the service that is ready for it.
struct UnreadRequest<S> {
    service: S,
    parts: request::Parts,
    exchange: Box<Exchange>,
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
        let stage = if RequestInfo::from(&request).is_preflight() {
            // A preflight does not have a body.
            let future = self.inner.call(request.map(|_| McpRequestBody::default()));
            McpStage::Calling { future, exchange: None }
        } else {
            match self.state.admit(&mut request) {
                Err(rejection) => McpStage::Rejected { response: Some(self.state.bearer.respond(&rejection)) },
                // If a GET has a body, the handler might read it.
                Ok(exchange) if !carries_message(request.method()) && request.body().is_end_stream() => {
                    let future = self.inner.call(request.map(McpRequestBody::untouched));
                    McpStage::Calling { future, exchange: Some(exchange) }
                }
                Ok(exchange) => {
                    // The clone is not ready. The service that was polled ready is called later.
                    let clone = self.inner.clone();
                    let service = std::mem::replace(&mut self.inner, clone);
                    let (parts, body) = request.into_parts();
                    let reader = BodyReader::new(body, exchange.max_body());
                    let next = Some(Box::new(UnreadRequest { service, parts, exchange }));
                    McpStage::Reading { reader, timeout: None, next }
                }
            }
        };
        McpResponseFuture { stage }
    }
}

impl McpState {
    /// Decides about a request before its body is read.
    fn admit<B>(self: &Arc<Self>, request: &mut Request<B>) -> Result<Box<Exchange>, Rejection> {
        #[expect(clippy::expect_used, reason = "`McpLayer::layer` alone makes this service, inside of a `BearerAuth`")]
        let caller =
            Caller::from_extensions(request.extensions()).expect("the bearer layer outside accepted the request");
        let carries_message = carries_message(request.method());
        if let (Caller::Anonymous(guard), false) = (&caller, carries_message) {
            return Err(missing_token(guard, Scopes::EMPTY, RequestInfo::from(&*request)));
        }
        let credential = caller.guard().credentials.find(request.headers()).ok().map(Credential::to_owned);
        let mut session_owner = None;
        if let Some(sessions) = &self.sessions {
            session_owner = sessions.owner(request.headers(), &caller);
            let unbound = sessions.unbind_request(request.headers_mut(), session_owner.as_ref());
            unbound.map_err(|failure| {
                Rejection::for_operation(failure, None).logged(caller.guard(), Some(RequestInfo::from(&*request)))
            })?;
        }
        // A resumed stream may contain the response to a list request.
        let accepted = AcceptedBody { lists: !carries_message, ..AcceptedBody::default() };
        Ok(Box::new(Exchange { state: Arc::clone(self), caller, accepted, credential, session_owner }))
    }
}

const fn carries_message(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS)
}

impl<S, B, ResBody> Future for McpResponseFuture<S, B, ResBody>
where
    S: Service<Request<McpRequestBody<B>>, Response = Response<ResBody>>,
    B: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Output = Result<Response<McpResponseBody<ResBody>>, S::Error>;

    #[expect(clippy::expect_used, reason = "as `async fn`, the future panics if it is polled after completion")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let stage = match self.as_mut().project().stage.project() {
                McpStageProjection::Reading { reader, timeout, next } => {
                    let read = match reader.poll(cx) {
                        Poll::Ready(read) => read.map_err(|error| match error {
                            BodyReadError::TooLarge => OperationFailure::TooLarge,
                            BodyReadError::Body(_) => OperationFailure::Incomplete,
                        }),
                        Poll::Pending => {
                            let timeout = timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(READ_TIMEOUT)));
                            ready!(timeout.as_mut().poll(cx));
                            Err(OperationFailure::TooSlow)
                        }
                    };
                    let UnreadRequest { mut service, parts, mut exchange } =
                        *next.take().expect("`McpResponseFuture` polled after a panic");
                    match exchange.decide(RequestInfo::from(&parts), read) {
                        Ok(body) => {
                            let request = Request::from_parts(parts, McpRequestBody::read(body));
                            McpStage::Calling { future: service.call(request), exchange: Some(exchange) }
                        }
                        Err(rejection) => {
                            McpStage::Rejected { response: Some(exchange.state.bearer.respond(&rejection)) }
                        }
                    }
                }
                McpStageProjection::Calling { future, exchange } => {
                    let response = ready!(future.poll(cx))?;
                    let Some(exchange) = exchange.take() else {
                        let untouched = |body| McpResponseBody::from_service(FilteredBody::Untouched { body }, None);
                        return Poll::Ready(Ok(response.map(untouched)));
                    };
                    match exchange.respond(response) {
                        Ok(response) => return Poll::Ready(Ok(response)),
                        Err(listing) => McpStage::Listing { listing: Some(listing) },
                    }
                }
                McpStageProjection::Listing { listing } => {
                    if let Some(listing) = listing {
                        ready!(listing.poll_read(cx));
                    }
                    let listing = listing.take().expect("`McpResponseFuture` polled after completion");
                    return Poll::Ready(Ok(listing.respond()));
                }
                McpStageProjection::Rejected { response } => {
                    let response = response.take().expect("`McpResponseFuture` polled after completion");
                    return Poll::Ready(Ok(response.map(McpResponseBody::from_rejection)));
                }
            };
            self.as_mut().project().stage.set(stage);
        }
    }
}

impl<S, B, R> fmt::Debug for McpResponseFuture<S, B, R>
where
    S: Service<Request<McpRequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpResponseFuture").finish_non_exhaustive()
    }
}

/// How long the client may take for the whole body, from when the layer first waits for it.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
