use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::ending::{BoxError, EndingBody, StreamEnd};
use crate::bearer::BearerBody;
use crate::mcp::list::FilteredBody;

pin_project! {
    /// The body of a response that passed the MCP layer: the inner service's body, or the few bytes of a rejection.
    #[derive(Debug)]
    pub struct McpResponseBody<B> {
        #[pin]
        body: BearerBody<EndingBody<FilteredBody<B>>>,
    }
}

impl<B> McpResponseBody<B> {
    pub(in crate::mcp) fn from_service(body: FilteredBody<B>, end: Option<StreamEnd>) -> Self {
        Self { body: BearerBody::from_service(EndingBody::new(body, end)) }
    }

    pub(in crate::mcp) fn from_rejection(bytes: Bytes) -> Self {
        Self { body: BearerBody::from_rejection(bytes) }
    }
}

impl<B: Default> Default for McpResponseBody<B> {
    fn default() -> Self {
        Self::from_service(FilteredBody::default(), None)
    }
}

impl<B> Body for McpResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
