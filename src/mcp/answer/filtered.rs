use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::ending::BoxError;
use super::events::Boundaries;
use super::json_list::JsonList;
use super::listing;
use super::splice::NotJson;
use crate::bearer::log;
use crate::mcp::caller::Caller;
use crate::mcp::scopes::Rules;

pin_project! {
    /// The body of an answer, without what its reader could not use.
    #[derive(Debug)]
    pub(in crate::mcp) struct FilteredBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = InnerProjection]
    enum Inner<B> {
        Untouched { #[pin] body: B },
        Json { list: Box<JsonList<B>> },
        Events { #[pin] body: B, filter: Box<EventFilter> },
    }
}

/// What one caller can use.
pub(in crate::mcp) struct View {
    pub(in crate::mcp) rules: Arc<Rules>,
    pub(in crate::mcp) caller: Caller,
}

/// The filter of an event stream, and the event that is not complete yet.
#[derive(Debug)]
struct EventFilter {
    view: View,
    boundaries: Boundaries,
    held: BytesMut,
    trailers: Option<HeaderMap>,
    is_at_start: bool,
    is_done: bool,
    has_passed: bool,
    has_dropped: bool,
}

impl EventFilter {
    fn new(view: View) -> Self {
        let (boundaries, held) = (Boundaries::new(), BytesMut::new());
        Self {
            view,
            boundaries,
            held,
            trailers: None,
            is_at_start: true,
            is_done: false,
            has_passed: false,
            has_dropped: false,
        }
    }

    /// Takes what came, and gives the events that are complete.
    fn take(&mut self, data: &[u8]) -> Option<Bytes> {
        let held = self.held.len();
        self.held.extend_from_slice(data);
        let end = self.boundaries.follow(data)?.saturating_add(held);
        let complete = self.held.split_to(end);
        let is_at_start = std::mem::take(&mut self.is_at_start);
        // Readers drop a byte order mark (WHATWG HTML, section 9.2.5), and take what follows it for the first line.
        let events = complete.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_at_start).unwrap_or(&complete);
        Some(self.filtered(events))
    }

    fn filtered(&mut self, mut events: &[u8]) -> Bytes {
        let mut seen = Vec::with_capacity(events.len());
        let mut boundaries = Boundaries::new();
        while let Some((event, rest)) = boundaries.follow_to_end(events).and_then(|end| events.split_at_checked(end)) {
            // Nothing may come to stand at the start that would be dropped there: what follows it is another line then.
            if !self.has_passed && seen.is_empty() && event.starts_with(BYTE_ORDER_MARK) {
                seen.push(b'\n');
            }
            if self.view.push_event(event, &mut seen).is_err() && !std::mem::replace(&mut self.has_dropped, true) {
                self.view.report_unreadable(
                    "an event of a stream that may hold lists cannot be read as JSON-RPC: it is left out",
                );
            }
            events = rest;
        }
        seen.extend(events);
        self.has_passed |= !seen.is_empty();
        seen.into()
    }
}

impl View {
    /// What is left of `text`; `None` if all of it is.
    pub(super) fn filter(&self, text: &[u8]) -> Result<Option<Vec<u8>>, NotJson> {
        listing::filter(text, |kind, name| self.rules.lets_use(kind, name, &self.caller))
    }

    pub(super) fn report_too_large(&self) {
        log::misconfigured(self.caller.guard(), "large_list", "a response with a list is too large to be filtered");
    }

    pub(super) fn report_unreadable(&self, what: &'static str) {
        log::misconfigured(self.caller.guard(), "unreadable_list", what);
    }

    /// Adds what is left of an event, which is nothing if its data cannot be read. An event without data says nothing.
    fn push_event(&self, event: &[u8], seen: &mut Vec<u8>) -> Result<(), NotJson> {
        let lines = || event.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty());
        let data = lines().filter_map(data_of).collect::<Vec<_>>().join(b"\n".as_slice());
        let filtered = if data.trim_ascii().is_empty() { None } else { self.filter(&data)? };
        let Some(filtered) = filtered else {
            seen.extend(event);
            return Ok(());
        };
        for line in lines().filter(|line| data_of(line).is_none()) {
            seen.extend([line, b"\n"].concat());
        }
        for line in filtered.split(|byte| *byte == b'\n') {
            seen.extend([b"data: ", line, b"\n"].concat());
        }
        seen.push(b'\n');
        Ok(())
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
    pub(in crate::mcp) const fn untouched(body: B) -> Self {
        Self { inner: Inner::Untouched { body } }
    }

    pub(in crate::mcp) const fn json(list: Box<JsonList<B>>) -> Self {
        Self { inner: Inner::Json { list } }
    }

    pub(in crate::mcp) fn events(body: B, view: View) -> Self {
        Self { inner: Inner::Events { body, filter: Box::new(EventFilter::new(view)) } }
    }
}

impl<B: Default> Default for FilteredBody<B> {
    fn default() -> Self {
        Self::untouched(B::default())
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
        let (mut body, filter) = match self.project().inner.project() {
            InnerProjection::Untouched { body } => return body.poll_frame(cx).map_err(Into::into),
            InnerProjection::Json { list } => return list.poll_frame(cx),
            InnerProjection::Events { body, filter } => (body, filter),
        };
        while !filter.is_done {
            let complete = match ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() > MAX_ANSWER.saturating_sub(filter.held.len()) => {
                        filter.view.report_too_large();
                        filter.is_done = true;
                        None
                    }
                    Ok(data) => filter.take(&data),
                    Err(other) => {
                        filter.trailers = other.into_trailers().ok();
                        None
                    }
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                // An event that is not complete at the end is none (WHATWG HTML, section 9.2.6).
                None => {
                    filter.is_done = true;
                    None
                }
            };
            if let Some(bytes) = complete.filter(|bytes| !bytes.is_empty()) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(filter.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Untouched { body } => body.is_end_stream(),
            Inner::Json { list } => list.is_end_stream(),
            Inner::Events { filter, .. } => filter.is_done && filter.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Untouched { body } => body.size_hint(),
            Inner::Json { .. } | Inner::Events { .. } => SizeHint::default(),
        }
    }
}

/// The most of an answer that is held to be filtered, in bytes: a list of ten thousand tools.
pub(super) const MAX_ANSWER: usize = 16 * 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
