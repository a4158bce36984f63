use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::events::Boundaries;
use super::lifetime::Lifetime;

pin_project! {
    /// The body of an answer that ends with its lifetime: an event stream between two events, any other body with an
    /// error, so that nobody takes it for complete.
    pub(in crate::mcp) struct EndingBody<B> {
        #[pin]
        body: B,
        watch: Option<Box<Watch>>,
    }
}

/// What ends a body.
pub(in crate::mcp) struct Watch {
    lifetime: Lifetime,
    /// Of an event stream whose length is not known.
    boundaries: Option<Boundaries>,
    stage: Stage,
    is_begun: bool,
}

enum Stage {
    Alive,
    /// Only the event that is open goes on, and not for long.
    Ending(Pin<Box<Sleep>>),
    Over,
}

impl Watch {
    /// An event stream whose length is known cannot end early, so it is treated like any other response.
    pub(in crate::mcp) fn new(lifetime: Lifetime, is_event_stream: bool) -> Self {
        Self { lifetime, boundaries: is_event_stream.then(Boundaries::new), stage: Stage::Alive, is_begun: false }
    }

    fn is_inside_event(&self) -> bool {
        self.boundaries.as_ref().is_some_and(|boundaries| !boundaries.is_between_events())
    }

    /// Moves on as time does; ready once nothing more may come.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Alive = self.stage {
            ready!(self.lifetime.poll_end(cx));
            tracing::debug!(target: "mcp_bearer", "a stream ends with its token");
            self.stage = match self.is_inside_event() {
                true => Stage::Ending(Box::pin(tokio::time::sleep(LAST_EVENT))),
                false => Stage::Over,
            };
        }
        match &mut self.stage {
            Stage::Alive => Poll::Pending,
            Stage::Ending(grace) => grace.as_mut().poll(cx),
            Stage::Over => Poll::Ready(()),
        }
    }

    /// What a reader gets in the place of the rest.
    fn last_word(&self) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self.boundaries {
            Some(_) => None,
            None => Some(Err(TokenExpired.into())),
        }
    }

    /// What of `data` may still pass.
    fn pass(&mut self, mut data: Bytes) -> Bytes {
        let Some(boundaries) = &mut self.boundaries else { return data };
        match self.stage {
            Stage::Alive => _ = boundaries.follow(&data),
            Stage::Ending(_) => {
                if let Some(end) = boundaries.follow_to_end(&data) {
                    data.truncate(end);
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => data.clear(),
        }
        data
    }
}

impl<B> EndingBody<B> {
    pub(in crate::mcp) fn new(body: B, watch: Option<Watch>) -> Self {
        Self { body, watch: watch.map(Box::new) }
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
        let Some(watch) = this.watch else { return this.body.poll_frame(cx).map_err(Into::into) };
        if watch.boundaries.is_none()
            && !std::mem::replace(&mut watch.is_begun, true)
            && let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx)
        {
            // All of it is there at once, so nothing can be cut off.
            if frame.is_none() || this.body.is_end_stream() {
                *this.watch = None;
            } else if watch.poll_over(cx).is_ready() {
                watch.stage = Stage::Over;
                return Poll::Ready(watch.last_word());
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if let Stage::Over = watch.stage {
            return Poll::Ready(None);
        }
        if watch.poll_over(cx).is_ready() {
            watch.stage = Stage::Over;
            return Poll::Ready(watch.last_word());
        }
        let Some(frame) = ready!(this.body.poll_frame(cx)) else { return Poll::Ready(None) };
        Poll::Ready(Some(match frame.map(Frame::into_data) {
            Ok(Ok(data)) => Ok(Frame::data(watch.pass(data))),
            Ok(Err(other)) => Ok(other),
            Err(error) => Err(error.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        let is_over = self.watch.as_ref().is_some_and(|watch| matches!(watch.stage, Stage::Over));
        is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.watch {
            Some(watch) if watch.boundaries.is_some() => SizeHint::default(),
            // One that ends early ends with an error.
            _ => self.body.size_hint(),
        }
    }
}

impl<B> std::fmt::Debug for EndingBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndingBody").finish_non_exhaustive()
    }
}

/// The end of an answer that is no event stream.
#[derive(Debug, thiserror::Error)]
#[error("the access token expired before its answer was complete")]
struct TokenExpired;

pub(in crate::mcp) type BoxError = Box<dyn StdError + Send + Sync>;

/// How long an event may take that is being sent while its stream ends.
const LAST_EVENT: Duration = Duration::from_secs(5);
