use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response that passed the bearer layer: the inner service's, or a refusal's few bytes.
    #[derive(Debug)]
    pub struct BearerBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = InnerProjection]
    enum Inner<B> {
        Service { #[pin] body: B },
        Rejection { bytes: Option<Bytes> },
    }
}

impl<B> BearerBody<B> {
    pub(crate) const fn of_service(body: B) -> Self {
        Self { inner: Inner::Service { body } }
    }

    pub(crate) fn of_rejection(bytes: Bytes) -> Self {
        Self { inner: Inner::Rejection { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()) } }
    }
}

/// An empty body, which layers such as `tower_http::timeout::TimeoutLayer` answer with.
impl<B> Default for BearerBody<B> {
    fn default() -> Self {
        Self::of_rejection(Bytes::new())
    }
}

impl<B> Body for BearerBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().inner.project() {
            InnerProjection::Service { body } => body.poll_frame(cx),
            InnerProjection::Rejection { bytes } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Service { body } => body.is_end_stream(),
            Inner::Rejection { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Service { body } => body.size_hint(),
            Inner::Rejection { bytes } => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}
