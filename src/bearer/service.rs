use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::admission::{Admission, BearerState, remove_marks};
use super::future::PendingRequest;
use super::{BearerBody, ResponseFuture};

/// The service that [`BearerAuthLayer`](super::BearerAuthLayer) makes.
#[derive(Clone)]
pub struct BearerAuth<S> {
    inner: S,
    state: Arc<BearerState>,
}

impl<S> BearerAuth<S> {
    pub(super) const fn new(inner: S, state: Arc<BearerState>) -> Self {
        Self { inner, state }
    }
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
        // Only this layer decides who the caller is, so earlier marks are removed first.
        let outer = remove_marks(request.extensions_mut());
        match self.state.admit(request.method(), request.headers(), outer) {
            Admission::Unauthenticated(mark) => {
                request.extensions_mut().insert(mark);
                ResponseFuture::inner(self.inner.call(request))
            }
            Admission::Authenticated(auth) => {
                request.extensions_mut().insert(auth);
                ResponseFuture::inner(self.inner.call(request))
            }
            Admission::Rejected(rejection) => {
                ResponseFuture::rejected(self.state.respond(&rejection, request.headers()))
            }
            Admission::Pending(verification, guard) => {
                // The clone is not ready. The service that was polled ready is called later.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let next = PendingRequest { service: ready, request, state: Arc::clone(&self.state), guard };
                ResponseFuture::pending(verification, next)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for BearerAuth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth").field("inner", &self.inner).finish_non_exhaustive()
    }
}
