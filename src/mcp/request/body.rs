use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::mcp::OperationFailure;

pin_project! {
    /// The body of a request that passed the MCP layer: the bytes that came, read or not.
    #[derive(Debug)]
    pub struct McpRequestBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = InnerProjection]
    enum Inner<B> {
        Untouched { #[pin] body: B },
        Read { bytes: Option<Bytes>, trailers: Option<Box<HeaderMap>> },
    }
}

impl<B> McpRequestBody<B> {
    pub(in crate::mcp) const fn untouched(body: B) -> Self {
        Self { inner: Inner::Untouched { body } }
    }

    pub(in crate::mcp) const fn empty() -> Self {
        Self { inner: Inner::Read { bytes: None, trailers: None } }
    }

    pub(in crate::mcp) fn read(ReadBody { bytes, trailers }: ReadBody) -> Self {
        Self { inner: Inner::Read { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), trailers } }
    }
}

impl<B> Default for McpRequestBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B: Body<Data = Bytes>> Body for McpRequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().inner.project() {
            InnerProjection::Untouched { body } => body.poll_frame(cx),
            InnerProjection::Read { bytes, trailers } => {
                let frame = bytes
                    .take()
                    .map(Frame::data)
                    .or_else(|| trailers.take().map(|trailers| Frame::trailers(*trailers)));
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Untouched { body } => body.is_end_stream(),
            Inner::Read { bytes, trailers } => bytes.is_none() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Untouched { body } => body.size_hint(),
            Inner::Read { bytes, .. } => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}

/// All that a body held.
#[derive(Debug)]
pub(in crate::mcp) struct ReadBody {
    pub(in crate::mcp) bytes: Bytes,
    trailers: Option<Box<HeaderMap>>,
}

pin_project! {
    /// Reads a body to its end, within bounds of memory and time.
    pub(in crate::mcp) struct Reading<B> {
        #[pin]
        body: B,
        // The only frame, as it came, or all of them put together.
        first: Option<Bytes>,
        rest: BytesMut,
        trailers: Option<Box<HeaderMap>>,
        limit: usize,
        // Set once there is something to wait for.
        timeout: Option<Pin<Box<Sleep>>>,
    }
}

impl<B: Body> Reading<B> {
    pub(in crate::mcp) fn new(body: B, limit: usize) -> Self {
        Self { body, first: None, rest: BytesMut::new(), trailers: None, limit, timeout: None }
    }
}

impl<B: Body<Data = Bytes>> Future for Reading<B> {
    type Output = Result<ReadBody, OperationFailure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // What is announced to be too large need not be read.
        if this.body.size_hint().lower() > u64::try_from(*this.limit).unwrap_or(u64::MAX) {
            return Poll::Ready(Err(OperationFailure::TooLarge));
        }
        loop {
            let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx) else {
                let timeout = this.timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(TIMEOUT)));
                ready!(timeout.as_mut().poll(cx));
                return Poll::Ready(Err(OperationFailure::TooSlow));
            };
            let Some(frame) = frame else { break };
            let Ok(frame) = frame else { return Poll::Ready(Err(OperationFailure::Incomplete)) };
            match frame.into_data() {
                Ok(data) => {
                    let held = this.first.as_ref().map_or(this.rest.len(), Bytes::len);
                    if data.len() > this.limit.saturating_sub(held) {
                        return Poll::Ready(Err(OperationFailure::TooLarge));
                    }
                    if held == 0 {
                        *this.first = Some(data);
                    } else {
                        if let Some(first) = this.first.take() {
                            this.rest.extend_from_slice(&first);
                        }
                        this.rest.extend_from_slice(&data);
                    }
                }
                Err(other) => *this.trailers = other.into_trailers().ok().map(Box::new),
            }
        }
        let bytes = this.first.take().unwrap_or_else(|| std::mem::take(this.rest).freeze());
        Poll::Ready(Ok(ReadBody { bytes, trailers: this.trailers.take() }))
    }
}

/// For the whole body, from the moment at which it keeps us waiting.
const TIMEOUT: Duration = Duration::from_secs(30);
