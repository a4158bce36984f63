use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::events::FilteredEvents;
use super::filter::{ListFilter, MAX_HELD};
use super::observed::ObservedList;
use crate::error::BoxError;
use crate::mcp::request::{BodyReadError, BodyReader, ReadBody};

pin_project! {
    /// The body of a response, without what the caller may not use.
    #[derive(Debug)]
    #[project = FilteredBodyProjection]
    pub(in crate::mcp) enum FilteredBody<B> {
        /// It does not contain a list.
        Untouched { #[pin] body: B },
        /// A list that is passed on as it is, and compared with the rules.
        Observed { #[pin] list: ObservedList<B> },
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
            FilteredBodyProjection::Observed { list } => list.poll_frame(cx),
            FilteredBodyProjection::Json { json } => json.poll_frame(cx),
            FilteredBodyProjection::Events { events } => events.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Untouched { body } => body.is_end_stream(),
            Self::Observed { list } => list.is_end_stream(),
            Self::Json { json } => json.is_end_stream(),
            Self::Events { events } => events.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Untouched { body } => body.size_hint(),
            Self::Observed { list } => list.size_hint(),
            Self::Json { .. } | Self::Events { .. } => SizeHint::default(),
        }
    }
}

/// The body of a JSON response with a list. It is read to its end before any of it is sent, because a body that cannot be
/// parsed cannot be filtered.
pub(in crate::mcp) struct FilteredJson<B> {
    filter: ListFilter,
    /// A response without success, such as a proxy's, may be sent even if it is not JSON.
    is_success: bool,
    progress: Progress<B>,
}

enum Progress<B> {
    Reading(Pin<Box<BodyReader<B>>>),
    Sending(ReadBody),
    Failed(Option<BoxError>),
}

impl<B> FilteredJson<B> {
    pub(in crate::mcp) fn new(body: B, filter: ListFilter, is_success: bool) -> Self {
        Self { filter, is_success, progress: Progress::Reading(Box::pin(BodyReader::new(body, MAX_HELD))) }
    }

    /// Whether the body was read and cannot be parsed.
    pub(in crate::mcp) fn is_unreadable(&self) -> bool {
        matches!(&self.progress, Progress::Failed(Some(error)) if error.is::<UnreadableList>())
    }

    fn is_end_stream(&self) -> bool {
        match &self.progress {
            Progress::Reading(_) => false,
            Progress::Sending(body) => body.is_end_stream(),
            Progress::Failed(error) => error.is_none(),
        }
    }

    /// Filters `body`, and decides what is sent.
    fn filtered(&self, mut body: ReadBody) -> Progress<B> {
        if !body.bytes.trim_ascii().is_empty() {
            match self.filter.filter(&body.bytes) {
                Ok(Some(filtered)) => body.bytes = filtered.into(),
                Ok(None) => {}
                Err(_) if !self.is_success => {}
                Err(error) => {
                    self.filter.report(
                        "unreadable_list",
                        "a response with a list is not valid JSON-RPC: an error is sent in its place",
                    );
                    return Progress::Failed(Some(UnreadableList(error).into()));
                }
            }
        }
        Progress::Sending(body)
    }
}

impl<B> FilteredJson<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Ready once the body is read or has failed.
    pub(in crate::mcp) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Progress::Reading(reader) = &mut self.progress else { return Poll::Ready(()) };
        self.progress = match ready!(reader.as_mut().poll(cx)) {
            Ok(body) => self.filtered(body),
            Err(BodyReadError::TooLarge) => {
                self.filter.report("large_list", "a response with a list is too large to be filtered");
                Progress::Sending(ReadBody { bytes: Bytes::from_static(TOO_LARGE), trailers: None })
            }
            Err(BodyReadError::Body(error)) => Progress::Failed(Some(error.into())),
        };
        Poll::Ready(())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.poll_read(cx));
        match &mut self.progress {
            Progress::Reading(_) => Poll::Pending,
            Progress::Sending(body) => Poll::Ready(body.next_frame().map(Ok)),
            Progress::Failed(error) => Poll::Ready(error.take().map(Err)),
        }
    }
}

impl<B> fmt::Debug for FilteredJson<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilteredJson").finish_non_exhaustive()
    }
}

/// Ends a response whose status was sent before its body could be parsed.
#[derive(Debug, thiserror::Error)]
#[error("a response with a list is not valid JSON-RPC")]
struct UnreadableList(#[source] serde_json::Error);

/// JSON-RPC 2.0, section 5.1: an internal error.
const TOO_LARGE: &[u8] = br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"The list is too large"}}"#;
