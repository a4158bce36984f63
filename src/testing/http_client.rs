use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use url::Url;

use super::state::IssuerState;
use crate::http_client::{HttpClient, HttpError, HttpErrorKind, HttpFuture, RequestLimits};

/// An [`HttpClient`] that reaches one [`TestIssuer`](super::TestIssuer) without a socket.
///
/// It also works after the issuer was dropped. A request to another origin fails with [`HttpErrorKind::Connect`] and is
/// counted by [`stray_requests`](super::TestIssuer::stray_requests).
#[derive(Clone)]
pub struct TestHttpClient {
    state: Arc<IssuerState>,
}

impl TestHttpClient {
    pub(super) const fn new(state: Arc<IssuerState>) -> Self {
        Self { state }
    }

    async fn exchange(&self, request: Request<Bytes>, limits: RequestLimits) -> Result<Response<Bytes>, HttpError> {
        let is_ours =
            Url::parse(&request.uri().to_string()).is_ok_and(|target| target.origin() == self.state.url.url().origin());
        if !is_ours {
            self.state.lock().log.stray();
            return Err(HttpError::new(HttpErrorKind::Connect));
        }
        if !self.state.is_up() {
            self.state.lock().log.refuse();
            return Err(HttpError::new(HttpErrorKind::Connect));
        }
        let answer = self.state.answer(request).await;
        match answer {
            Some(answer) if answer.body().len() > limits.body => Err(HttpError::new(HttpErrorKind::TooLarge)),
            Some(answer) => Ok(answer),
            None => Err(HttpError::new(HttpErrorKind::Other)),
        }
    }
}

impl HttpClient for TestHttpClient {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        Box::pin(self.exchange(request, limits))
    }
}

impl fmt::Debug for TestHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHttpClient").field("issuer", &self.state.url).finish_non_exhaustive()
    }
}
