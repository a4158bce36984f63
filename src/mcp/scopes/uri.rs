use url::Url;

/// A resource's URI as a request has it, and as servers may read it.
#[derive(Debug)]
pub(super) struct ResourceUri {
    /// In the form of [`readable`]: all of it, in the ways of different readers. Those of a plainly written one are alike.
    pub(super) readings: Vec<Vec<u8>>,
    /// The same up to query and fragment, which some readers overlook.
    pub(super) paths: Vec<Vec<u8>>,
    /// In no form at all, for readers that overlook no difference: as it stands and percent-decoded, all of it and its path.
    pub(super) literal: Vec<Vec<u8>>,
    /// With characters that no URI has and that readers drop, each in its own way.
    pub(super) is_obscure: bool,
}

impl ResourceUri {
    pub(super) fn new(text: &str) -> Self {
        let (mut readings, mut paths, mut literal) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |text: &str| {
            for bytes in [text.as_bytes().to_vec(), percent_decoded(text.as_bytes())] {
                let spelling = spelled(&bytes);
                if path_of(&spelling).len() < spelling.len() {
                    push_new(&mut paths, readable(path_of(&spelling)));
                    push_new(&mut literal, path_of(&bytes).to_vec());
                }
                push_new(&mut readings, readable(&spelling));
                push_new(&mut literal, bytes);
            }
        };
        add(text);
        // As the readers of the URL standard see it, which most are.
        if let Ok(url) = Url::parse(text) {
            add(url.as_str());
        }
        let is_obscure = text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        Self { readings, paths, literal, is_obscure }
    }
}

/// What stands before query and fragment.
fn path_of(uri: &[u8]) -> &[u8] {
    uri.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

fn push_new(readings: &mut Vec<Vec<u8>>, reading: Vec<u8>) {
    if !readings.contains(&reading) {
        readings.push(reading);
    }
}

/// Without the differences that servers overlook: single slashes, no dot segments.
pub(super) fn readable(uri: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in uri.split(|byte| *byte == b'/') {
        match segment {
            b"" if !segments.is_empty() => {}
            b"." => {}
            // The first is the scheme.
            b".." if segments.len() > 1 => _ = segments.pop(),
            b".." => {}
            other => segments.push(other),
        }
    }
    let mut readable = segments.join(&b'/');
    if uri.ends_with(b"/") {
        readable.push(b'/');
    }
    readable
}

/// In lower case, every slash leaning forward.
pub(super) fn spelled(uri: &[u8]) -> Vec<u8> {
    uri.iter().map(|byte| if *byte == b'\\' { b'/' } else { byte.to_ascii_lowercase() }).collect()
}

/// The same, percent-decoded.
pub(super) fn decoded(uri: &[u8]) -> Vec<u8> {
    spelled(&percent_decoded(uri))
}

fn percent_decoded(uri: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4) | low),
            _ => None,
        };
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
        decoded.push(escaped.unwrap_or(*byte));
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
