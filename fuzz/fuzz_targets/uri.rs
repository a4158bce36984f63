//! Rules over resources: however a server reads a URI, where its own template fits, the rule for that template counts. The
//! first line is the template, the rest the URI.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::uri_standing;
use url::Url;

fuzz_target!(|lines: &[u8]| {
    let Ok(lines) = std::str::from_utf8(lines) else { return };
    let Some((template, uri)) = lines.split_once('\n') else { return };
    // A request's is bounded, too.
    if uri.len() > 8 * 1024 {
        return;
    }
    let Some([guarded, other, public]) = uri_standing(template, uri) else { return };
    assert!(guarded || other, "{uri:?} needs nothing");
    let parts = parts(template);
    if public {
        assert!(fits(&parts, uri.as_bytes()), "{uri:?} is public, but no {template:?}");
        assert!(guarded);
    }
    for reading in readings(uri) {
        assert!(
            guarded || !fits(&parts, &reading),
            "{uri:?} is read as {:?}, which {template:?} fits",
            String::from_utf8_lossy(&reading)
        );
    }
});

/// As it stands, decoded, by the URL standard, and both; each with its query, and without.
fn readings(uri: &str) -> Vec<Vec<u8>> {
    let standard = Url::parse(uri).map(String::from).unwrap_or_else(|_| uri.to_owned());
    let whole = [uri.as_bytes().to_vec(), decoded(uri), decoded(&standard), standard.into_bytes()];
    let path = |uri: &Vec<u8>| uri.split(|byte| b"?#".contains(byte)).next().unwrap_or_default().to_vec();
    whole.iter().map(path).chain(whole.clone()).collect()
}

fn decoded(uri: &str) -> Vec<u8> {
    let mut rest = uri.as_bytes();
    let mut decoded = Vec::new();
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let (byte, length) = match digits {
            Some(digits) => (u8::from_str_radix(digits, 16).unwrap(), 2),
            None => (*byte, 0),
        };
        decoded.push(byte);
        rest = &after[length..];
    }
    decoded
}

enum Part {
    Literal(u8),
    Segment,
    Rest,
}

fn parts(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((literal, opened)) = rest.split_once('{') {
        let (expression, after) = opened.split_once('}').expect("no template");
        parts.extend(literal.bytes().map(Part::Literal));
        parts.push(if expression.starts_with(['+', '#', '.', '/', ';', '?', '&']) {
            Part::Rest
        } else {
            Part::Segment
        });
        rest = after;
    }
    parts.extend(rest.bytes().map(Part::Literal));
    parts
}

/// Byte by byte, every way at once.
fn fits(parts: &[Part], uri: &[u8]) -> bool {
    let mut ends = vec![false; uri.len() + 1];
    ends[0] = true;
    for part in parts {
        let mut next = vec![false; uri.len() + 1];
        for at in 0..=uri.len() {
            let before = at.checked_sub(1).map(|before| (ends[before], next[before], uri[before]));
            next[at] = match (part, before) {
                (Part::Literal(literal), Some((reached, _, byte))) => reached && byte == *literal,
                (Part::Literal(_), None) => false,
                (_, None) => ends[at],
                (Part::Segment, Some((_, inside, byte))) => ends[at] || (inside && byte != b'/'),
                (Part::Rest, Some((_, inside, _))) => ends[at] || inside,
            };
        }
        ends = next;
    }
    ends[uri.len()]
}
