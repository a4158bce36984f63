//! Reads the messages of a JSON-RPC body, and rejects ambiguous JSON.
//!
//! The layer decides by what it reads here, and the handler reads the same bytes again with another parser. JSON parsers
//! differ: of a repeated name some take the first value and some the last, some compare names without case, and some end
//! a text at a NUL. So a body is rejected if a member that matters is repeated, or if the name of another member could be
//! taken for it. Members that do not matter, such as the arguments of a tool, may hold any JSON.

use std::fmt;
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::operation::Operation;
use crate::json::{Text, next_name};

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

/// The values of the members `names` of an object, in the order of `names`. `None` if the object is ambiguous.
pub(super) fn members<'b, const N: usize>(
    object: &'b RawValue,
    names: [&'static str; N],
) -> Option<[Option<&'b RawValue>; N]> {
    MembersSeed(names).deserialize(&mut serde_json::Deserializer::from_str(object.get())).ok()
}

/// Reads an object and keeps the values of the named members.
struct MembersSeed<const N: usize>([&'static str; N]);

impl<'b, const N: usize> DeserializeSeed<'b> for MembersSeed<N> {
    type Value = [Option<&'b RawValue>; N];

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b, const N: usize> Visitor<'b> for MembersSeed<N> {
    type Value = [Option<&'b RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(name) = next_name(&mut members)? {
            let place = self.0.iter().zip(&mut values).find(|(known, _)| **known == name);
            let Some((known, value)) = place else {
                if self.0.iter().any(|known| could_be(&name, known)) {
                    return Err(A::Error::custom("an ambiguous name"));
                }
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if value.replace(members.next_value()?).is_some() && !MAY_REPEAT.contains(known) {
                return Err(A::Error::custom("a repeated name"));
            }
        }
        Ok(values)
    }
}

/// Whether some parser could take `name`, which is another name than `known`, for `known`.
fn could_be(name: &str, known: &str) -> bool {
    // A text ends at a NUL for code in C.
    name.contains('\0') || (!MAY_REPEAT.contains(&known) && (name.eq_ignore_ascii_case(known) || folds_to(name, known)))
}

/// Compares without case as Unicode does. Some characters are not ASCII letters and still equal one: the long s, the Kelvin
/// sign, the Turkish i with and without its dot, ligatures.
fn folds_to(name: &str, known: &str) -> bool {
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let folded = folded.filter(|character| *character != DOT_ABOVE);
    !name.is_ascii() && folded.eq(known.chars().map(|character| character.to_ascii_lowercase()))
}

/// A JSON string.
pub(super) fn text(value: &RawValue) -> Option<std::borrow::Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|Text(text)| text)
}

/// JSON-RPC also allows an array of parameters, which some parsers match with names.
pub(super) fn is_object_or_null(params: &RawValue) -> bool {
    params.get().starts_with('{') || params.get() == "null"
}

/// The members of a message that are read.
const MESSAGE: [&str; 5] = ["method", "params", "id", "result", "error"];
/// The members of a message whose values do not matter.
const MAY_REPEAT: [&str; 3] = ["id", "result", "error"];
/// The longest `id` that is sent back, in bytes of JSON. A UUID fits.
const MAX_ID: usize = 256;
/// The most messages in a batch. Clients send fewer, and the layer decides about this many quickly.
const MAX_BATCH: usize = 1_000;
/// The combining dot that remains of a capital I with a dot in lower case.
const DOT_ABOVE: char = '\u{307}';

#[cfg(test)]
mod tests;
