use super::NotCanonical as Why;
use super::*;

#[test]
fn a_uri_is_canonical_if_every_server_reads_it_in_the_same_way() {
    for uri in [
        "",
        "name",
        "a/b",
        "/a/b",
        "notes://",
        "notes://1",
        "notes://1/",
        "notes://a.b-c_d~e/!$&'()*+,;=:@",
        "notes://caf%C3%A9",
        "notes://a%2Fb",
        "notes://a%20b/100%25",
        "notes://h:7/1",
        "notes://[::1]:7/1",
        "notes:///1",
        "notes:1",
        "notes:/1",
        "notes:...",
        "urn:isbn:ABC",
        "mailto:a@b.example",
        "file:///a/B.txt",
        "file:///C:/a",
        "https://h/",
        "https://h:8443/a?b=c//d#e//f",
        "https://127.0.0.1/",
        "https://h/?",
    ] {
        assert_eq!(CanonicalUri::parse(uri).err(), None, "{uri}");
    }
}

#[test]
fn any_other_uri_is_rejected_with_what_is_wrong_with_it() {
    for (reason, uris) in [
        (Why::Character, &["notes://\u{e9}", "\u{17f}ecret://1", "notes://\u{ff0f}", "file:///C|/a"][..]),
        (
            Why::Character,
            &["a b", "notes:\\\\1", "notes://1\n", "\tnotes://1", "notes://\0", "a{b}", "\"", "a<b", "a^b"],
        ),
        (Why::Encoding, &["notes://%00", "notes://%5C", "%7F:1", "notes://%1F"]),
        (
            Why::Encoding,
            &["%", "notes://%4", "notes://%zz", "notes://%c3%A9", "notes://%C3%a9", "%2E", "n%6Ftes:1", "%7E"],
        ),
        (Why::Scheme, &["Notes://1", "NOTES:1", "1a:b", "a_b:c", ":a", "//h/a", "://1"]),
        (Why::HostCase, &["notes://Secret/1", "https://H/", "notes://%C3%A9A", "notes://H:7", "urn:ISBN:1"]),
        (Why::UserInformation, &["notes://x@secret/1", "notes://@secret/1", "notes://x:y@secret:7/1", "notes://x@"]),
        (Why::EmptyPort, &["notes://secret:/1", "https://h:/", "notes://x@secret:/1", "notes://[::1]:/"]),
        (Why::FileHost, &["file://host/a", "file://localhost/a", "file://h", "file://127.0.0.1/a"]),
        (
            Why::DotSegment,
            &[
                "notes://./1",
                "notes://..",
                "notes://a/.",
                "notes://a/../b",
                "notes:..",
                "a:?../b",
                "a:b#c/.",
                "notes://a/..%2Fb",
            ],
        ),
        (Why::EmptySegment, &["notes://a//b", "notes://a//", "file:////a", "notes:a//b", "notes://a%2F%2Fb/c%2F/"]),
    ] {
        for uri in uris {
            assert_eq!(CanonicalUri::parse(uri).err(), Some(reason.clone()), "{uri:?}");
        }
    }
    for uri in [
        "https://127.1/",
        "https://0x7f.0.0.1/",
        "https://h%C2%AD/",
        "https://h",
        "https://h:443/",
        "https://h:08443/",
        "https:h/a",
        "https:/h/a",
        "file:a",
        "file://",
        "notes://[0::1]/a",
    ] {
        assert!(matches!(CanonicalUri::parse(uri), Err(Why::OtherReading(_))), "{uri}");
    }
}

#[test]
fn a_lenient_server_ignores_what_it_does_not_expect() {
    let readings = |uri, [port, query, fragment]: [bool; 3]| {
        CanonicalUri::parse(uri).unwrap().lenient_readings(OptionalComponents { port, query, fragment })
    };
    for (uri, expected, found) in [
        ("notes://h:7/1?q#f", [false; 3], &["notes://h/1/", "notes://h/1"][..]),
        ("notes://h:7/1?q#f", [true; 3], &["notes://h:7/1?q#f/", "notes://h:7/1?q#f"]),
        ("notes://h/1/?q", [false; 3], &["notes://h/1", "notes://h/1/"]),
        ("notes://[::1]:7", [false; 3], &["notes://[::1]/", "notes://[::1]"]),
        ("a%2Fb%20c", [false; 3], &["a%2Fb%20c/", "a%2Fb%20c", "a/b%20c/", "a/b%20c"]),
        (
            "notes://x%40h%3A7%3Fq",
            [false; 3],
            &["notes://x%40h%3A7%3Fq/", "notes://x%40h%3A7%3Fq", "notes://h/", "notes://h"],
        ),
    ] {
        assert_eq!(readings(uri, expected), found, "{uri}");
    }
}
