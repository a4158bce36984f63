//! URI templates (RFC 6570), read backwards: does a URI come from this one?

use std::ops::RangeInclusive;

use memchr::memmem::Finder;

use super::uri::{decoded, readable, spelled};
use crate::mcp::request::MAX_URI;

/// A URI or a template of URIs, as a scope rule has it.
#[derive(Debug)]
pub(super) struct UriTemplate {
    text: Box<str>,
    exact: Vec<Part>,
    /// The same with [`readable`] literals, as they are spelled and percent-decoded.
    spelled: Vec<Part>,
    /// `None` if that is the same.
    decoded: Option<Vec<Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    /// What a simple expression expands to: anything without a slash.
    Segment,
    /// What any other expression expands to: anything.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTemplate {
    #[error("it is empty or longer than {MAX_URI} bytes")]
    Length,
    #[error("a brace has no partner")]
    Braces,
    #[error("an expression between braces is empty or has another character than letters, digits and `_.,:*%+#/;?&`")]
    Expression,
    #[error("it has more than {MAX_EXPRESSIONS} expressions")]
    TooManyExpressions,
}

impl UriTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.is_empty() || text.len() > MAX_URI {
            return Err(InvalidTemplate::Length);
        }
        let exact = parts(text)?;
        if exact.iter().filter(|part| !matches!(part, Part::Literal(_))).count() > MAX_EXPRESSIONS {
            return Err(InvalidTemplate::TooManyExpressions);
        }
        let spelled = readable_parts(&exact, spelled);
        let decoded = Some(readable_parts(&exact, decoded)).filter(|decoded| *decoded != spelled);
        Ok(Self { spelled, decoded, exact, text: text.into() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a server that reads a URI like this takes it for one of these. A slash at the end more or less is no
    /// difference.
    pub(super) fn fits(&self, reading: &[u8]) -> bool {
        let spellings = || std::iter::once(&self.spelled).chain(&self.decoded);
        let fits = |reading| spellings().any(|parts| matches(parts, reading, b"/"));
        fits(reading) || reading.strip_suffix(b"/").is_some_and(fits)
    }

    /// Whether a server that changes nothing about a URI takes it for one of these: `.` is a name to it like any other.
    pub(super) fn fits_literally(&self, uri: &[u8]) -> bool {
        matches(&self.exact, uri, b"/")
    }

    /// Whether a URI of this template could be one of `other`, as far as their beginnings say.
    pub(super) fn may_overlap(&self, other: &str) -> bool {
        self.may_enclose(other) || beginning(&self.text).starts_with(&beginning(other))
    }

    /// Whether all URIs of `other` could be of this template, as far as their beginnings say.
    pub(super) fn may_enclose(&self, other: &str) -> bool {
        beginning(other).starts_with(&beginning(&self.text))
    }

    /// Whether every server takes `uri` for one of these. For rules that ask for nothing.
    pub(super) fn surely_matches(&self, uri: &str) -> bool {
        let is_plain = !uri.bytes().any(|byte| matches!(byte, b'%' | b'\\') || !byte.is_ascii_graphic())
            && !uri.split(['/', '?', '#']).any(|segment| matches!(segment, "." | ".."));
        is_plain && matches(&self.exact, uri.as_bytes(), b"/?#")
    }
}

/// What stands before the first expression.
fn beginning(template: &str) -> Vec<u8> {
    readable(&decoded(template.split('{').next().unwrap_or_default().as_bytes()))
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
            parts.push(Part::Literal(literal.as_bytes().into()));
        }
        if let Some(expression) = expression {
            parts.push(expression_part(expression)?);
        }
    }
    Ok(parts)
}

fn expression_part(expression: &str) -> Result<Part, InvalidTemplate> {
    let (operator, variables) = match expression.split_at_checked(1) {
        Some((operator, variables)) if "+#./;?&".contains(operator) => (Some(operator), variables),
        _ => (None, expression),
    };
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.,:*%".contains(&byte);
    if variables.is_empty() || !variables.bytes().all(is_good) {
        return Err(InvalidTemplate::Expression);
    }
    Ok(if operator.is_some() { Part::Rest } else { Part::Segment })
}

/// Literals keep the slashes at which they meet expressions: only doubled ones go, and one at the very end.
fn readable_parts(exact: &[Part], spell: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Part> {
    let last = exact.len().saturating_sub(1);
    let readable = exact.iter().enumerate().map(|(index, part)| match part {
        Part::Literal(literal) => {
            let mut bytes = spell(literal);
            bytes.dedup_by(|next, before| *next == b'/' && *before == b'/');
            if index == last && bytes.last() == Some(&b'/') {
                bytes.pop();
            }
            Part::Literal(bytes.into())
        }
        other => other.clone(),
    });
    readable.collect()
}

/// Places in a URI, as ranges in order and apart.
type Places = Vec<RangeInclusive<usize>>;

/// Follows all ways at once: `reached` holds every place where what stands before could end. A segment ends at one of
/// `ends`.
fn matches(parts: &[Part], uri: &[u8], ends: &[u8]) -> bool {
    let mut reached: Places = vec![0..=0];
    for part in parts {
        reached = match part {
            Part::Literal(literal) => after_literal(reached, uri, literal),
            Part::Segment => after_segment(&reached, uri, ends),
            Part::Rest => reached.first().map(|first| *first.start()..=uri.len()).into_iter().collect(),
        };
        if reached.is_empty() {
            return false;
        }
    }
    reached.last().is_some_and(|last| *last.end() == uri.len())
}

fn after_literal(reached: Places, uri: &[u8], literal: &[u8]) -> Places {
    if literal.is_empty() {
        return reached;
    }
    let finder = Finder::new(literal);
    let mut next = Places::new();
    for range in reached {
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

fn after_segment(reached: &Places, uri: &[u8], ends: &[u8]) -> Places {
    let mut next = Places::new();
    for range in reached {
        let known = next.last().map(|last| *last.end());
        // In a segment that has been followed to its end already.
        if known.is_some_and(|known| *range.end() <= known) {
            continue;
        }
        let rest = uri.get(*range.end()..).unwrap_or_default();
        let length = rest.iter().position(|byte| ends.contains(byte)).unwrap_or(rest.len());
        next.push(*range.start()..=range.end().saturating_add(length));
    }
    next
}

/// Each costs a walk over the URI.
const MAX_EXPRESSIONS: usize = 16;

#[cfg(test)]
mod tests;
