//! Rules for resources: if a server matches a URI with its template in any common way, the rule for that template
//! applies. The first line of the input is the template, the rest is the URI.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::uri_standing;
use url::Url;

fuzz_target!(|lines: &[u8]| {
    let Ok(lines) = std::str::from_utf8(lines) else { return };
    let Some((template, uri)) = lines.split_once('\n') else { return };
    // The size of a URI in a request is limited too.
    if uri.len() > 8 * 1024 {
        return;
    }
    let Some([guarded, other, public]) = uri_standing(template, uri) else { return };
    assert!(guarded || other, "{uri:?} needs no scope");
    let parts = parts(template);
    if public {
        assert!(matches_template(&parts, uri.as_bytes()), "{uri:?} is public, but does not match {template:?}");
        assert!(guarded);
    }
    for reading in readings(uri).into_iter().chain(by_parts(template, uri)) {
        assert!(
            guarded || !matches_template(&parts, &reading),
            "a server reads {uri:?} as {:?}, which matches {template:?}",
            String::from_utf8_lossy(&reading)
        );
    }
});

/// Returns the forms in which a server may read a URI: unchanged, decoded, normalized by the URL standard, and both.
/// Each has a form with the query and one without.
fn readings(uri: &str) -> Vec<Vec<u8>> {
    let standard = Url::parse(uri).map(String::from).unwrap_or_else(|_| uri.to_owned());
    let whole = [uri.as_bytes().to_vec(), decoded(uri), decoded(&standard), standard.into_bytes()];
    let path = |uri: &Vec<u8>| uri.split(|byte| b"?#".contains(byte)).next().unwrap_or_default().to_vec();
    whole.iter().map(path).chain(whole.clone()).collect()
}

/// Returns the forms of servers that use `url::Url`: only the components that the template has, unchanged and decoded.
fn by_parts(template: &str, uri: &str) -> Vec<Vec<u8>> {
    // Such a server compares the scheme with the one that it knows.
    let Some((scheme, _)) = template.split_once(':') else { return Vec::new() };
    let Ok(url) = Url::parse(uri) else { return Vec::new() };
    if url.scheme() != scheme {
        return Vec::new();
    }
    let authority = template.split_once("://").map(|(_, rest)| without_expressions(rest));
    let host = authority.as_deref().map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let mut text = format!("{}:", url.scheme());
    match (host, url.host_str()) {
        (Some(host), Some(found)) => {
            text += &format!("//{found}");
            if let Some(port) = url.port_or_known_default().filter(|_| host.contains(':')) {
                text += &format!(":{port}");
            }
            text += url.path();
        }
        (Some(_), None) if template.contains(":///") => text += &format!("//{}", url.path()),
        (Some(_), None) => text += &format!("//{}", url.path().trim_start_matches('/')),
        (None, _) => text += url.path(),
    }
    if let Some(query) = url.query().filter(|_| template.contains('?')) {
        text += &format!("?{query}");
    }
    if let Some(fragment) = url.fragment().filter(|_| template.contains('#')) {
        text += &format!("#{fragment}");
    }
    vec![decoded(&text), text.into_bytes()]
}

fn without_expressions(template: &str) -> String {
    let pieces = template.split('{').map(|piece| piece.rsplit('}').next().unwrap_or_default());
    pieces.collect::<Vec<_>>().join("x")
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

#[derive(Clone, Copy)]
enum Part {
    Literal(u8),
    /// The first character of a non-empty expansion, and the characters that an expansion cannot contain.
    Expression(Option<u8>, &'static str),
}

fn parts(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((literal, opened)) = rest.split_once('{') {
        let (expression, after) = opened.split_once('}').expect("the template is valid");
        parts.extend(literal.bytes().map(Part::Literal));
        let operator = expression.bytes().next().filter(|byte| b"+#./;?&".contains(byte));
        parts.push(match operator {
            None => Part::Expression(None, "/?#"),
            Some(b'+') => Part::Expression(None, "?#"),
            Some(first @ b'#') => Part::Expression(Some(first), ""),
            Some(first @ b'/') => Part::Expression(Some(first), "?#"),
            Some(first @ (b'?' | b'&')) => Part::Expression(Some(first), "#"),
            Some(first) => Part::Expression(Some(first), "/?#"),
        });
        rest = after;
    }
    parts.extend(rest.bytes().map(Part::Literal));
    parts
}

/// Matches byte by byte, and follows all possible matches at once.
fn matches_template(parts: &[Part], uri: &[u8]) -> bool {
    let mut ends = vec![false; uri.len() + 1];
    ends[0] = true;
    for part in parts {
        let mut next = vec![false; uri.len() + 1];
        // Whether an expansion has started before this position and can continue.
        let mut is_open = false;
        for at in 0..=uri.len() {
            let before = at.checked_sub(1).map(|before| (ends[before], uri[before]));
            next[at] = match (*part, before) {
                (Part::Literal(literal), before) => before.is_some_and(|(reached, byte)| reached && byte == literal),
                (Part::Expression(..), None) => ends[at],
                (Part::Expression(first, excluded), Some((reached, byte))) => {
                    let continues = is_open && !excluded.as_bytes().contains(&byte);
                    is_open = continues
                        || reached
                            && match first {
                                Some(first) => byte == first,
                                None => !excluded.as_bytes().contains(&byte),
                            };
                    ends[at] || is_open
                }
            };
        }
        ends = next;
    }
    ends[uri.len()]
}
