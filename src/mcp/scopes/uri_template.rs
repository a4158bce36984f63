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

use super::uri::{CanonicalUri, NotCanonical, OptionalComponents, decoded};
use crate::mcp::request::MAX_URI;

/// A URI or a URI template (RFC 6570) whose URIs are in canonical form.
#[derive(Debug)]
pub(super) struct UriTemplate {
    pub(super) text: Box<str>,
    parts: Vec<TemplatePart>,
    /// The optional components that its URIs have or may have.
    pub(super) optional: OptionalComponents,
    /// One of its URIs, without the query and the fragment of its expressions.
    pub(super) expansion: String,
}

#[derive(Debug, Clone)]
enum TemplatePart {
    Literal(Box<str>),
    Expression(&'static Expression),
}

/// The expressions of one operator (RFC 6570, section 3.2.1), such as `{id}` or `{?page,size}`.
#[derive(Debug)]
struct Expression {
    operator: &'static str,
    /// A regular expression for its expansions. Names and values of variables do not matter.
    pattern: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTemplate {
    #[error("it is empty or longer than {MAX_URI} bytes")]
    Length,
    #[error("an opening or a closing brace is missing")]
    Braces,
    #[error("an expression between braces is empty or has another character than letters, digits and `_.,:*%+#/;?&`")]
    Expression,
    #[error("it has more than {MAX_EXPRESSIONS} expressions")]
    TooManyExpressions,
    #[error(
        "some of its URIs have `//` after the scheme and some do not; write `{{#...}}` and `{{?...}}` at the end only"
    )]
    Beginning,
    #[error("{0}")]
    NotCanonical(NotCanonical),
}

impl UriTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.is_empty() || text.len() > MAX_URI {
            return Err(InvalidTemplate::Length);
        }
        let parts = parts(text)?;
        if parts.iter().filter(|part| matches!(part, TemplatePart::Expression(_))).count() > MAX_EXPRESSIONS {
            return Err(InvalidTemplate::TooManyExpressions);
        }
        // `https://{+path}` does not match a canonical URI of one segment, because `https://x` is written `https://x/`.
        let samples = ["x", "x/x"].map(|reserved| (reserved, expand(&parts, reserved, true)));
        let [first, second] = &samples;
        let is_second = CanonicalUri::parse(&first.1).is_err() && CanonicalUri::parse(&second.1).is_ok();
        let (reserved, longest) = if is_second { second } else { first };
        let uri = CanonicalUri::parse(longest).map_err(InvalidTemplate::NotCanonical)?;
        let expansion = expand(&parts, reserved, false);
        let beginning = |uri: &CanonicalUri<'_>| (uri.has_slashes(), uri.has_empty_authority());
        if CanonicalUri::parse(&expansion).is_ok_and(|shortest| beginning(&shortest) != beginning(&uri)) {
            return Err(InvalidTemplate::Beginning);
        }
        Ok(Self { optional: uri.optional(), expansion, parts, text: text.into() })
    }

    /// The scheme and what follows its colon; `None` if an expression is part of the scheme.
    pub(super) fn scheme(&self) -> Option<(&str, &str)> {
        self.text.split_once(':').filter(|(scheme, _)| !scheme.contains(['{', '/', '?', '#']))
    }

    /// Whether a URI of this template could be one of `other`, as far as the texts before their first expressions say.
    pub(super) fn may_overlap(&self, other: &Self) -> bool {
        self.may_enclose(other) || self.prefix().starts_with(other.prefix())
    }

    /// Whether all URIs of `other` could be URIs of this template, as far as the texts before their first expressions say.
    pub(super) fn may_enclose(&self, other: &Self) -> bool {
        other.prefix().starts_with(self.prefix())
    }

    fn prefix(&self) -> &str {
        self.text.split('{').next().unwrap_or_default()
    }
}

fn parts(text: &str) -> Result<Vec<TemplatePart>, InvalidTemplate> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, opened) = rest.split_once('{').map_or((rest, None), |(literal, opened)| (literal, Some(opened)));
        if literal.contains('}') {
            return Err(InvalidTemplate::Braces);
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal.into()));
        }
        rest = match opened {
            None => "",
            Some(opened) => {
                let (expression, after) = opened.split_once('}').ok_or(InvalidTemplate::Braces)?;
                parts.push(TemplatePart::Expression(Expression::parse(expression)?));
                after
            }
        };
    }
    Ok(parts)
}

impl Expression {
    /// Reads the text between two braces.
    fn parse(text: &str) -> Result<&'static Self, InvalidTemplate> {
        let matching = EXPRESSIONS.iter().find_map(|known| Some((known, text.strip_prefix(known.operator)?)));
        let is_variable = |byte: u8| byte.is_ascii_alphanumeric() || b"_.,:*%".contains(&byte);
        match matching {
            Some((known, variables)) if !variables.is_empty() && variables.bytes().all(is_variable) => Ok(known),
            _ => Err(InvalidTemplate::Expression),
        }
    }
}

/// One of the URIs of a template. `reserved` is the expansion of `{+path}`; a query or fragment of an expression is optional.
fn expand(parts: &[TemplatePart], reserved: &str, with_optional: bool) -> String {
    let expansions = parts.iter().flat_map(|part| match part {
        TemplatePart::Literal(literal) => [literal, ""],
        TemplatePart::Expression(Expression { operator: "+", .. }) => [reserved, ""],
        TemplatePart::Expression(Expression { operator: "#" | "?" | "&", .. }) if !with_optional => ["", ""],
        TemplatePart::Expression(expression) => [expression.operator, "x"],
    });
    expansions.collect()
}

/// The template of a rule, compiled.
#[derive(Debug)]
pub(super) struct UriPattern {
    pub(super) template: UriTemplate,
    exact: Regex,
    /// For the readings of lenient servers.
    lenient: Regex,
    /// For the part of such a reading before its query, if the template has a query outside of expressions.
    lenient_path: Option<Regex>,
}

impl UriPattern {
    pub(super) fn new(template: UriTemplate) -> Self {
        let plain = template.parts.clone();
        let decode = |part: &TemplatePart| match part {
            TemplatePart::Literal(text) => {
                TemplatePart::Literal(decoded(text).ok().flatten().map_or_else(|| text.clone(), Into::into))
            }
            expression => expression.clone(),
        };
        let spellings = [plain.iter().map(decode).collect(), plain];
        let paths: Vec<_> = spellings.iter().filter_map(|parts| before_query(parts)).collect();
        let ignores_case = template.text.starts_with("file:");
        Self {
            exact: regex(&[template.parts.as_slice()], false),
            lenient: regex(&spellings, ignores_case),
            lenient_path: (!paths.is_empty()).then(|| regex(&paths, ignores_case)),
            template,
        }
    }

    /// Whether the template matches `uri` as it is written.
    pub(super) fn matches(&self, uri: &CanonicalUri<'_>) -> bool {
        uri.optional().is_within(self.template.optional) && self.matches_text(uri.text())
    }

    /// Whether the template matches `uri` for every server, also for one that decodes it first. A public template must
    /// match in this way.
    pub(super) fn surely_matches(&self, uri: &CanonicalUri<'_>) -> bool {
        self.matches(uri) && uri.decoded().is_none_or(|decoded| self.matches_text(decoded))
    }

    fn matches_text(&self, text: &str) -> bool {
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

/// Every operator, and the empty one last. An expression may also expand to nothing.
const EXPRESSIONS: [Expression; 8] = [
    Expression { operator: "+", pattern: "[^?#]*" },
    Expression { operator: "#", pattern: "(?:#.*)?" },
    Expression { operator: ".", pattern: r"(?:\.[^/?#]*)?" },
    Expression { operator: "/", pattern: "(?:/[^?#]*)?" },
    Expression { operator: ";", pattern: "(?:;[^/?#]*)?" },
    Expression { operator: "?", pattern: r"(?:\?[^#]*)?" },
    Expression { operator: "&", pattern: "(?:&[^#]*)?" },
    Expression { operator: "", pattern: "[^/?#]*" },
];
/// The most expressions in a template. Each makes matching slower.
const MAX_EXPRESSIONS: usize = 16;

#[cfg(test)]
mod tests;
