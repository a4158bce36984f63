use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::error::BoxError;
use crate::mcp::scopes::{Rules, complete_tool_list};

pin_project! {
    /// The body of a list that is not filtered. Its bytes are passed on at once, and copied to compare the names with the
    /// rules.
    #[derive(Debug)]
    pub(in crate::mcp) struct ObservedList<B> {
        #[pin]
        body: B,
        copy: Option<Box<ListCopy>>,
    }
}

/// The copy of a list, as far as it was sent.
#[derive(Debug)]
struct ListCopy {
    rules: Arc<Rules>,
    is_event_stream: bool,
    bytes: Vec<u8>,
}

impl<B> ObservedList<B> {
    pub(in crate::mcp) fn new(body: B, rules: Arc<Rules>, is_event_stream: bool) -> Self {
        Self { body, copy: Some(Box::new(ListCopy { rules, is_event_stream, bytes: Vec::new() })) }
    }
}

impl<B> Body for ObservedList<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let (Some(data), Some(copy)) = (data, this.copy.as_mut()) {
            if copy.bytes.len().saturating_add(data.len()) > MAX_COPIED {
                *this.copy = None;
            } else {
                copy.bytes.extend_from_slice(data);
            }
        }
        // A server may stop at the last frame, without asking for the end.
        if (frame.is_none() || this.body.is_end_stream())
            && let Some(copy) = this.copy.take()
        {
            copy.check();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl ListCopy {
    fn check(&self) {
        let names = match self.is_event_stream {
            true => event_data(&self.bytes).find_map(|data| complete_tool_list(&data)),
            false => complete_tool_list(&self.bytes),
        };
        if let Some(names) = names {
            self.rules.check_tools(&names);
        }
    }
}

/// The data of each event of a complete event stream (HTML standard, section 9.2.6), for lines that end with LF or CR LF.
fn event_data(stream: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lines = stream.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines = lines.peekable();
    std::iter::from_fn(move || {
        lines.peek()?;
        let of_event = std::iter::from_fn(|| lines.next().filter(|line| !line.is_empty()));
        let data: Vec<_> = of_event.filter_map(|line| line.strip_prefix(b"data:")).collect();
        Some(data.join(&b'\n'))
    })
}

/// The longest list that is copied, in bytes. Lists of a hundred tools with long schemas are shorter.
const MAX_COPIED: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_events_is_found() {
        for (stream, expected) in [
            ("data: {}\n\n", &[" {}", ""][..]),
            ("event: message\r\ndata: a\r\nid: 1\r\ndata:b\r\n\r\n: comment\r\n\r\ndata:c", &[" a\nb", "", "c"]),
            ("", &[""]),
        ] {
            let found: Vec<_> = event_data(stream.as_bytes()).map(|data| String::from_utf8(data).unwrap()).collect();
            assert_eq!(found, expected, "{stream:?}");
        }
    }
}
