use super::*;

fn pattern(template: &str) -> UriPattern {
    UriPattern::new(UriTemplate::parse(template).unwrap())
}

/// Whether `template` matches `uri` as it is written.
fn matches(template: &str, uri: &str) -> bool {
    CanonicalUri::parse(uri).is_ok_and(|uri| pattern(template).matches(&uri))
}

#[test]
fn a_template_matches_its_uris_as_they_are_written() {
    for (template, matching, others) in [
        (
            "notes://{id}",
            &["notes://1", "notes://", "notes://a%2Fb"][..],
            &[
                "NOTES://1",
                "notes:1",
                "notes://a/b",
                "notes://1/",
                "notes://1?x",
                "notes://1#x",
                "notes://1:2",
                "note://1",
                "notes://{id}",
            ][..],
        ),
        ("notes://{id}/text", &["notes://1/text"], &["notes://1/Text", "notes://1/2/text", "notes://1/text/"]),
        ("notes:{id}", &["notes:1", "notes:"], &["notes:/1", "notes:1/2", "Notes:1"]),
        ("urn:isbn:{number}", &["urn:isbn:1"], &["urn:ISBN:1", "urn:isbn:1/2"]),
        ("file:///{+path}", &["file:///a/b/c", "file:///"], &["file:///a?b", "file:///a#b", "file://a"]),
        ("https://h:8443/{id}", &["https://h:8443/1"], &["https://h/1", "https://h:8444/1"]),
        ("notes://{host}:{port}/", &["notes://h:7/"], &["notes://h/"]),
        (
            "search://all{?q,limit}",
            &["search://all?q=1&limit=2", "search://all"],
            &["search://allx", "search://all?q#f", "search://all/?q"],
        ),
        ("search://x?q={q}", &["search://x?q=1", "search://x?q="], &["search://x?q=1/2", "search://x"]),
        (
            "search://x?q={q}{&more*}",
            &["search://x?q=1", "search://x?q=1&b=?/2"],
            &["search://x?q=1?b", "search://x?q=1/b"],
        ),
        ("docs://x{#part}", &["docs://x", "docs://x#a/b?c"], &["docs://xa", "docs://x?#a"]),
        ("docs://x{/path*}", &["docs://x", "docs://x/a/b", "docs://x/"], &["docs://xa", "docs://x/a?b"]),
        ("docs://x{.ext}", &["docs://x", "docs://x.a.b"], &["docs://xa", "docs://x.a/b"]),
        ("docs://x{;v}", &["docs://x", "docs://x;v=1"], &["docs://xv", "docs://x;v=1/2"]),
        ("exact://only", &["exact://only"], &["exact://only/", "exact://only/more", "exact://Only"]),
        ("{a}.{b}", &["1.2", ".b"], &["1/2.3"]),
        ("{a}{b}{c}x", &["aaaaaaaax"], &["aaaaaaaa"]),
        ("{+all}", &["", "a", "notes://1/2"], &["notes://1?2", "notes://1:2"]),
    ] {
        for uri in matching {
            assert!(matches(template, uri), "{template} {uri}");
        }
        for uri in others {
            assert!(!matches(template, uri), "{template} {uri}");
        }
    }
}

#[test]
fn what_needs_no_rule_is_found_by_servers_that_decode_first_too() {
    let template = pattern("docs://{page}");
    for (uri, surely) in
        [("docs://a", true), ("docs://caf%C3%A9", true), ("docs://a%2Fb", false), ("docs://a%3Fb", false)]
    {
        let uri = CanonicalUri::parse(uri).unwrap();
        assert!(template.matches(&uri));
        assert_eq!(template.surely_matches(&uri), surely, "{}", uri.text());
    }
}

/// The same, by a matcher that tries all possible divisions of the URI.
fn matches_slowly(parts: &[TemplatePart], uri: &[u8]) -> bool {
    match parts.split_first() {
        None => uri.is_empty(),
        Some((TemplatePart::Literal(literal), rest)) => {
            uri.strip_prefix(literal.as_bytes()).is_some_and(|uri| matches_slowly(rest, uri))
        }
        Some((TemplatePart::Expression(expression), rest)) => (0..=uri.len()).any(|length| {
            let (taken, left) = uri.split_at(length);
            let excluded: &[u8] = if matches!(expression.operator, "+" | "/") { b"?#" } else { b"/?#" };
            let has_excluded = |text: &[u8]| text.iter().any(|byte| excluded.contains(byte));
            let is_expansion = match (expression.operator, taken) {
                (_, []) => true,
                ("/", [first, rest @ ..]) => *first == b'/' && !has_excluded(rest),
                (_, taken) => !has_excluded(taken),
            };
            is_expansion && matches_slowly(rest, left)
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
        "a{/x}",
        "{x}{/y}a",
        "{x}{/y}{z}b",
        "{/x}{/y}a{z}",
        "{+x}{/y}ab",
    ] {
        let pattern = pattern(template);
        for (length, number) in (0..3_usize.pow(8)).flat_map(|number| [(8, number), (5, number)]) {
            let uri: String = (0..length).map(|place| char::from(letters[number / 3_usize.pow(place) % 3])).collect();
            let expected = matches_slowly(&pattern.template.parts, uri.as_bytes());
            assert_eq!(pattern.matches_text(&uri), expected, "{template} {uri:?}");
        }
    }
}

#[test]
fn templates_overlap_where_their_beginnings_do() {
    let secret = UriTemplate::parse("notes://secret/{id}").unwrap();
    for (other, overlaps) in [
        ("notes://{area}/{id}", true),
        ("notes://secret/{x}", true),
        ("notes://secret/x", true),
        ("{+any}", true),
        ("notes://public/{id}", false),
    ] {
        assert_eq!(secret.may_overlap(&UriTemplate::parse(other).unwrap()), overlaps, "{other}");
    }
}

#[test]
fn what_is_not_a_template_is_rejected() {
    for bad in ["", "a{", "a}", "{}", "{+}", "{a b}", "{a{b}}", "{é}", &"x".repeat(9_000), &"{a}".repeat(17)] {
        assert!(UriTemplate::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_template_whose_uris_are_not_canonical_is_rejected() {
    for bad in [
        "Notes://{id}",
        "notes://Secret/{id}",
        "notes://x@secret/{id}",
        "notes://{user}@secret/{id}",
        "notes://secret:/{id}",
        "notes://a/../{id}",
        "notes://a//{id}",
        "notes://a b/{id}",
        "notes://\u{e9}/{id}",
        "notes://%c3%a9/{id}",
        "notes://%{id}",
        "notes:\\\\{id}",
        "file://localhost/{+path}",
        "https://h",
        "https://h:443/{id}",
        "https:h/{id}",
        "//h/{id}",
        "https://h/{/path*}",
    ] {
        let error = UriTemplate::parse(bad).err();
        assert!(matches!(error, Some(InvalidTemplate::NotCanonical(_))), "{bad} {error:?}");
    }
}

#[test]
fn a_template_whose_uris_begin_in_two_ways_is_rejected() {
    for bad in ["file:/{#f}//{+path}", "notes:{?q}//{id}", "notes:/{?q}/{id}"] {
        assert_eq!(UriTemplate::parse(bad).err(), Some(InvalidTemplate::Beginning), "{bad}");
    }
    for good in ["notes://{id}{?q}", "notes:{id}{#f}", "file:///{+path}{?q}{#f}"] {
        assert!(UriTemplate::parse(good).is_ok(), "{good}");
    }
}
