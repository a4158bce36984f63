//! Why two identifiers that look alike are different.

use url::Url;

use crate::deployment::is_loopback;

/// Says what is different, if the two identifiers probably mean the same server.
pub(super) fn explain(expected: &str, found: &str) -> Option<&'static str> {
    if expected.trim_end_matches('/') == found.trim_end_matches('/') {
        return Some("they differ in the slash at the end");
    }
    if expected.eq_ignore_ascii_case(found) {
        return Some("they differ in upper and lower case");
    }
    let (Ok(one), Ok(other)) = (Url::parse(expected), Url::parse(found)) else { return None };
    let paths = [one.path(), other.path()].map(|path| path.trim_end_matches('/'));
    if paths[0] != paths[1] {
        return one.host().is_some_and(|host| Some(host) == other.host()).then_some("they differ in the path");
    }
    if one.host() != other.host() {
        let are_local = is_loopback(&one) && is_loopback(&other);
        return are_local.then_some("both names mean this machine, but identifiers are compared byte for byte");
    }
    match one.scheme() == other.scheme() {
        true => Some("they differ in the port"),
        false => Some("they differ in the scheme"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_named() {
        for (expected, found, explained) in [
            ("https://h/a", "https://h/a/", Some("slash")),
            ("https://H/a", "https://h/a", Some("case")),
            ("http://localhost:1/a", "http://127.0.0.1:1/a", Some("this machine")),
            ("http://h/a", "https://h/a", Some("scheme")),
            ("https://h:1/a", "https://h:2/a", Some("port")),
            ("https://h/a", "https://h/b", Some("path")),
            ("https://h/a", "https://other/a", None),
            ("https://h/a", "x", None),
        ] {
            let found = explain(expected, found);
            assert_eq!(found.is_some(), explained.is_some(), "{expected}: {found:?}");
            assert!(found.unwrap_or_default().contains(explained.unwrap_or_default()), "{expected}: {found:?}");
        }
    }
}
