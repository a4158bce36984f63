//! The headers that repeat what the body says, for proxies that read no bodies (MCP 2026-07-28, Streamable HTTP).

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName};

use super::operation::Operation;

/// What `Mcp-Method` and `Mcp-Name` say. The body is what counts; but where they disagree, somebody in front may have
/// decided about another operation than the one that would run.
#[derive(Debug)]
pub(in crate::mcp) struct Mirror<'h> {
    method: Option<&'h str>,
    name: Option<Cow<'h, str>>,
}

/// A header that stands twice, or that cannot be read.
#[derive(Debug)]
pub(in crate::mcp) struct Unclear;

impl<'h> Mirror<'h> {
    pub(in crate::mcp) fn of(headers: &'h HeaderMap) -> Result<Self, Unclear> {
        let name = match only(headers, &MCP_NAME)? {
            None => None,
            Some(text) => Some(decode(text)?),
        };
        Ok(Self { method: only(headers, &MCP_METHOD)?, name })
    }

    /// Whether the headers say the same as `operation` wherever they say anything.
    pub(in crate::mcp) fn agrees_with(&self, operation: &Operation<'_>) -> bool {
        let method_agrees = self.method.is_none_or(|method| *method == *operation.method);
        let name_agrees = match (&self.name, operation.name()) {
            (Some(header), Some(body)) => header == body,
            _ => true,
        };
        method_agrees && name_agrees
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // White space around a value is not part of it (RFC 9110, section 5.5); in process it may still be there.
        (Some(value), None) => value.to_str().map(|value| Some(value.trim_ascii())).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

/// A name that a header could not hold travels as `=?base64?...?=`.
fn decode(text: &str) -> Result<Cow<'_, str>, Unclear> {
    match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        None => Ok(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| Unclear)?;
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Unclear)
        }
    }
}

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
