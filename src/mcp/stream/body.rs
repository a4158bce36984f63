use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::sleep;

use super::boundaries::EventBoundaries;
use super::lifetime::TokenEnd;
use crate::bearer::BearerBody;
use crate::error::BoxError;
use crate::mcp::list::FilteredBody;

pin_project! {
    /// The body of a response that passed the MCP layer: the inner service's body, or the few bytes of a rejection.
    ///
    /// It ends with the access token of its request. An event stream ends between two events; any other body ends with an
    /// error, so that no client takes it for complete.
    #[derive(Debug)]
    pub struct McpResponseBody<B> {
        #[pin]
        body: BearerBody<FilteredBody<B>>,
        end: Option<Box<StreamEnd>>,
    }
}

/// When and how a body ends with its access token.
pub(in crate::mcp) struct StreamEnd {
    /// Ready when the token ends, and in the phase `LastEvent` when the last event has taken too long.
    timer: TokenEnd,
    /// Only of an event stream that may end early.
    boundaries: Option<EventBoundaries>,
    phase: Phase,
    /// Nothing has been read of a body that is not an event stream.
    is_unread: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    TokenValid,
    /// The rest of an event that has begun may still pass.
    LastEvent,
    Ended,
}

impl StreamEnd {
    /// `is_event_stream` is only for a stream without a known length: another one cannot end early without an error.
    pub(in crate::mcp) fn new(token: TokenEnd, is_event_stream: bool) -> Self {
        let boundaries = is_event_stream.then(EventBoundaries::new);
        Self { timer: token, boundaries, phase: Phase::TokenValid, is_unread: !is_event_stream }
    }

    /// Ready once nothing more may pass.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.phase != Phase::Ended {
            ready!(self.timer.poll(cx));
            let is_inside_event = self.boundaries.as_ref().is_some_and(|boundaries| !boundaries.is_between_events());
            self.phase = if is_inside_event && self.phase == Phase::TokenValid {
                self.timer = TokenEnd::new(sleep(LAST_EVENT));
                Phase::LastEvent
            } else {
                Phase::Ended
            };
        }
        Poll::Ready(())
    }

    /// The end of the body: nothing for an event stream, an error for any other body.
    fn last_frame(&self) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.boundaries.is_none().then(|| Err(TokenEnded.into()))
    }

    /// The part of `data` that may still pass.
    fn allowed(&mut self, mut data: Bytes) -> Bytes {
        match (&mut self.boundaries, self.phase) {
            (None, _) => {}
            (Some(boundaries), Phase::TokenValid) => _ = boundaries.follow(&data),
            (Some(boundaries), _) => {
                if let Some(end) = boundaries.follow_to_end(&data) {
                    data.truncate(end);
                    self.phase = Phase::Ended;
                }
            }
        }
        data
    }
}

impl<B> McpResponseBody<B> {
    pub(in crate::mcp) fn from_service(body: FilteredBody<B>, end: Option<StreamEnd>) -> Self {
        Self { body: BearerBody::from_service(body), end: end.map(Box::new) }
    }

    pub(in crate::mcp) fn from_rejection(bytes: Bytes) -> Self {
        Self { body: BearerBody::from_rejection(bytes), end: None }
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
        let mut this = self.project();
        let Some(end) = this.end else { return this.body.poll_frame(cx) };
        let is_first = std::mem::take(&mut end.is_unread);
        if is_first && let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx) {
            // A body that is available at once is sent as a whole, so nothing can be cut off.
            if frame.is_none() || this.body.is_end_stream() {
                *this.end = None;
            } else if end.poll_ended(cx).is_ready() {
                return Poll::Ready(end.last_frame());
            }
            return Poll::Ready(frame);
        }
        if end.phase == Phase::Ended {
            return Poll::Ready(None);
        }
        if end.poll_ended(cx).is_ready() {
            return Poll::Ready(end.last_frame());
        }
        let frame = ready!(this.body.poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|data| end.allowed(data)))))
    }

    fn is_end_stream(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.phase == Phase::Ended) || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.end {
            // An event stream may end without an error before it has this size.
            Some(end) if end.boundaries.is_some() => SizeHint::default(),
            _ => self.body.size_hint(),
        }
    }
}

impl fmt::Debug for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEnd").finish_non_exhaustive()
    }
}

/// Ends a response that is not an event stream.
#[derive(Debug, thiserror::Error)]
#[error("the access token expired or was revoked before the response was complete")]
struct TokenEnded;

/// How long the last event of a stream may take to complete after the token has ended.
const LAST_EVENT: Duration = Duration::from_secs(5);
