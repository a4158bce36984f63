//! Text from other servers, made safe for a terminal and a log.

use url::Url;

/// A part of somebody else's text: escaped, and cut to 128 characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut characters = text.chars().flat_map(char::escape_default);
    let mut excerpt: String = characters.by_ref().take(MAX_EXCERPT).collect();
    if characters.next().is_some() {
        excerpt.push_str("...");
    }
    excerpt
}

/// An [`excerpt`] in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", excerpt(text))
}

/// A URL of somebody else without what may be confidential: user, password, query and fragment.
pub(crate) fn public_part(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return excerpt(text.split(['?', '#']).next().unwrap_or_default()) };
    url.set_fragment(None);
    let has_query = url.query().is_some();
    url.set_query(None);
    // A URL that cannot have a user returns an error here, and has none.
    let _without_user = url.set_username("").and_then(|()| url.set_password(None));
    excerpt(&[url.as_str(), if has_query { "?..." } else { "" }].concat())
}

/// The text with every character replaced by its escape that is not printable ASCII.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => printable.push(character),
            _ => printable.extend(character.escape_default()),
        }
    }
    printable
}

/// The most characters of a value: most URLs fit.
const MAX_EXCERPT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_escaped_and_cut() {
        assert_eq!(quoted("a\u{1b}[2Jb\"\n\u{202e}"), "\"a\\u{1b}[2Jb\\\"\\n\\u{202e}\"");
        assert_eq!(excerpt(&"x".repeat(128)), "x".repeat(128));
        assert_eq!(excerpt(&"x".repeat(129)), format!("{}...", "x".repeat(128)));
        assert_eq!(printable("a \"b\" \\ \u{1b}\u{e9}"), "a \"b\" \\ \\u{1b}\\u{e9}");
    }

    #[test]
    fn a_url_is_shown_without_confidential_parts() {
        for (url, shown) in [
            ("https://h/login?state=secret#f", "https://h/login?..."),
            ("https://user:password@h/x", "https://h/x"),
            ("/login?state=secret", "/login"),
            ("https://h/mcp/", "https://h/mcp/"),
            ("mailto:a?x", "mailto:a?..."),
        ] {
            assert_eq!(public_part(url), shown);
        }
    }
}
