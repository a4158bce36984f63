use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::admission::{BearerState, conclude};
use super::{BearerBody, Guard};
use crate::verify::PendingVerification;

pin_project! {
    /// The response future of [`BearerAuth`](super::BearerAuth) and of [`OriginCheck`](crate::origin::OriginCheck).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: ResponseStage<S, B, S::Future>,
    }
}

pin_project! {
    #[project = ResponseStageProjection]
    enum ResponseStage<S, B, F> {
        Verifying { verification: PendingVerification, next: Option<Box<PendingRequest<S, B>>> },
        Calling { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// A request that waits for the verification of its token, and the service that is ready for it.
pub(super) struct PendingRequest<S, B> {
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) state: Arc<BearerState>,
    pub(super) guard: Arc<Guard>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn inner(future: S::Future) -> Self {
        Self { stage: ResponseStage::Calling { future } }
    }

    pub(crate) const fn rejected(response: Response<Bytes>) -> Self {
        Self { stage: ResponseStage::Rejected { response: Some(response) } }
    }

    pub(super) fn pending(verification: PendingVerification, next: PendingRequest<S, B>) -> Self {
        Self { stage: ResponseStage::Verifying { verification, next: Some(Box::new(next)) } }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<BearerBody<ResBody>>, S::Error>;

    #[expect(clippy::expect_used, reason = "as `async fn`, the future panics if it is polled after completion")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let stage = match self.as_mut().project().stage.project() {
                ResponseStageProjection::Verifying { verification, next } => {
                    let verified = ready!(verification.as_mut().poll(cx));
                    let PendingRequest { mut service, mut request, state, guard } =
                        *next.take().expect("`ResponseFuture` polled after a panic");
                    match conclude(verified, guard) {
                        Ok(auth) => {
                            request.extensions_mut().insert(auth);
                            ResponseStage::Calling { future: service.call(request) }
                        }
                        Err(rejection) => {
                            ResponseStage::Rejected { response: Some(state.respond(&rejection, request.headers())) }
                        }
                    }
                }
                ResponseStageProjection::Calling { future } => {
                    return future.poll(cx).map_ok(|response| response.map(BearerBody::from_service));
                }
                ResponseStageProjection::Rejected { response } => {
                    let response = response.take().expect("`ResponseFuture` polled after completion");
                    return Poll::Ready(Ok(response.map(BearerBody::from_rejection)));
                }
            };
            self.as_mut().project().stage.set(stage);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
