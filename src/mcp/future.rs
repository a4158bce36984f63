use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::decision::{decide, logged};
use super::exchange::{Exchange, HandlerResponse, Listing};
use super::list::FilteredBody;
use super::request::RequestReader;
use super::{McpRequestBody, McpResponseBody, OperationFailure};
use crate::bearer::{Caller, Rejection};
use crate::error::BoxError;
use crate::scope::Scopes;

pin_project! {
    /// The response future of [`McpAuth`](super::McpAuth).
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
        Reading { #[pin] reading: RequestReader<B>, next: Option<Box<UnreadRequest<S>>> },
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

impl<S, B, R> McpResponseFuture<S, B, R>
where
    S: Service<Request<McpRequestBody<B>>>,
    B: Body,
{
    pub(super) const fn untouched(future: S::Future) -> Self {
        Self { stage: McpStage::Calling { future, exchange: None } }
    }

    pub(super) const fn calling(future: S::Future, exchange: Box<Exchange>) -> Self {
        Self { stage: McpStage::Calling { future, exchange: Some(exchange) } }
    }

    pub(super) const fn rejected(response: Response<Bytes>) -> Self {
        Self { stage: McpStage::Rejected { response: Some(response) } }
    }

    pub(super) fn reading(body: B, service: S, parts: request::Parts, exchange: Box<Exchange>) -> Self {
        let state = &exchange.state;
        let limit = match exchange.caller {
            Caller::Anonymous(_) => state.max_anonymous_body.min(state.max_body),
            Caller::Token(_) => state.max_body,
        };
        let reading = RequestReader::new(body, limit);
        Self { stage: McpStage::Reading { reading, next: Some(Box::new(UnreadRequest { service, parts, exchange })) } }
    }
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
                McpStageProjection::Reading { reading, next } => {
                    let read = ready!(reading.poll(cx));
                    let UnreadRequest { mut service, parts, mut exchange } =
                        *next.take().expect("`McpResponseFuture` polled after a panic");
                    let failed = |failure| match (failure, &exchange.caller) {
                        // With a token, the limit may be higher.
                        (OperationFailure::TooLarge, Caller::Anonymous(guard)) => {
                            logged(guard, Rejection::missing_token(guard, Scopes::EMPTY))
                        }
                        (failure, caller) => logged(caller.guard(), Rejection::for_operation(failure, None)),
                    };
                    let allowed = read.map_err(failed).and_then(|read| {
                        let Exchange { state, caller, .. } = exchange.as_ref();
                        let accepted = decide(&state.rules, caller, &parts.headers, &read.bytes)?;
                        exchange.accepted = accepted.and(&exchange.accepted);
                        Ok(read)
                    });
                    match allowed {
                        Ok(read) => {
                            let request = Request::from_parts(parts, McpRequestBody::read(read));
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
                        HandlerResponse::Ready(response) => return Poll::Ready(Ok(response)),
                        HandlerResponse::Listing(listing) => McpStage::Listing { listing: Some(listing) },
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
