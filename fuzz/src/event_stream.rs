//! Parses an event stream as browsers do (WHATWG HTML, section 9.2.6).

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    pub kind: Vec<u8>,
    pub data: Vec<u8>,
    pub last_id: Vec<u8>,
}

/// Returns all complete events of a stream.
pub fn events(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let (mut events, mut event) = (Vec::new(), Event::default());
    for line in lines(stream) {
        if line.is_empty() {
            let last_id = event.last_id.clone();
            // The last line feed is not a part of the data.
            if event.data.pop().is_some() {
                events.push(event);
            }
            event = Event { last_id, ..Event::default() };
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => event.kind = value.to_vec(),
            b"data" => event.data.extend([value, b"\n"].concat()),
            b"id" if !value.contains(&0) => event.last_id = value.to_vec(),
            _ => {}
        }
    }
    events
}

/// Returns the lines with one of the three line ends.
fn lines(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = stream.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&stream[..end]);
        let after = &stream[end..];
        stream = after.strip_prefix(b"\r\n").unwrap_or(&after[1..]);
    }
    lines
}
