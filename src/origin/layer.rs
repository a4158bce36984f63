use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::AllowedOrigins;
use crate::bearer::{BearerBody, Rejection, ResponseFuture, log, readable_by};
use crate::failure::OperationFailure;
use crate::protection::Protection;

/// Rejects requests that a browser sends for a page of another origin than the allowed ones: 403.
///
/// Made by [`ResourceServer::allowed_origins`](crate::ResourceServer::allowed_origins).
#[derive(Clone)]
pub struct OriginLayer {
    origins: Arc<AllowedOrigins>,
    protection: Arc<Protection>,
}

impl OriginLayer {
    pub(crate) fn new(origins: AllowedOrigins, protection: Arc<Protection>) -> Self {
        Self { origins: Arc::new(origins), protection }
    }
}

impl<S> Layer<S> for OriginLayer {
    type Service = OriginCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginCheck { inner, origins: Arc::clone(&self.origins), protection: Arc::clone(&self.protection) }
    }
}

impl fmt::Debug for OriginLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginLayer").field("origins", &self.origins).finish_non_exhaustive()
    }
}

/// The service that [`OriginLayer`] makes.
#[derive(Clone)]
pub struct OriginCheck<S> {
    inner: S,
    origins: Arc<AllowedOrigins>,
    protection: Arc<Protection>,
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
        if self.origins.allow(request.headers()) {
            return ResponseFuture::inner(self.inner.call(request));
        }
        let rejection = Rejection::operation(OperationFailure::Origin, None);
        log::refused(&self.protection, &rejection, None);
        ResponseFuture::rejected(readable_by(request.headers(), &rejection, rejection.to_response()))
    }
}

impl<S: fmt::Debug> fmt::Debug for OriginCheck<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginCheck").field("inner", &self.inner).finish_non_exhaustive()
    }
}
