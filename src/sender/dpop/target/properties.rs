//! Two spellings of a URL are the same only if they have the same normal form (RFC 3986, section 6.2).
#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

fn target() -> ProofTarget {
    ProofTarget::new(&ResourceUrl::new("https://rs.example.com/mcp").unwrap(), None)
}

/// The normal form of a path: dot segments removed, unreserved characters decoded, and digits in upper case.
fn normal(path: &str) -> String {
    let segments = UriPath::parse(path).0;
    let written = |segment: &&str| {
        octets(segment)
            .map(|octet| match octet {
                Some(Octet::Plain(byte)) => char::from(byte).to_string(),
                Some(Octet::Encoded(byte)) => format!("%{byte:02X}"),
                None => unreachable!("the path is valid"),
            })
            .collect()
    };
    let segments: Vec<String> = segments.iter().map(written).collect();
    format!("/{}", segments.join("/"))
}

/// Segments that normalization changes, and some that it does not.
fn paths() -> impl Strategy<Value = String> {
    let segments = prop::sample::select(vec![
        "", ".", "..", "%2e", "%2E.", "...", "a", "A", "%61", "%41", "%2F", "%2f", "%00", "~", "%7e", "a:b@c", "%25",
        "%2541",
    ]);
    prop::collection::vec(segments, 0..6)
        .prop_map(|segments| segments.iter().map(|segment| format!("/{segment}")).collect())
}

/// A spelling of the same path: characters are percent-encoded, digits change their case, and dot segments are added.
fn respelt(path: &str, choices: &[u8]) -> String {
    let mut choices = choices.iter().copied().cycle();
    let mut choose = |count: u8| choices.next().unwrap_or_default() % count;
    let mut text = String::new();
    for octet in octets(path) {
        match octet.expect("the path is valid") {
            Octet::Plain(b'/') => text += ["/", "/./", "/x/../", "/%2e/"][usize::from(choose(4))],
            Octet::Plain(byte) if is_unreserved(byte) && choose(2) == 1 => text += &format!("%{byte:02x}"),
            Octet::Plain(byte) => text.push(char::from(byte)),
            Octet::Encoded(byte) if choose(2) == 1 => text += &format!("%{byte:02x}"),
            Octet::Encoded(byte) => text += &format!("%{byte:02X}"),
        }
    }
    text
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn normalization_is_idempotent(path in paths()) {
        let once = normal(&path);
        prop_assert_eq!(normal(&once), once);
    }

    #[test]
    fn a_url_matches_a_path_if_both_have_the_same_normal_form(named in paths(), sent in paths()) {
        let is_same = target().matches(&format!("https://rs.example.com{named}"), &sent);
        let has_dots = sent.split('/').any(|segment| dots(segment) > 0);
        prop_assert_eq!(is_same, !has_dots && normal(&named) == normal(&sent));
    }

    #[test]
    fn each_spelling_of_the_path_is_accepted(path in paths(), choices in prop::collection::vec(any::<u8>(), 1..20)) {
        let sent = normal(&path);
        let htu = format!("HTTPS://RS.example.com:443{}?q", respelt(&sent, &choices));
        prop_assert!(target().matches(&htu, &sent), "{} {}", htu, sent);
    }

    #[test]
    fn an_accepted_url_has_the_configured_origin_for_the_url_standard_too(
        htu in prop_oneof![
            "(https|http|HTTPS|wss)?:?/{0,3}[a-z@:.]{0,4}(rs\\.example\\.com)?[@:.%0-9a-z\\\\]{0,6}[/?#\\\\]?[a-z/?#%.@]{0,6}",
            "https://rs\\.example\\.com(:443)?/[a-z/?#%.2eEfF]{0,6}",
        ],
        path in paths(),
    ) {
        if target().matches(&htu, &path) {
            let url = Url::parse(&htu).unwrap();
            prop_assert_eq!(url.origin().ascii_serialization(), "https://rs.example.com");
            prop_assert!(url.username().is_empty() && url.password().is_none());
        }
    }
}
