use super::*;
use crate::mcp::scopes::uri::ResourceUri;

/// Whether some server could take `uri` for one of `template`.
fn may_match(template: &UriTemplate, uri: &str) -> bool {
    let uri = ResourceUri::new(uri);
    uri.readings.iter().chain(&uri.paths).any(|reading| template.fits(reading))
}

#[test]
fn a_rule_covers_every_way_to_write_its_uris() {
    for (template, uri, may, surely) in [
        ("notes://{id}", "notes://1", true, true),
        ("notes://{id}", "NOTES://1", true, false),
        ("notes://{id}", "n%6Ftes://1", true, false),
        ("notes://{id}", "notes://", true, true),
        ("notes://{id}", "no\ntes://1", true, false),
        ("notes://{id}", "notes:1", false, false),
        ("notes://{id}", "notes://x/../1", true, false),
        ("notes://{id}", "notes://../../1", true, false),
        ("notes://{id}", "notes://a%2Fb", true, false),
        ("notes://{id}", "notes://a%2Fb/c", false, false),
        ("notes://{id}", "notes://a/b", false, false),
        ("notes://{id}", "notes://1?x", true, false),
        ("notes://{id}", "note://1", false, false),
        ("notes://{id}/text", "notes://1/text", true, true),
        ("notes://{id}/text", "notes://1/./text/", true, false),
        ("notes://{id}/text", "notes://1//text?x#y", true, false),
        ("notes://{id}/text", "notes://1\\text%3Fx", true, false),
        ("notes://{id}/text", "notes://1/2/text", false, false),
        ("file:///{+path}", "file:///a/b/c", true, true),
        ("file:///public/{+path}", "file:///public/../secret", false, false),
        ("file:///secret/{+path}", "file:///public/../secret/x", true, false),
        ("file:///secret/{+path}", "file:/secret/x", true, false),
        ("file:///secret/{+path}", "file://localhost/secret/x", true, false),
        ("file:///secret/{+path}", "file:////secret//x", true, false),
        ("file:///secret/{+path}", "file:///a/..//secret/x", true, false),
        ("https://h/secret/{id}", "https://h:443/secret/1", true, false),
        ("https://h/secret/{id}", "https:h/secret/1", true, false),
        ("search://all{?q,limit}", "search://all?q=1&limit=2", true, true),
        ("search://x?q={q}", "search://x?q=1", true, true),
        ("exact://Only", "exact://only/", true, false),
        ("exact://Only", "exact://Only", true, true),
        ("exact://only", "exact://only/more", false, false),
        ("{a}.{b}", "1.2", true, true),
        ("{a}{b}{c}x", "aaaaaaaax", true, true),
        ("notes://{id}", "notes://{id}", true, true),
    ] {
        let found = UriTemplate::parse(template).unwrap();
        let is = (may_match(&found, uri), found.surely_matches(uri));
        assert_eq!(is, (may, surely), "{template} {uri:?}");
    }
}

#[test]
fn what_surely_matches_may_match() {
    let letters = b"ax:/?.#";
    for template in ["a:/{x}", "a://{x}", "a:{+x}", "{x}/a", "{x}/{+y}", "a/", "a:/x/", "a{?x}", "{x}{y}", "/{x}/"] {
        let template = UriTemplate::parse(template).unwrap();
        for number in 0..7_usize.pow(5) {
            let digits = (0..5).map(|place| letters[number / 7_usize.pow(place) % 7]);
            let uri: String = digits.skip_while(|letter| *letter == b'a').map(char::from).collect();
            assert!(!template.surely_matches(&uri) || may_match(&template, &uri), "{} {uri}", template.as_str());
        }
    }
}

/// The same, tried one way after the other.
fn matches_slowly(parts: &[Part], uri: &[u8]) -> bool {
    match parts.split_first() {
        None => uri.is_empty(),
        Some((Part::Literal(literal), rest)) => {
            uri.strip_prefix(literal.as_ref()).is_some_and(|uri| matches_slowly(rest, uri))
        }
        Some((part, rest)) => (0..=uri.len()).any(|length| {
            let (taken, left) = uri.split_at(length);
            (*part == Part::Rest || !taken.contains(&b'/')) && matches_slowly(rest, left)
        }),
    }
}

#[test]
fn all_ways_are_followed() {
    let letters = b"ab/";
    for template in [
        "aa{x}",
        "{x}aa",
        "{x}aba{y}",
        "{x}{y}a",
        "{+x}aa{y}b",
        "{x}/{y}/a",
        "{+x}/{y}",
        "{x}a{+y}a{z}",
        "a{x}ab{+y}",
        "{+x}",
    ] {
        let parts = parts(template).unwrap();
        for number in 0..3_usize.pow(8) {
            let uri: Vec<u8> = (0..8).map(|place| letters[number / 3_usize.pow(place) % 3]).collect();
            for uri in [&uri[..], &uri[3..]] {
                assert_eq!(matches(&parts, uri, b"/"), matches_slowly(&parts, uri), "{template} {uri:?}");
            }
        }
    }
}

#[test]
fn templates_overlap_where_their_beginnings_do() {
    let secret = UriTemplate::parse("notes://secret/{id}").unwrap();
    for (other, overlaps) in [
        ("notes://{area}/{id}", true),
        ("notes://secret/{x}", true),
        ("NOTES://secret/x", true),
        ("{+any}", true),
        ("notes://public/{id}", false),
    ] {
        assert_eq!(secret.may_overlap(other), overlaps, "{other}");
    }
}

#[test]
fn what_is_no_template_is_refused() {
    for bad in ["", "a{", "a}", "{}", "{+}", "{a b}", "{a{b}}", "{é}", &"x".repeat(9_000), &"{a}".repeat(17)] {
        assert!(UriTemplate::parse(bad).is_err(), "{bad}");
    }
}
