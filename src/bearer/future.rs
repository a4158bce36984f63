use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::layer::BearerState;
use super::service::conclude;
use super::{BearerBody, Guard};
use crate::verify::PendingVerification;

pin_project! {
    /// The response future of [`BearerAuth`](super::BearerAuth) and of [`OriginCheck`](crate::origin::OriginCheck).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        stage: Stage<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<S, B, F> {
        Verifying { verification: PendingVerification, next: Option<Box<Next<S, B>>> },
        Calling { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// What waits for the verification: the service that is ready, and the request for it.
pub(super) struct Next<S, B> {
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) state: Arc<BearerState>,
    /// The requirements of the route.
    pub(super) guard: Arc<Guard>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) const fn inner(future: S::Future) -> Self {
        Self { stage: Stage::Calling { future } }
    }

    pub(crate) const fn rejected(response: Response<Bytes>) -> Self {
        Self { stage: Stage::Rejected { response: Some(response) } }
    }

    pub(super) fn pending(verification: PendingVerification, next: Next<S, B>) -> Self {
        Self { stage: Stage::Verifying { verification, next: Some(Box::new(next)) } }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<BearerBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let stage = match self.as_mut().project().stage.project() {
                StageProjection::Verifying { verification, next } => {
                    let verified = ready!(verification.as_mut().poll(cx));
                    // Absent only if polled again after a panic of the inner service.
                    let Some(next) = next.take() else { return Poll::Pending };
                    let Next { mut service, mut request, state, guard } = *next;
                    match conclude(verified, guard) {
                        Ok(auth) => {
                            request.extensions_mut().insert(auth);
                            Stage::Calling { future: service.call(request) }
                        }
                        Err(rejection) => {
                            Stage::Rejected { response: Some(state.respond(&rejection, request.headers())) }
                        }
                    }
                }
                StageProjection::Calling { future } => {
                    return future.poll(cx).map_ok(|response| response.map(BearerBody::of_service));
                }
                StageProjection::Rejected { response } => {
                    // Absent only if polled again after it was ready.
                    let Some(response) = response.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(response.map(BearerBody::of_rejection)));
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
