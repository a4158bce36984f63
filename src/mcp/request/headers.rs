//! The headers that repeat the operation of the body, for proxies that do not read bodies (MCP 2026-07-28, Streamable
//! HTTP).

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName};

use super::operation::Operation;

/// The values of `Mcp-Method` and `Mcp-Name`.
///
/// The layer decides by the body. If a header contradicts it, a proxy may have decided about another operation than the one
/// that would run, and the request is rejected.
#[derive(Debug)]
pub(in crate::mcp) struct OperationHeaders<'h> {
    method: Option<&'h str>,
    name: Option<Cow<'h, str>>,
}

/// One of the headers is repeated or malformed.
#[derive(Debug)]
pub(in crate::mcp) struct MalformedHeader;

impl<'h> OperationHeaders<'h> {
    pub(in crate::mcp) fn parse(headers: &'h HeaderMap) -> Result<Self, MalformedHeader> {
        let name = single_value(headers, &MCP_NAME)?.map(decoded).transpose()?;
        Ok(Self { method: single_value(headers, &MCP_METHOD)?, name })
    }

    /// Whether no header contradicts `operation`. A missing header agrees with everything.
    pub(in crate::mcp) fn agree_with(&self, operation: &Operation<'_>) -> bool {
        let method_agrees = self.method.is_none_or(|method| *method == *operation.method);
        let names = self.name.as_deref().zip(operation.name());
        method_agrees && names.is_none_or(|(header, body)| header == body)
    }
}

fn single_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, MalformedHeader> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // White space around a value is not part of it (RFC 9110, section 5.5). HTTP servers remove it; code that calls
        // this service directly may not.
        (Some(value), None) => value.to_str().map(|value| Some(value.trim_ascii())).map_err(|_| MalformedHeader),
        (Some(_), Some(_)) => Err(MalformedHeader),
    }
}

/// Decodes a name that a header cannot hold as it is: it is sent as `=?base64?...?=`.
fn decoded(text: &str) -> Result<Cow<'_, str>, MalformedHeader> {
    let Some(encoded) = text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) else {
        return Ok(text.into());
    };
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| MalformedHeader)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| MalformedHeader)
}

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
