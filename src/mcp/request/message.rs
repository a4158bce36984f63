//! Reads the messages of a JSON-RPC body, and rejects ambiguous JSON.
//!
//! The layer decides by what it reads here, and the handler reads the same bytes again with another parser. JSON parsers
//! differ: of a repeated name some take the first value and some the last, some compare names without case, and some end
//! a text at a NUL. So a body is rejected if a member that matters is repeated, or if the name of another member could be
//! taken for it. Members that do not matter, such as the arguments of a tool, may hold any JSON.

use serde_json::value::RawValue;

use super::members::{elements, is_object_or_null, members, text};
use super::operation::{MAX_URIS, Operation};

/// One message of a body: a request, a notification or a response.
#[derive(Debug)]
pub(in crate::mcp) struct Message<'b> {
    id: Option<&'b RawValue>,
    /// The operation of a request or a notification; `None` for a response.
    pub(in crate::mcp) operation: Option<Operation<'b>>,
}

/// Reads a body, which is a single message or a batch (MCP 2025-03-26). `None` if it is not JSON-RPC, if two parsers could
/// read it differently, or if it has more URIs than are compared with rules.
pub(in crate::mcp) fn read(body: &[u8]) -> Option<Vec<Message<'_>>> {
    // serde_json does not check the encoding of members that it skips. Some parsers read quotation marks out of bytes that
    // are not UTF-8.
    let body: &RawValue = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    let unread = if body.get().starts_with('[') { elements(body, MAX_BATCH)? } else { vec![body] };
    let mut messages = Vec::new();
    let (mut uris, mut uri_bytes) = (0_usize, 0_usize);
    for message in unread {
        let message = Message::parse(message)?;
        for uri in message.operation.iter().flat_map(Operation::uris) {
            uris = uris.saturating_add(1);
            uri_bytes = uri_bytes.saturating_add(uri.len());
        }
        if uris > MAX_URIS || uri_bytes > MAX_URI_BYTES {
            return None;
        }
        messages.push(message);
    }
    // A batch is not empty (JSON-RPC 2.0, section 6).
    (!messages.is_empty()).then_some(messages)
}

impl<'b> Message<'b> {
    fn parse(message: &'b RawValue) -> Option<Self> {
        let [method, params, id, result, error] = members(message, ["method", "params", "id", "result", "error"])?;
        let is_response = result.is_some() || error.is_some();
        let operation = match method {
            // To one parser it is a request, to another a response.
            Some(_) if is_response => return None,
            Some(method) => Some(Operation::parse(text(method)?, params)?),
            None if is_response && params.is_none_or(is_object_or_null) => None,
            None => return None,
        };
        Some(Self { id, operation })
    }

    /// The `id` of a request as JSON, for the error response: a number or a string, of bounded length.
    pub(in crate::mcp) fn request_id(&self) -> Option<&'b str> {
        self.operation.as_ref()?;
        let id = self.id.filter(|id| id.get().len() <= MAX_ID)?;
        let is_number = id.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
        (is_number || text(id).is_some()).then(|| id.get())
    }
}

/// The longest `id` that is sent back, in bytes of JSON. A UUID fits.
const MAX_ID: usize = 256;
/// The most messages in a batch. Clients send fewer, and the layer decides about this many quickly.
const MAX_BATCH: usize = 1_000;
/// The most bytes of all URIs in one body.
const MAX_URI_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
