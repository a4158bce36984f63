use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::filter::{ListFilter, MAX_HELD};
use crate::error::BoxError;
use crate::mcp::stream::EventBoundaries;

pin_project! {
    /// The body of an event stream with lists in the data of its events. Each event is sent once it is complete.
    #[derive(Debug)]
    pub(in crate::mcp) struct FilteredEvents<B> {
        #[pin]
        body: B,
        filter: Box<EventFilter>,
        trailers: Option<Box<HeaderMap>>,
        is_done: bool,
    }
}

/// Filters one event after the other, and holds the event that is not complete yet.
#[derive(Debug)]
struct EventFilter {
    list: ListFilter,
    boundaries: EventBoundaries,
    held: BytesMut,
    /// No event has been complete so far.
    is_first: bool,
    has_sent: bool,
    has_reported: bool,
}

impl<B> FilteredEvents<B> {
    pub(in crate::mcp) fn new(body: B, list: ListFilter) -> Self {
        let filter = EventFilter {
            list,
            boundaries: EventBoundaries::new(),
            held: BytesMut::new(),
            is_first: true,
            has_sent: false,
            has_reported: false,
        };
        Self { body, filter: Box::new(filter), trailers: None, is_done: false }
    }

    pub(super) const fn is_end_stream(&self) -> bool {
        self.is_done && self.trailers.is_none()
    }
}

impl<B> FilteredEvents<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        while !*this.is_done {
            match ready!(this.body.as_mut().poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.len() > MAX_HELD.saturating_sub(this.filter.held.len()) => {
                    this.filter.list.report("large_list", "an event with a list is too large to be filtered");
                    *this.is_done = true;
                }
                Some(Ok(Ok(data))) => {
                    let events = this.filter.push(&data);
                    if !events.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(events))));
                    }
                }
                Some(Ok(Err(other))) => *this.trailers = other.into_trailers().ok().map(Box::new),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                // Clients drop an event that is not complete (WHATWG HTML, section 9.2.6).
                None => *this.is_done = true,
            }
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
    }
}

impl EventFilter {
    /// Adds `data` to what is held, and returns the events that are complete now, filtered.
    fn push(&mut self, data: &[u8]) -> Bytes {
        let held = self.held.len();
        self.held.extend_from_slice(data);
        let Some(end) = self.boundaries.follow(data) else { return Bytes::new() };
        let complete = self.held.split_to(held.saturating_add(end));
        let is_first = std::mem::take(&mut self.is_first);
        // Clients drop a byte order mark at the start of a stream (WHATWG HTML, section 9.2.5).
        let mut events = complete.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(&complete);
        let mut sent = Vec::with_capacity(events.len());
        let mut boundaries = EventBoundaries::new();
        while let Some((event, rest)) = boundaries.follow_to_end(events).and_then(|end| events.split_at_checked(end)) {
            // If an event before it was dropped, this one is now the start of the stream, where its mark would be dropped.
            if !self.has_sent && sent.is_empty() && event.starts_with(BYTE_ORDER_MARK) {
                sent.push(b'\n');
            }
            if self.push_event(event, &mut sent).is_err() && !std::mem::replace(&mut self.has_reported, true) {
                self.list.report(
                    "unreadable_list",
                    "an event of a stream with lists is not valid JSON-RPC: the event is dropped",
                );
            }
            events = rest;
        }
        sent.extend(events);
        self.has_sent |= !sent.is_empty();
        sent.into()
    }

    /// Adds the filtered `event` to `sent`; nothing if its data cannot be parsed.
    fn push_event(&self, event: &[u8], sent: &mut Vec<u8>) -> serde_json::Result<()> {
        let lines = || event.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty());
        let data = lines().filter_map(data_of).collect::<Vec<_>>().join(b"\n".as_slice());
        let filtered = if data.trim_ascii().is_empty() { None } else { self.list.filter(&data)? };
        let Some(filtered) = filtered else {
            sent.extend(event);
            return Ok(());
        };
        for line in lines().filter(|line| data_of(line).is_none()) {
            sent.extend([line, b"\n"].concat());
        }
        for line in filtered.split(|byte| *byte == b'\n') {
            sent.extend([b"data: ", line, b"\n"].concat());
        }
        sent.push(b'\n');
        Ok(())
    }
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:")?;
    Some(data.strip_prefix(b" ").unwrap_or(data))
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
