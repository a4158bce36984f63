//! Finds the ends of the events of an event stream (WHATWG HTML, section 9.2.6).

/// Follows an event stream byte by byte. CR, LF and CRLF end a line; an empty line ends an event.
#[derive(Debug)]
pub(in crate::mcp) struct EventBoundaries {
    line_is_empty: bool,
    after_carriage_return: bool,
    between_events: bool,
}

impl EventBoundaries {
    /// At the start of a stream.
    pub(in crate::mcp) const fn new() -> Self {
        Self { line_is_empty: true, after_carriage_return: false, between_events: true }
    }

    pub(super) const fn is_between_events(&self) -> bool {
        self.between_events
    }

    /// Reads all of `bytes`, and returns the end of the last event that ends in them.
    pub(in crate::mcp) fn follow(&mut self, bytes: &[u8]) -> Option<usize> {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| self.step(**byte));
        ends.last().map(|(at, _)| at.saturating_add(1))
    }

    /// Reads `bytes` up to the end of the current event, and returns that end. `None` if the event does not end in them.
    pub(in crate::mcp) fn follow_to_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut end = bytes.iter().position(|byte| self.step(*byte))?.saturating_add(1);
        // The LF of a CRLF belongs to the same line end. Without it, a client may wait for it.
        if self.after_carriage_return && bytes.get(end) == Some(&b'\n') {
            self.step(b'\n');
            end = end.saturating_add(1);
        }
        Some(end)
    }

    /// Reads one byte, and returns whether an event ends with it.
    const fn step(&mut self, byte: u8) -> bool {
        let ends_line = match byte {
            b'\n' if self.after_carriage_return => {
                self.after_carriage_return = false;
                return self.between_events;
            }
            b'\n' | b'\r' => true,
            _ => false,
        };
        self.after_carriage_return = byte == b'\r';
        self.between_events = ends_line && self.line_is_empty;
        self.line_is_empty = ends_line;
        self.between_events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line_of_any_kind() {
        for (stream, last_end) in [
            ("data: a\n\n", Some(9)),
            ("data: a\r\n\r\n", Some(11)),
            ("data: a\r\r", Some(9)),
            ("data: a\n\r\n", Some(10)),
            ("data: a\n\ndata: b", Some(9)),
            ("data: a\r\n\r\ndata: b\r\n", Some(11)),
            ("data: a\n", None),
            ("data: a\r\n", None),
            ("data: a", None),
            (": note\n\n: note\n\n", Some(16)),
        ] {
            let mut at_once = EventBoundaries::new();
            assert_eq!(at_once.follow(stream.as_bytes()), last_end, "{stream:?}");
            let mut by_bytes = EventBoundaries::new();
            let ends = stream.bytes().enumerate().filter(|(_, byte)| by_bytes.follow(&[*byte]).is_some());
            assert_eq!(ends.last().map(|(at, _)| at + 1), last_end, "{stream:?}");
            assert_eq!(at_once.is_between_events(), last_end == Some(stream.len()), "{stream:?}");
        }
    }

    #[test]
    fn the_rest_of_an_open_event_ends_where_it_ends() {
        let mut boundaries = EventBoundaries::new();
        boundaries.follow(b"data: a");
        assert_eq!(boundaries.follow_to_end(b" b"), None);
        assert_eq!(boundaries.follow_to_end(b" c\n\ndata: d\n\n"), Some(4));
        assert!(boundaries.is_between_events());
        for (rest, end) in [("\r\n\r\ndata", 4), ("\r\n\n\n", 3), ("\r\rdata", 2), ("\r\r", 2), ("\n\r\n\n", 3)] {
            boundaries.follow(b"data");
            assert_eq!(boundaries.follow_to_end(rest.as_bytes()), Some(end), "{rest:?}");
            assert!(boundaries.is_between_events());
        }
    }
}
