use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response that passed the bearer layer: the body of the inner service, or of a response
    /// that the layer makes itself.
    #[derive(Debug)]
    pub struct BearerBody<B> {
        #[pin]
        source: ResponseSource<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = ResponseSourceProjection]
    enum ResponseSource<B> {
        Service { #[pin] body: B },
        Rejection { #[pin] body: Full<Bytes> },
    }
}

impl<B> BearerBody<B> {
    pub(crate) const fn from_service(body: B) -> Self {
        Self { source: ResponseSource::Service { body } }
    }

    pub(crate) fn from_rejection(bytes: Bytes) -> Self {
        Self { source: ResponseSource::Rejection { body: Full::new(bytes) } }
    }
}

/// An empty body, as layers such as `tower_http::timeout::TimeoutLayer` need.
impl<B> Default for BearerBody<B> {
    fn default() -> Self {
        Self::from_rejection(Bytes::new())
    }
}

impl<B: Body<Data = Bytes>> Body for BearerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().source.project() {
            ResponseSourceProjection::Service { body } => body.poll_frame(cx),
            ResponseSourceProjection::Rejection { body } => body.poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            ResponseSource::Service { body } => body.is_end_stream(),
            ResponseSource::Rejection { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            ResponseSource::Service { body } => body.size_hint(),
            ResponseSource::Rejection { body } => body.size_hint(),
        }
    }
}
