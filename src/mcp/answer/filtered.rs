use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::events::Boundaries;
use super::listing;
use crate::bearer::log;
use crate::mcp::caller::Caller;
use crate::mcp::scopes::Rules;

pin_project! {
    /// The body of an answer, without what its reader could not use.
    #[derive(Debug)]
    pub(in crate::mcp) struct FilteredBody<B> {
        #[pin]
        body: B,
        filter: Option<Box<Filter>>,
    }
}

/// What is left out of an answer, and what of it is not complete yet.
#[derive(Debug)]
pub(in crate::mcp) struct Filter {
    view: View,
    shape: Shape,
    held: BytesMut,
    trailers: Option<HeaderMap>,
    is_done: bool,
}

/// What one caller can use.
pub(in crate::mcp) struct View {
    pub(in crate::mcp) rules: Arc<Rules>,
    pub(in crate::mcp) caller: Caller,
}

#[derive(Debug)]
enum Shape {
    Json,
    Events(Boundaries),
}

impl Filter {
    pub(in crate::mcp) fn json(view: View) -> Self {
        Self::new(view, Shape::Json)
    }

    pub(in crate::mcp) fn events(view: View) -> Self {
        Self::new(view, Shape::Events(Boundaries::new()))
    }

    fn new(view: View, shape: Shape) -> Self {
        Self { view, shape, held: BytesMut::new(), trailers: None, is_done: false }
    }

    /// Takes what came, and gives what is complete.
    fn take(&mut self, data: &[u8]) -> Option<Bytes> {
        let held = self.held.len();
        self.held.extend_from_slice(data);
        match &mut self.shape {
            Shape::Json => None,
            Shape::Events(boundaries) => {
                let end = boundaries.follow(data)?.saturating_add(held);
                Some(self.view.of_events(&self.held.split_to(end)))
            }
        }
    }

    /// Gives what is left at the end. An event that is not complete is none (WHATWG HTML, section 9.2.6).
    fn finish(&mut self) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        match self.shape {
            Shape::Json => Some(self.view.of_json(held)).filter(|bytes| !bytes.is_empty()),
            Shape::Events(_) => None,
        }
    }

    /// What is said in the place of an answer that is too large to be read.
    fn give_up(&mut self) -> Option<Bytes> {
        self.held.clear();
        log::misconfigured(
            self.view.caller.protection(),
            "large_list",
            "a response with a list is too large to be filtered",
        );
        match self.shape {
            Shape::Json => Some(Bytes::from_static(TOO_LARGE)),
            Shape::Events(_) => None,
        }
    }
}

impl View {
    fn of_json(&self, text: BytesMut) -> Bytes {
        match self.filter(&text) {
            Some(filtered) => filtered.into(),
            None => text.freeze(),
        }
    }

    fn of_events(&self, mut events: &[u8]) -> Bytes {
        let mut seen = Vec::with_capacity(events.len());
        let mut boundaries = Boundaries::new();
        while let Some((event, rest)) = boundaries.follow_to_end(events).and_then(|end| events.split_at_checked(end)) {
            self.push_event(event, &mut seen);
            events = rest;
        }
        seen.extend(events);
        seen.into()
    }

    fn push_event(&self, event: &[u8], seen: &mut Vec<u8>) {
        let lines = || event.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty());
        let data: Vec<_> = lines().filter_map(data_of).collect();
        let Some(filtered) = self.filter(&data.join(b"\n".as_slice())) else {
            seen.extend(event);
            return;
        };
        for line in lines().filter(|line| data_of(line).is_none()) {
            seen.extend([line, b"\n"].concat());
        }
        for line in filtered.split(|byte| *byte == b'\n') {
            seen.extend([b"data: ", line, b"\n"].concat());
        }
        seen.push(b'\n');
    }

    /// What is no JSON is no list either, and stays as it is.
    fn filter(&self, text: &[u8]) -> Option<Vec<u8>> {
        listing::filter(text, |kind, name| self.rules.lets_use(kind, name, &self.caller)).ok().flatten()
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:")?;
    Some(data.strip_prefix(b" ").unwrap_or(data))
}

impl<B> FilteredBody<B> {
    pub(in crate::mcp) fn new(body: B, filter: Option<Filter>) -> Self {
        Self { body, filter: filter.map(Box::new) }
    }
}

impl<B: Body<Data = Bytes>> Body for FilteredBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(filter) = this.filter else { return this.body.poll_frame(cx) };
        while !filter.is_done {
            let complete = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() > MAX_ANSWER.saturating_sub(filter.held.len()) => {
                        filter.is_done = true;
                        filter.give_up()
                    }
                    Ok(data) => filter.take(&data),
                    Err(other) => {
                        filter.trailers = other.into_trailers().ok();
                        None
                    }
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    filter.is_done = true;
                    filter.finish()
                }
            };
            if let Some(bytes) = complete {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(filter.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.filter {
            None => self.body.is_end_stream(),
            Some(filter) => filter.is_done && filter.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.filter {
            None => self.body.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

/// The most of an answer that is held to be filtered, in bytes: a list of ten thousand tools.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// JSON-RPC 2.0, section 5.1: an internal error.
const TOO_LARGE: &[u8] = br#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"The list is too large"}}"#;
