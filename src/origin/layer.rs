use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::AllowedOrigins;
use crate::bearer::{BearerBody, Guard, Rejection, ResponseFuture, log, readable_by};

/// Rejects requests that a browser sends for a page of another origin than the allowed ones: 403.
///
/// Made by [`ResourceServer::allowed_origins`](crate::ResourceServer::allowed_origins).
#[derive(Clone)]
pub struct OriginLayer {
    check: Arc<Check>,
}

/// What all requests share.
struct Check {
    origins: AllowedOrigins,
    guard: Arc<Guard>,
    rejection: Rejection,
}

impl OriginLayer {
    /// Answers a request with another origin with `rejection`.
    pub(crate) fn new(origins: AllowedOrigins, guard: Arc<Guard>, rejection: Rejection) -> Self {
        Self { check: Arc::new(Check { origins, guard, rejection }) }
    }
}

impl<S> Layer<S> for OriginLayer {
    type Service = OriginCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginCheck { inner, check: Arc::clone(&self.check) }
    }
}

impl fmt::Debug for OriginLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginLayer").field("origins", &self.check.origins).finish_non_exhaustive()
    }
}

/// The service that [`OriginLayer`] makes.
#[derive(Clone)]
pub struct OriginCheck<S> {
    inner: S,
    check: Arc<Check>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for OriginCheck<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<BearerBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Check { origins, guard, rejection } = self.check.as_ref();
        if origins.allow(request.headers()) {
            return ResponseFuture::inner(self.inner.call(request));
        }
        log::refused(guard, rejection, None);
        ResponseFuture::rejected(readable_by(request.headers(), rejection, rejection.to_response()))
    }
}

impl<S: fmt::Debug> fmt::Debug for OriginCheck<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginCheck").field("inner", &self.inner).finish_non_exhaustive()
    }
}
