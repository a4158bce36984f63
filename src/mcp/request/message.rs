//! Reads the messages of a JSON-RPC body, and rejects ambiguous JSON.
//!
//! The layer decides by what it reads here, and the handler reads the same bytes again with another parser. JSON parsers
//! differ: of a repeated name some take the first value and some the last, some compare names without case, and some end
//! a text at a NUL. So a body is rejected if a member that matters is repeated, or if the name of another member could be
//! taken for it. Members that do not matter, such as the arguments of a tool, may hold any JSON.

use std::fmt;
use std::ops::ControlFlow;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::members::{MembersSeed, is_object_or_null, text};
use super::operation::Operation;

/// One message of a body: a request, a notification or a response.
#[derive(Debug)]
pub(in crate::mcp) struct Message<'b> {
    id: Option<&'b RawValue>,
    /// The operation of a request or a notification; `None` for a response.
    pub(in crate::mcp) operation: Option<Operation<'b>>,
}

/// A body that is not JSON-RPC, or that two parsers could read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct AmbiguousBody;

/// Reads a body, which is a single message or a batch (MCP 2025-03-26), and calls `visit` with each message in order.
///
/// # Errors
/// [`AmbiguousBody`], also if `visit` breaks off; the rest of the body is not read then.
pub(in crate::mcp) fn read<'b>(
    body: &'b [u8],
    visit: impl FnMut(Message<'b>) -> ControlFlow<()>,
) -> Result<(), AmbiguousBody> {
    // serde_json does not check the encoding of members that it skips. Some parsers read quotation marks out of bytes that
    // are not UTF-8.
    let body = std::str::from_utf8(body).map_err(|_| AmbiguousBody)?;
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let read = deserializer.deserialize_any(BodyVisitor(visit)).and_then(|()| deserializer.end());
    read.map_err(|_| AmbiguousBody)
}

impl<'b> Message<'b> {
    /// Reads the values of [`MESSAGE`].
    fn parse([method, params, id, result, error]: [Option<&'b RawValue>; 5]) -> Option<Self> {
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
    pub(in crate::mcp) fn request_id(&self) -> Option<Box<str>> {
        self.operation.as_ref()?;
        let id = self.id.filter(|id| id.get().len() <= MAX_ID)?;
        let is_number = id.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
        (is_number || text(id).is_some()).then(|| id.get().into())
    }
}

struct BodyVisitor<F>(F);

impl<'b, F: FnMut(Message<'b>) -> ControlFlow<()>> BodyVisitor<F> {
    fn visit<E: Error>(&mut self, members: [Option<&'b RawValue>; 5]) -> Result<(), E> {
        let message = Message::parse(members).ok_or_else(|| E::custom("not a JSON-RPC message"))?;
        match (self.0)(message) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(E::custom("broken off")),
        }
    }
}

impl<'b, F: FnMut(Message<'b>) -> ControlFlow<()>> Visitor<'b> for BodyVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message or a batch of messages")
    }

    fn visit_map<A: MapAccess<'b>>(mut self, members: A) -> Result<(), A::Error> {
        self.visit(MembersSeed(MESSAGE).visit_map(members)?)
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut messages: A) -> Result<(), A::Error> {
        let mut count: usize = 0;
        while let Some(members) = messages.next_element_seed(MembersSeed(MESSAGE))? {
            self.visit(members)?;
            count = count.saturating_add(1);
            if count > MAX_BATCH {
                return Err(A::Error::custom("too many messages in a batch"));
            }
        }
        // JSON-RPC 2.0, section 6.
        if count == 0 { Err(A::Error::custom("an empty batch")) } else { Ok(()) }
    }
}

/// The members of a message that are read.
const MESSAGE: [&str; 5] = ["method", "params", "id", "result", "error"];
/// The longest `id` that is sent back, in bytes of JSON. A UUID fits.
const MAX_ID: usize = 256;
/// The most messages in a batch. Clients send fewer, and the layer decides about this many quickly.
const MAX_BATCH: usize = 1_000;

#[cfg(test)]
mod tests;
