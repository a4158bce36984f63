use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::boundaries::EventBoundaries;
use super::lifetime::TokenLifetime;

pin_project! {
    /// A body that ends with the access token. An event stream ends between two events; any other body ends with an error,
    /// so that no client takes it for complete.
    pub(super) struct EndingBody<B> {
        #[pin]
        body: B,
        end: Option<Box<StreamEnd>>,
    }
}

/// When and how a body ends with its access token.
pub(in crate::mcp) struct StreamEnd {
    lifetime: TokenLifetime,
    /// Only of an event stream that may end early.
    boundaries: Option<EventBoundaries>,
    phase: Phase,
    is_begun: bool,
}

enum Phase {
    TokenValid,
    /// The rest of an event that has begun may still pass, until the timer fires.
    LastEvent(Pin<Box<Sleep>>),
    Ended,
}

impl StreamEnd {
    /// `is_event_stream` is only for a stream without a known length: another one cannot end early without an error.
    pub(in crate::mcp) fn new(lifetime: TokenLifetime, is_event_stream: bool) -> Self {
        let boundaries = is_event_stream.then(EventBoundaries::new);
        Self { lifetime, boundaries, phase: Phase::TokenValid, is_begun: false }
    }

    /// Ready once nothing more may pass.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Phase::TokenValid = self.phase {
            ready!(self.lifetime.poll_end(cx));
            tracing::debug!(target: "mcp_bearer", "a streaming response ends with its access token");
            let is_inside_event = self.boundaries.as_ref().is_some_and(|boundaries| !boundaries.is_between_events());
            self.phase = match is_inside_event {
                true => Phase::LastEvent(Box::pin(tokio::time::sleep(LAST_EVENT))),
                false => Phase::Ended,
            };
        }
        match &mut self.phase {
            Phase::TokenValid => Poll::Pending,
            Phase::LastEvent(timer) => timer.as_mut().poll(cx),
            Phase::Ended => Poll::Ready(()),
        }
    }

    /// Ends the body: an event stream with nothing, any other body with an error.
    fn end(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.phase = Phase::Ended;
        self.boundaries.is_none().then(|| Err(TokenExpired.into()))
    }

    /// The part of `data` that may still pass.
    fn allowed(&mut self, mut data: Bytes) -> Bytes {
        let Some(boundaries) = &mut self.boundaries else { return data };
        match self.phase {
            Phase::TokenValid => _ = boundaries.follow(&data),
            Phase::LastEvent(_) => {
                if let Some(end) = boundaries.follow_to_end(&data) {
                    data.truncate(end);
                    self.phase = Phase::Ended;
                }
            }
            Phase::Ended => data.clear(),
        }
        data
    }
}

impl<B> EndingBody<B> {
    pub(super) fn new(body: B, end: Option<StreamEnd>) -> Self {
        Self { body, end: end.map(Box::new) }
    }
}

impl<B> Body for EndingBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(end) = this.end else { return this.body.poll_frame(cx).map_err(Into::into) };
        if end.boundaries.is_none()
            && !std::mem::replace(&mut end.is_begun, true)
            && let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx)
        {
            // A body that is available at once is sent as a whole, so nothing can be cut off.
            if frame.is_none() || this.body.is_end_stream() {
                *this.end = None;
            } else if end.poll_ended(cx).is_ready() {
                return Poll::Ready(end.end());
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if let Phase::Ended = end.phase {
            return Poll::Ready(None);
        }
        if end.poll_ended(cx).is_ready() {
            return Poll::Ready(end.end());
        }
        let Some(frame) = ready!(this.body.poll_frame(cx)) else { return Poll::Ready(None) };
        Poll::Ready(Some(match frame.map(Frame::into_data) {
            Ok(Ok(data)) => Ok(Frame::data(end.allowed(data))),
            Ok(Err(other)) => Ok(other),
            Err(error) => Err(error.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        let is_ended = self.end.as_ref().is_some_and(|end| matches!(end.phase, Phase::Ended));
        is_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.end {
            // An event stream may end without an error before it has this size.
            Some(end) if end.boundaries.is_some() => SizeHint::default(),
            _ => self.body.size_hint(),
        }
    }
}

impl<B> std::fmt::Debug for EndingBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndingBody").finish_non_exhaustive()
    }
}

/// Ends a response that is not an event stream.
#[derive(Debug, thiserror::Error)]
#[error("the access token expired before the response was complete")]
struct TokenExpired;

pub(in crate::mcp) type BoxError = Box<dyn StdError + Send + Sync>;

/// How long the last event of a stream may take to complete after the token has ended.
const LAST_EVENT: Duration = Duration::from_secs(5);
