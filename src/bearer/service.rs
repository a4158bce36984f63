use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::admission::{Admission, BearerState, conclude, remove_marks};
use super::sender_check::{PendingCaller, SenderChecks};
use super::{AuthInfo, BearerBody, Guard, Rejection};
use crate::events::RequestInfo;
use crate::resource::MetadataReach;
use crate::sender::DPOP_NONCE;

/// The service that [`BearerAuthLayer`](super::BearerAuthLayer) makes.
#[derive(Debug, Clone)]
pub struct BearerAuth<S> {
    pub(super) inner: S,
    pub(super) state: Arc<BearerState>,
}

pin_project! {
    /// The response future of [`BearerAuth`] and of [`OriginCheck`](crate::origin::OriginCheck).
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
        Verifying { verification: PendingCaller, next: Option<Box<PendingRequest<S, B>>> },
        // `nonces` is set if the response has a nonce for the next DPoP proof.
        Calling { #[pin] future: F, nonces: Option<Arc<SenderChecks>> },
        Preflight { #[pin] future: F, reach: Arc<MetadataReach> },
        // A rejection, or the metadata document.
        Answered { response: Option<Response<Bytes>> },
    }
}

/// A request that waits for the verification of its token, and the service whose `poll_ready` returned `Ready`.
struct PendingRequest<S, B> {
    service: S,
    request: Request<B>,
    state: Arc<BearerState>,
    guard: Arc<Guard>,
    started_at: Option<Instant>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for BearerAuth<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<BearerBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if self.state.metadata.is_asked_by(&request) {
            return ResponseFuture::answered(self.state.metadata.respond_covered(&request));
        }
        // An `AuthInfo` that the application inserted is removed, so that only this layer decides who the caller is.
        let outer = remove_marks(request.extensions_mut());
        self.state.guard.sender.remove_untrusted(request.headers_mut());
        let stage = match self.state.admit(RequestInfo::from(&request), request.extensions(), outer) {
            Admission::Unauthenticated(mark) => {
                request.extensions_mut().insert(mark);
                if RequestInfo::from(&request).is_preflight() {
                    let reach = Arc::clone(self.state.metadata.reach());
                    ResponseStage::Preflight { future: self.inner.call(request), reach }
                } else {
                    ResponseStage::Calling { future: self.inner.call(request), nonces: None }
                }
            }
            Admission::Decided(decision) => ResponseStage::decided(decision, &mut self.inner, request, &self.state),
            Admission::Pending(verification, guard, started_at) => {
                // The clone is not ready. The service that was polled ready is called later.
                let clone = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, clone);
                let state = Arc::clone(&self.state);
                let next = PendingRequest { service, request, state, guard, started_at };
                ResponseStage::Verifying { verification, next: Some(Box::new(next)) }
            }
        };
        ResponseFuture { stage }
    }
}

impl<S: Service<Request<B>>, B> ResponseStage<S, B, S::Future> {
    /// Calls the service, or rejects the request.
    fn decided(
        decision: Result<AuthInfo, Rejection>,
        service: &mut S,
        mut request: Request<B>,
        state: &BearerState,
    ) -> Self {
        match decision {
            Ok(auth) => {
                let nonces = auth.nonce_source();
                request.extensions_mut().insert(auth);
                Self::Calling { future: service.call(request), nonces }
            }
            Err(rejection) => Self::Answered { response: Some(state.respond(&rejection, request.headers())) },
        }
    }
}

impl<S: Service<Request<B>>, B> ResponseFuture<S, B> {
    pub(crate) const fn inner(future: S::Future) -> Self {
        Self { stage: ResponseStage::Calling { future, nonces: None } }
    }

    pub(crate) const fn answered(response: Response<Bytes>) -> Self {
        Self { stage: ResponseStage::Answered { response: Some(response) } }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<BearerBody<ResBody>>, S::Error>;

    #[expect(clippy::expect_used, reason = "like an `async fn`, the future panics if it is polled after completion")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let stage = match self.as_mut().project().stage.project() {
                ResponseStageProjection::Verifying { verification, next } => {
                    let verified = ready!(verification.as_mut().poll(cx));
                    let PendingRequest { mut service, request, state, guard, started_at } =
                        *next.take().expect("`ResponseFuture` polled again after a panic");
                    let decision = conclude(verified, guard, RequestInfo::from(&request), started_at);
                    ResponseStage::decided(decision, &mut service, request, &state)
                }
                ResponseStageProjection::Calling { future, nonces } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(nonce) = nonces.as_ref().and_then(|nonces| nonces.fresh_nonce()) {
                        let headers = response.headers_mut();
                        headers.insert(DPOP_NONCE, nonce);
                        // A cache would repeat an old nonce (RFC 9449, section 8.2). The handler may know better.
                        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
                    }
                    return Poll::Ready(Ok(response.map(BearerBody::from_service)));
                }
                ResponseStageProjection::Preflight { future, reach } => {
                    let response = ready!(future.poll(cx))?;
                    // If a CORS layer were outside, it would have answered the preflight.
                    if response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
                        reach.log_inner_cors();
                    }
                    return Poll::Ready(Ok(response.map(BearerBody::from_service)));
                }
                ResponseStageProjection::Answered { response } => {
                    let response = response.take().expect("`ResponseFuture` polled after completion");
                    return Poll::Ready(Ok(response.map(BearerBody::from_rejection)));
                }
            };
            self.as_mut().project().stage.set(stage);
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
