use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a request that passed the MCP layer: the same bytes and trailers that the client sent.
    #[derive(Debug)]
    pub struct McpRequestBody<B> {
        #[pin]
        source: BodySource<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = BodySourceProjection]
    enum BodySource<B> {
        Untouched { #[pin] body: B },
        Read { body: ReadBody },
    }
}

impl<B> McpRequestBody<B> {
    pub(in crate::mcp) const fn untouched(body: B) -> Self {
        Self { source: BodySource::Untouched { body } }
    }

    pub(in crate::mcp) const fn read(body: ReadBody) -> Self {
        Self { source: BodySource::Read { body } }
    }
}

/// An empty body.
impl<B> Default for McpRequestBody<B> {
    fn default() -> Self {
        Self::read(ReadBody::default())
    }
}

impl<B: Body<Data = Bytes>> Body for McpRequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().source.project() {
            BodySourceProjection::Untouched { body } => body.poll_frame(cx),
            BodySourceProjection::Read { body } => Poll::Ready(body.next_frame().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            BodySource::Untouched { body } => body.is_end_stream(),
            BodySource::Read { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            BodySource::Untouched { body } => body.size_hint(),
            BodySource::Read { body } => SizeHint::with_exact(u64::try_from(body.bytes.len()).unwrap_or(u64::MAX)),
        }
    }
}

/// A body that was read to its end: one frame of data and the trailers.
#[derive(Debug, Default)]
pub(in crate::mcp) struct ReadBody {
    pub(in crate::mcp) bytes: Bytes,
    pub(in crate::mcp) trailers: Option<Box<HeaderMap>>,
}

impl ReadBody {
    /// Takes the data, then the trailers.
    pub(in crate::mcp) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if self.bytes.is_empty() {
            self.trailers.take().map(|trailers| Frame::trailers(*trailers))
        } else {
            Some(Frame::data(std::mem::take(&mut self.bytes)))
        }
    }

    pub(in crate::mcp) fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }
}

pin_project! {
    /// Reads a body of at most `limit` bytes to its end.
    ///
    /// `http_body_util::Limited` and `Collected` bound the bytes but not the frames, and a frame of one byte takes 32 bytes
    /// of memory. This reader joins the frames as they arrive.
    pub(in crate::mcp) struct BodyReader<B> {
        #[pin]
        body: B,
        read: BytesMut,
        trailers: Option<Box<HeaderMap>>,
        limit: usize,
    }
}

/// Why a body was not read to its end.
pub(in crate::mcp) enum BodyReadError<E> {
    TooLarge,
    Body(E),
}

impl<B> BodyReader<B> {
    pub(in crate::mcp) fn new(body: B, limit: usize) -> Self {
        Self { body, read: BytesMut::new(), trailers: None, limit }
    }
}

impl<B: Body<Data = Bytes>> Future for BodyReader<B> {
    type Output = Result<ReadBody, BodyReadError<B::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // A body that announces a larger size is not read at all.
        if this.body.size_hint().lower() > u64::try_from(*this.limit).unwrap_or(u64::MAX) {
            return Poll::Ready(Err(BodyReadError::TooLarge));
        }
        while let Some(frame) = ready!(this.body.as_mut().poll_frame(cx)) {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    if data.len() > this.limit.saturating_sub(this.read.len()) {
                        return Poll::Ready(Err(BodyReadError::TooLarge));
                    }
                    if this.read.is_empty() {
                        // Does not copy the data if nothing else refers to it.
                        *this.read = data.into();
                    } else {
                        this.read.extend_from_slice(&data);
                    }
                }
                Ok(Err(other)) => *this.trailers = other.into_trailers().ok().map(Box::new),
                Err(error) => return Poll::Ready(Err(BodyReadError::Body(error))),
            }
        }
        Poll::Ready(Ok(ReadBody { bytes: std::mem::take(this.read).freeze(), trailers: this.trailers.take() }))
    }
}
