use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::events::FilteredEvents;
use super::json::FilteredJson;
use crate::error::BoxError;

pin_project! {
    /// The body of a response, without what the caller may not use.
    #[derive(Debug)]
    #[project = FilteredBodyProjection]
    pub(in crate::mcp) enum FilteredBody<B> {
        /// It has no list.
        Untouched { #[pin] body: B },
        Json { json: Box<FilteredJson<B>> },
        Events { #[pin] events: FilteredEvents<B> },
    }
}

impl<B: Default> Default for FilteredBody<B> {
    fn default() -> Self {
        Self::Untouched { body: B::default() }
    }
}

impl<B> Body for FilteredBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            FilteredBodyProjection::Untouched { body } => body.poll_frame(cx).map_err(Into::into),
            FilteredBodyProjection::Json { json } => json.poll_frame(cx),
            FilteredBodyProjection::Events { events } => events.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Untouched { body } => body.is_end_stream(),
            Self::Json { json } => json.is_end_stream(),
            Self::Events { events } => events.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Untouched { body } => body.size_hint(),
            Self::Json { .. } | Self::Events { .. } => SizeHint::default(),
        }
    }
}
