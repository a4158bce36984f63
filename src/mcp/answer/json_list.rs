use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};

use super::ending::BoxError;
use super::filtered::{MAX_ANSWER, View};

/// A JSON answer with a list. It is read as a whole before any of it leaves, because a list that cannot be read cannot be
/// filtered.
pub(in crate::mcp) struct JsonList<B> {
    body: Pin<Box<B>>,
    view: View,
    /// An answer that is not a success has no list as a rule, and passes even if it is not JSON.
    is_success: bool,
    held: BytesMut,
    trailers: Option<HeaderMap>,
    state: State,
}

enum State {
    Reading,
    Passing(Option<Bytes>),
    Unreadable,
    /// The error of the inner body.
    Failed(Option<BoxError>),
}

impl<B> JsonList<B> {
    pub(in crate::mcp) fn new(body: B, view: View, is_success: bool) -> Self {
        let (held, trailers, state) = (BytesMut::new(), None, State::Reading);
        Self { body: Box::pin(body), view, is_success, held, trailers, state }
    }

    pub(in crate::mcp) const fn is_unreadable(&self) -> bool {
        matches!(self.state, State::Unreadable)
    }

    pub(in crate::mcp) fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Passing(None) | State::Failed(None)) && self.trailers.is_none()
    }

    /// Decides what is passed on instead of the body.
    fn judge(&mut self) -> State {
        let text = std::mem::take(&mut self.held).freeze();
        let passing = |bytes: Bytes| State::Passing(Some(bytes).filter(|bytes| !bytes.is_empty()));
        if text.trim_ascii().is_empty() {
            return passing(text);
        }
        match self.view.filter(&text) {
            Ok(None) => passing(text),
            Ok(Some(filtered)) => passing(filtered.into()),
            Err(_) if !self.is_success => passing(text),
            Err(_) => {
                self.view
                    .report_unreadable("an answer with a list cannot be read as JSON-RPC: it is replaced by an error");
                State::Unreadable
            }
        }
    }
}

impl<B> JsonList<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Ready once all that matters has been read.
    pub(in crate::mcp) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let State::Reading = self.state {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() > MAX_ANSWER.saturating_sub(self.held.len()) => {
                        self.view.report_too_large();
                        self.state = State::Passing(Some(Bytes::from_static(TOO_LARGE)));
                    }
                    Ok(data) => self.held.extend_from_slice(&data),
                    Err(other) => self.trailers = other.into_trailers().ok(),
                },
                Some(Err(error)) => self.state = State::Failed(Some(error.into())),
                None => self.state = self.judge(),
            }
        }
        Poll::Ready(())
    }

    pub(in crate::mcp) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.poll_read(cx));
        Poll::Ready(match &mut self.state {
            State::Passing(bytes) => {
                bytes.take().map(Frame::data).or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok)
            }
            State::Failed(error) => error.take().map(Err),
            State::Unreadable => {
                self.state = State::Failed(None);
                Some(Err(UnreadableList.into()))
            }
            State::Reading => None,
        })
    }
}

impl<B> std::fmt::Debug for JsonList<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonList").finish_non_exhaustive()
    }
}

/// The end of an answer whose head had left before its body could be read.
#[derive(Debug, thiserror::Error)]
#[error("an answer with a list cannot be read as JSON-RPC")]
struct UnreadableList;

/// JSON-RPC 2.0, section 5.1: an internal error.
const TOO_LARGE: &[u8] = br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"The list is too large"}}"#;
