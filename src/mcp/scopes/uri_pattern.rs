//! Which URIs a rule for resources applies to.
//!
//! A rule applies to a canonical URI that its template matches as it is written. It also applies if a lenient server could
//! take the URI for one of the template, so that nobody gets around the rule by another spelling:
//!
//! | a server that | takes | for | done in |
//! |---|---|---|---|
//! | ignores a port, query or fragment that it does not expect | `notes://h:7/1?q#f` | `notes://h/1` | [`CanonicalUri::lenient_readings`] |
//! | ignores a slash at the end, or adds one | `notes://h/1/` | `notes://h/1` | [`CanonicalUri::lenient_readings`] |
//! | decodes a URI before it splits it | `notes://h%2F1` | `notes://h/1` | [`CanonicalUri::lenient_readings`], [`UriPattern::new`] |
//! | takes the parameters of a query in any order | `notes://h?b=2&a=1` | `notes://h?a=1&b=2` | [`UriPattern::new`]: any query |
//! | has a file system that ignores case | `file:///A` | `file:///a` | [`UriPattern::new`] |

use regex::bytes::{Regex, RegexBuilder};

use super::uri::{CanonicalUri, decoded};
use super::uri_template::{TemplatePart, UriTemplate};

/// The template of a rule, compiled.
#[derive(Debug)]
pub(super) struct UriPattern {
    template: UriTemplate,
    exact: Regex,
    /// For the readings of lenient servers.
    lenient: Regex,
    /// For the part of such a reading before its query, if the template has a query outside of expressions.
    lenient_path: Option<Regex>,
}

impl UriPattern {
    pub(super) fn new(template: UriTemplate) -> Self {
        let plain = template.parts().to_vec();
        let decode = |part: &TemplatePart| match part {
            TemplatePart::Literal(text) => {
                TemplatePart::Literal(decoded(text).ok().flatten().map_or_else(|| text.clone(), Into::into))
            }
            expression => expression.clone(),
        };
        let spellings = [plain.iter().map(decode).collect(), plain];
        let paths: Vec<_> = spellings.iter().filter_map(|parts| before_query(parts)).collect();
        let ignores_case = template.as_str().starts_with("file:");
        Self {
            exact: regex(&[template.parts()], false),
            lenient: regex(&spellings, ignores_case),
            lenient_path: (!paths.is_empty()).then(|| regex(&paths, ignores_case)),
            template,
        }
    }

    pub(super) const fn template(&self) -> &UriTemplate {
        &self.template
    }

    /// Whether the template matches `uri` as it is written.
    pub(super) fn matches(&self, uri: &CanonicalUri<'_>) -> bool {
        uri.optional().is_within(self.template.optional()) && self.matches_text(uri.text())
    }

    /// Whether the template matches `uri` for every server, also for one that decodes it first. A public template must
    /// match in this way.
    pub(super) fn surely_matches(&self, uri: &CanonicalUri<'_>) -> bool {
        self.matches(uri) && uri.decoded().is_none_or(|decoded| self.matches_text(decoded))
    }

    pub(super) fn matches_text(&self, text: &str) -> bool {
        is_match(&self.exact, text)
    }

    /// Whether a lenient server could take a URI with these [readings](CanonicalUri::lenient_readings) for one of the
    /// template.
    pub(super) fn resembles(&self, readings: &[String]) -> bool {
        readings.iter().any(|reading| {
            let path = reading.split('?').next().unwrap_or_default();
            let path_matches = |regex: &Regex| {
                is_match(regex, path) || (!path.ends_with('/') && is_match(regex, &[path, "/"].concat()))
            };
            is_match(&self.lenient, reading) || self.lenient_path.as_ref().is_some_and(path_matches)
        })
    }
}

/// The parts before the query; `None` if no literal has one.
fn before_query(parts: &[TemplatePart]) -> Option<Vec<TemplatePart>> {
    let mut before = Vec::new();
    for part in parts {
        match part {
            TemplatePart::Literal(text) if text.contains('?') => {
                before.push(TemplatePart::Literal(text.split('?').next()?.into()));
                return Some(before);
            }
            part => before.push(part.clone()),
        }
    }
    None
}

/// Matches a whole text that has one of these spellings. The time that it takes grows with the text and no faster.
#[expect(
    clippy::expect_used,
    reason = "a template has at most 8 KiB, which is far from the limit of a regular expression"
)]
fn regex(spellings: &[impl AsRef<[TemplatePart]>], ignores_case: bool) -> Regex {
    let pattern = |parts: &[TemplatePart]| -> String {
        let patterns = parts.iter().map(|part| match part {
            TemplatePart::Literal(text) => regex::escape(text),
            TemplatePart::Expression(expression) => expression.pattern.to_owned(),
        });
        patterns.collect()
    };
    let alternatives: Vec<_> = spellings.iter().map(|parts| pattern(parts.as_ref())).collect();
    RegexBuilder::new(&format!(r"\A(?:{})\z", alternatives.join("|")))
        .unicode(false)
        .dot_matches_new_line(true)
        .case_insensitive(ignores_case)
        .build()
        .expect("a valid regular expression")
}

fn is_match(regex: &Regex, text: &str) -> bool {
    #[cfg(feature = "testing")]
    comparisons::count();
    regex.is_match(text.as_bytes())
}

/// Counts comparisons of a URI with a template, for tests of how many a request causes.
#[cfg(feature = "testing")]
pub(super) mod comparisons {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        COUNT.with(|count| count.set(count.get().saturating_add(1)));
    }

    /// How many comparisons of a URI with a resource rule this thread has made so far.
    #[must_use]
    pub fn so_far() -> u64 {
        COUNT.with(Cell::get)
    }
}
