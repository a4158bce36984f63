//! URI templates (RFC 6570), read backwards: does a URI come from this one?

use std::ops::RangeInclusive;

use memchr::memmem::Finder;

use super::uri::{CanonicalUri, NotCanonical, Optional, decoded};
use crate::mcp::request::MAX_URI;

/// A URI or a template of URIs, as a scope rule has it. All that a look-up needs is made when the template is parsed.
#[derive(Debug)]
pub(super) struct UriTemplate {
    text: Box<str>,
    parts: Vec<Part>,
    /// The forms of this template that a careless server compares a URI with.
    careless: Vec<Careless>,
    optional: Optional,
    expansion: Box<str>,
}

/// A template as a careless server has it: in lower case for `file` URIs, because there are file systems that ignore case;
/// as it is, and decoded; and without its query, if the rule writes one, since the order of parameters means nothing.
#[derive(Debug)]
struct Careless {
    parts: Vec<Part>,
    has_query: bool,
}

#[derive(Debug)]
enum Part {
    Literal(Box<Finder<'static>>),
    Expression(Expression),
}

/// The expansions of the expressions of one operator (RFC 6570, section 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expression {
    /// The first character of every expansion but the empty one.
    first: Option<u8>,
    /// The characters that no expansion has.
    ends: &'static [u8],
    /// An expansion.
    sample: &'static str,
    /// Whether a template has it for a query or a fragment, which may be missing.
    is_optional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTemplate {
    #[error("it is empty or longer than {MAX_URI} bytes")]
    Length,
    #[error("a brace has no partner")]
    Braces,
    #[error("an expression between braces is empty or has another character than letters, digits and `_.,:*%+#/;?&`")]
    Expression,
    #[error("it has more than {MAX_EXPRESSIONS} expressions")]
    TooManyExpressions,
    #[error(
        "some of its URIs have `//` after the scheme and some do not: write `{{#...}}` and `{{?...}}` at the end only"
    )]
    Beginning,
    #[error("{0}")]
    NotCanonical(NotCanonical),
}

impl Part {
    fn literal(text: &[u8]) -> Self {
        Self::Literal(Box::new(Finder::new(text).into_owned()))
    }
}

impl UriTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.is_empty() || text.len() > MAX_URI {
            return Err(InvalidTemplate::Length);
        }
        let parts = parts(text)?;
        if parts.iter().filter(|part| matches!(part, Part::Expression(_))).count() > MAX_EXPRESSIONS {
            return Err(InvalidTemplate::TooManyExpressions);
        }
        let samples = ["x", "x/x"].map(|reserved| expanded(&parts, reserved, true));
        let [optional, other] = samples.each_ref().map(|sample| CanonicalUri::parse(sample).map(|uri| uri.optional()));
        let reserved = if optional.is_err() && other.is_ok() { "x/x" } else { "x" };
        let [with_optional, expansion] = [true, false].map(|with_optional| expanded(&parts, reserved, with_optional));
        let beginning =
            |uri: &str| CanonicalUri::parse(uri).ok().map(|uri| (uri.has_slashes(), uri.has_empty_authority()));
        if beginning(&expansion).is_some_and(|found| beginning(&with_optional).is_some_and(|other| other != found)) {
            return Err(InvalidTemplate::Beginning);
        }
        Ok(Self {
            optional: optional.or_else(|reason| other.map_err(|_| InvalidTemplate::NotCanonical(reason)))?,
            expansion: expansion.into(),
            careless: Careless::all(&parts, text.starts_with("file:")),
            parts,
            text: text.into(),
        })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme and what follows its colon, if the template begins with a scheme and not with an expression.
    pub(super) fn scheme(&self) -> Option<(&str, &str)> {
        self.text.split_once(':').filter(|(scheme, _)| !scheme.contains(['{', '/', '?', '#']))
    }

    /// Which optional parts its URIs have or may have.
    pub(super) const fn optional(&self) -> Optional {
        self.optional
    }

    /// One of its URIs, without the query and the fragment of its expressions.
    pub(super) fn expansion(&self) -> &str {
        &self.expansion
    }

    /// The text before the first expression.
    pub(super) fn beginning(&self) -> &str {
        self.text.split('{').next().unwrap_or_default()
    }

    /// Whether `uri` is one of these, as it is written.
    pub(super) fn matches(&self, uri: &CanonicalUri<'_>) -> bool {
        uri.optional().is_within(self.optional) && self.matches_text(uri.text())
    }

    /// The same for a rule that lets everybody through: a server that decodes the URI first must find it here, too.
    pub(super) fn surely_matches(&self, uri: &CanonicalUri<'_>) -> bool {
        self.matches(uri) && uri.decoded().is_none_or(|decoded| self.matches_text(decoded))
    }

    /// Whether a server that reads a URI in one of these ways takes it for one of these. A slash at the end makes no
    /// difference to it.
    pub(super) fn resembles(&self, readings: &[String]) -> bool {
        let is_file = self.text.starts_with("file:");
        readings.iter().any(|reading| {
            let reading = if is_file { reading.to_ascii_lowercase() } else { reading.clone() };
            self.careless.iter().any(|careless| careless.matches(&reading))
        })
    }

    /// Whether a URI of this template could be one of `other`, as far as their beginnings say.
    pub(super) fn may_overlap(&self, other: &Self) -> bool {
        self.may_enclose(other) || self.beginning().starts_with(other.beginning())
    }

    /// Whether all URIs of `other` could be of this template, as far as their beginnings say.
    pub(super) fn may_enclose(&self, other: &Self) -> bool {
        other.beginning().starts_with(self.beginning())
    }

    pub(super) fn matches_text(&self, text: &str) -> bool {
        matches_parts(&self.parts, text)
    }
}

/// Follows all ways at once: `reached` holds every place where what stands before could end.
fn matches_parts(parts: &[Part], text: &str) -> bool {
    #[cfg(feature = "testing")]
    comparisons::count();
    let uri = text.as_bytes();
    let mut reached: Places = vec![0..=0];
    for part in parts {
        reached = match part {
            Part::Literal(literal) => after_literal(reached, uri, literal),
            Part::Expression(expression) => after_expression(&reached, uri, *expression),
        };
        if reached.is_empty() {
            return false;
        }
    }
    reached.last().is_some_and(|last| *last.end() == uri.len())
}

impl Careless {
    fn all(parts: &[Part], is_file: bool) -> Vec<Self> {
        let parts =
            if is_file { with_literals(parts, str::to_ascii_lowercase) } else { with_literals(parts, str::to_owned) };
        let is_encoded =
            parts.iter().any(|part| matches!(part, Part::Literal(literal) if literal.needle().contains(&b'%')));
        let decoded = is_encoded.then(|| {
            with_literals(&parts, |literal| decoded(literal).ok().flatten().unwrap_or_else(|| literal.to_owned()))
        });
        let mut all = Vec::new();
        for parts in std::iter::once(parts).chain(decoded) {
            all.extend(Self::without_query(&parts));
            all.push(Self { parts, has_query: true });
        }
        all
    }

    /// `None` if no literal has the beginning of a query.
    fn without_query(parts: &[Part]) -> Option<Self> {
        let is_query = |part: &Part| matches!(part, Part::Literal(literal) if literal.needle().contains(&b'?'));
        let end = parts.iter().position(is_query)?;
        let mut parts = with_literals(parts.get(..=end)?, str::to_owned);
        if let Some(Part::Literal(literal)) = parts.pop() {
            let before = literal.needle().split(|byte| *byte == b'?').next().unwrap_or_default();
            parts.push(Part::literal(before));
        }
        Some(Self { parts, has_query: false })
    }

    fn matches(&self, reading: &str) -> bool {
        let reading = if self.has_query { reading } else { reading.split('?').next().unwrap_or_default() };
        let with_slash = || matches_parts(&self.parts, &[reading, "/"].concat());
        matches_parts(&self.parts, reading) || (!reading.ends_with('/') && with_slash())
    }
}

fn with_literals(parts: &[Part], change: impl Fn(&str) -> String) -> Vec<Part> {
    let changed = parts.iter().map(|part| match part {
        // Literals are what is left of a text between braces, which are ASCII.
        Part::Literal(literal) => Part::literal(change(&String::from_utf8_lossy(literal.needle())).as_bytes()),
        Part::Expression(expression) => Part::Expression(*expression),
    });
    changed.collect()
}

fn parts(text: &str) -> Result<Vec<Part>, InvalidTemplate> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, expression) = match rest.split_once('{') {
            None => (std::mem::take(&mut rest), None),
            Some((literal, opened)) => {
                let (expression, after) = opened.split_once('}').ok_or(InvalidTemplate::Braces)?;
                rest = after;
                (literal, Some(expression))
            }
        };
        if literal.contains('}') {
            return Err(InvalidTemplate::Braces);
        }
        if !literal.is_empty() {
            parts.push(Part::literal(literal.as_bytes()));
        }
        if let Some(expression) = expression {
            parts.push(Part::Expression(Expression::parse(expression)?));
        }
    }
    Ok(parts)
}

impl Expression {
    const SIMPLE: Self = Self { first: None, ends: b"/?#", sample: "x", is_optional: false };
    const RESERVED: Self = Self { first: None, ends: b"?#", sample: "x", is_optional: false };

    /// Reads what stands between braces.
    fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let (expression, variables) = match text
            .split_at_checked(1)
            .and_then(|(operator, variables)| Self::of_operator(operator).map(|expression| (expression, variables)))
        {
            Some(found) => found,
            None => (Self::SIMPLE, text),
        };
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.,:*%".contains(&byte);
        if variables.is_empty() || !variables.bytes().all(is_valid) {
            return Err(InvalidTemplate::Expression);
        }
        Ok(expression)
    }

    fn of_operator(operator: &str) -> Option<Self> {
        let (first, ends, sample): (_, &[u8], _) = match operator {
            "+" => return Some(Self::RESERVED),
            "#" => (Some(b'#'), b"", "#x"),
            "." => (Some(b'.'), b"/?#", ".x"),
            "/" => (Some(b'/'), b"?#", "/x"),
            ";" => (Some(b';'), b"/?#", ";x"),
            "?" => (Some(b'?'), b"#", "?x"),
            "&" => (Some(b'&'), b"#", "&x"),
            _ => return None,
        };
        Some(Self { first, ends, sample, is_optional: matches!(operator, "#" | "?" | "&") })
    }
}

/// One of the URIs of a template: `reserved` is what `{+path}` expands to.
fn expanded(parts: &[Part], reserved: &str, with_optional: bool) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            // Literals are what is left of a text between braces, which are ASCII.
            Part::Literal(literal) => text.push_str(&String::from_utf8_lossy(literal.needle())),
            Part::Expression(Expression::RESERVED) => text.push_str(reserved),
            Part::Expression(expression) if expression.is_optional && !with_optional => {}
            Part::Expression(expression) => text.push_str(expression.sample),
        }
    }
    text
}

/// Places in a URI, as ranges in order and apart.
type Places = Vec<RangeInclusive<usize>>;

fn after_literal(reached: Places, uri: &[u8], finder: &Finder<'_>) -> Places {
    let literal = finder.needle();
    let mut next = Places::new();
    for range in reached {
        // Most templates are told apart by their first literal, which has one place only.
        if range.start() == range.end() {
            if uri.get(*range.start()..).is_some_and(|rest| rest.starts_with(literal)) {
                let after = range.start().saturating_add(literal.len());
                next.push(after..=after);
            }
            continue;
        }
        let end = range.end().saturating_add(literal.len()).min(uri.len());
        let mut from = *range.start();
        while let Some(at) = uri.get(from..end).and_then(|rest| finder.find(rest)) {
            let found = from.saturating_add(at);
            let after = found.saturating_add(literal.len());
            next.push(after..=after);
            // The next one may begin inside this one.
            from = found.saturating_add(1);
        }
    }
    next
}

fn after_expression(reached: &Places, uri: &[u8], Expression { first, ends, .. }: Expression) -> Places {
    let mut next = Places::new();
    // It may expand to nothing. Where it begins with a character of its own, only the places before that one go on.
    let Some(first) = first else {
        for range in reached {
            push_run(&mut next, range, uri, ends);
        }
        return next;
    };
    for range in reached {
        let beginnings = uri.get(*range.start()..).unwrap_or_default().iter().enumerate();
        for (offset, _) in beginnings.filter(|(_, byte)| **byte == first) {
            let at = range.start().saturating_add(offset);
            if at > *range.end() {
                break;
            }
            push_run(&mut next, &(at.saturating_add(1)..=at.saturating_add(1)), uri, ends);
        }
    }
    merged(reached.iter().cloned().chain(next).collect())
}

/// Goes on from every place of `range` to every place before the next one of `ends`.
fn push_run(next: &mut Places, range: &RangeInclusive<usize>, uri: &[u8], ends: &[u8]) {
    let known = next.last().map(|last| *last.end());
    // In a run that has been followed to its end already.
    if known.is_some_and(|known| *range.end() <= known) {
        return;
    }
    let rest = uri.get(*range.end()..).unwrap_or_default();
    let length = rest.iter().position(|byte| ends.contains(byte)).unwrap_or(rest.len());
    next.push(*range.start()..=range.end().saturating_add(length));
}

/// In order and apart.
fn merged(mut places: Places) -> Places {
    places.sort_unstable_by_key(|range| *range.start());
    let mut merged = Places::new();
    for range in places {
        match merged.last_mut() {
            Some(last) if *range.start() <= *last.end() => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Each costs a walk over the URI.
const MAX_EXPRESSIONS: usize = 16;

/// Counts comparisons of a URI with a template, so that tests can tell how many an input causes.
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

#[cfg(test)]
mod tests;
