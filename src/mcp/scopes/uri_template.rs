use super::uri::{CanonicalUri, NotCanonical, OptionalComponents};
use crate::mcp::request::MAX_URI;

/// A URI or a URI template (RFC 6570) whose URIs are in canonical form.
#[derive(Debug)]
pub(super) struct UriTemplate {
    text: Box<str>,
    parts: Vec<TemplatePart>,
    optional: OptionalComponents,
    expansion: Box<str>,
}

#[derive(Debug, Clone)]
pub(super) enum TemplatePart {
    Literal(Box<str>),
    Expression(&'static Expression),
}

/// The expressions of one operator (RFC 6570, section 3.2.1), such as `{id}` or `{?page,size}`.
#[derive(Debug)]
pub(super) struct Expression {
    operator: &'static str,
    /// A regular expression for its expansions. Names and values of variables do not matter.
    pub(super) pattern: &'static str,
    /// An expansion.
    sample: &'static str,
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
        // `https://{+path}` has no canonical URI of one segment, because `https://x` is written `https://x/`.
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
        Ok(Self { optional: uri.optional(), expansion: expansion.into(), parts, text: text.into() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The scheme and what follows its colon; `None` if an expression is part of the scheme.
    pub(super) fn scheme(&self) -> Option<(&str, &str)> {
        self.text.split_once(':').filter(|(scheme, _)| !scheme.contains(['{', '/', '?', '#']))
    }

    /// The optional components that its URIs have or may have.
    pub(super) const fn optional(&self) -> OptionalComponents {
        self.optional
    }

    /// One of its URIs, without the query and the fragment of its expressions.
    pub(super) fn expansion(&self) -> &str {
        &self.expansion
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
    let expansions = parts.iter().map(|part| match part {
        TemplatePart::Literal(literal) => literal,
        TemplatePart::Expression(Expression { operator: "+", .. }) => reserved,
        TemplatePart::Expression(Expression { operator: "#" | "?" | "&", .. }) if !with_optional => "",
        TemplatePart::Expression(expression) => expression.sample,
    });
    expansions.collect()
}

/// Every operator, and the empty one last. An expression may also expand to nothing.
const EXPRESSIONS: [Expression; 8] = [
    Expression { operator: "+", pattern: "[^?#]*", sample: "x" },
    Expression { operator: "#", pattern: "(?:#.*)?", sample: "#x" },
    Expression { operator: ".", pattern: r"(?:\.[^/?#]*)?", sample: ".x" },
    Expression { operator: "/", pattern: "(?:/[^?#]*)?", sample: "/x" },
    Expression { operator: ";", pattern: "(?:;[^/?#]*)?", sample: ";x" },
    Expression { operator: "?", pattern: r"(?:\?[^#]*)?", sample: "?x" },
    Expression { operator: "&", pattern: "(?:&[^#]*)?", sample: "&x" },
    Expression { operator: "", pattern: "[^/?#]*", sample: "x" },
];
/// The most expressions in a template. Each makes matching slower.
const MAX_EXPRESSIONS: usize = 16;

#[cfg(test)]
mod tests;
