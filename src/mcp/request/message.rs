//! What a JSON-RPC body asks for, read in one pass, and only if no other reader could read something else.

use std::fmt;
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::member::{Member, Members};
use super::operation::Operation;
use crate::json::{PRIVATE, Text};

/// One message of a body.
#[derive(Debug)]
pub(in crate::mcp) struct Message<'b> {
    pub(super) id: Option<Member<'b>>,
    /// What it asks for; `None` if it is an answer to what the server asked.
    pub(in crate::mcp) operation: Option<Operation<'b>>,
}

/// A body that two readers could read in two ways, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) struct Unreadable;

/// Reads a whole body, a single message or a batch (MCP 2025-03-26), and hands each message to `visit` as it comes. A body
/// that `visit` breaks off is not read any further, and is unreadable.
pub(in crate::mcp) fn read<'b>(
    body: &'b [u8],
    visit: impl FnMut(Message<'b>) -> ControlFlow<()>,
) -> Result<(), Unreadable> {
    // Of members that it passes over, serde_json would take any bytes, and there are readers that make quotation marks of
    // some that are no UTF-8.
    let body = std::str::from_utf8(body).map_err(|_| Unreadable)?;
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let read = deserializer.deserialize_any(BodyVisitor(visit)).and_then(|()| deserializer.end());
    read.map_err(|_| Unreadable)
}

struct BodyVisitor<F>(F);

impl<'b, F: FnMut(Message<'b>) -> ControlFlow<()>> BodyVisitor<F> {
    fn show<E: Error>(&mut self, message: Message<'b>) -> Result<(), E> {
        match (self.0)(message) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(E::custom("more than is read")),
        }
    }
}

impl<'b, F: FnMut(Message<'b>) -> ControlFlow<()>> Visitor<'b> for BodyVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message or a batch of messages")
    }

    fn visit_map<A: MapAccess<'b>>(mut self, members: A) -> Result<(), A::Error> {
        self.show(message(members)?)
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut messages: A) -> Result<(), A::Error> {
        let mut count: usize = 0;
        while let Some(message) = messages.next_element_seed(MessageSeed)? {
            self.show(message)?;
            count = count.saturating_add(1);
            if count > MAX_BATCH {
                return Err(A::Error::custom("too long a batch"));
            }
        }
        // JSON-RPC 2.0, section 6.
        if count == 0 { Err(A::Error::custom("an empty batch")) } else { Ok(()) }
    }
}

struct MessageSeed;

impl<'b> DeserializeSeed<'b> for MessageSeed {
    type Value = Message<'b>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Message<'b>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for MessageSeed {
    type Value = Message<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'b>>(self, members: A) -> Result<Message<'b>, A::Error> {
        message(members)
    }
}

fn message<'b, A: MapAccess<'b>>(mut members: A) -> Result<Message<'b>, A::Error> {
    let (mut method, mut params, mut id) = (None, None, None::<Member<'b>>);
    let mut answers = false;
    while let Some(Text(name)) = members.next_key()? {
        match name.as_ref() {
            "method" => once(&mut method, members.next_value::<Text<'b>>()?.0)?,
            "params" => once(&mut params, members.next_value::<Member<'b>>()?)?,
            "id" => id = Some(members.next_value()?),
            "result" | "error" => {
                answers = true;
                members.next_value::<IgnoredAny>()?;
            }
            other => {
                check_name(other, &["method", "params"])?;
                members.next_value::<IgnoredAny>()?;
            }
        }
    }
    // A list of parameters has no names, but there are readers that give it some.
    let params = match params {
        None | Some(Member::Null) => Members::default(),
        Some(Member::Object(params)) => *params,
        Some(_) => return Err(A::Error::custom("parameters without names")),
    };
    match method {
        Some(_) if answers => Err(A::Error::custom("both a request and an answer")),
        Some(method) => {
            let operation = Operation::new(method, params).ok_or_else(|| A::Error::custom("no readable name"))?;
            Ok(Message { id, operation: Some(operation) })
        }
        None if answers => Ok(Message { id, operation: None }),
        None => Err(A::Error::custom("neither a request nor an answer")),
    }
}

/// First wins, last wins: readers differ.
pub(super) fn once<T, E: Error>(place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a member stands twice")),
    }
}

/// Refuses a member that another reader could take for one of `known`, or for something else than a member: some compare
/// names without case, and serde_json has names that it reads in a way of its own.
pub(super) fn check_name<E: Error>(name: &str, known: &[&str]) -> Result<(), E> {
    let is_known = |known: &&str| name.eq_ignore_ascii_case(known) || (!name.is_ascii() && folds_to(name, known));
    // Where a NUL stands, a text ends for whoever reads it with C.
    let is_ambiguous = name.starts_with(PRIVATE) || name.contains('\0') || known.iter().any(is_known);
    if is_ambiguous { Err(E::custom("an ambiguous member")) } else { Ok(()) }
}

/// Some characters are ASCII letters to those who compare without case, though they are none: the long s, the Kelvin sign,
/// the Turkish i with and without its dot, ligatures.
fn folds_to(name: &str, known: &str) -> bool {
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let folded = folded.filter(|character| *character != DOT_ABOVE);
    folded.eq(known.chars().map(|character| character.to_ascii_lowercase()))
}

/// How many messages a batch may have: more than a client sends at once, and soon judged.
const MAX_BATCH: usize = 1_000;
/// What a capital dotted I leaves behind in lower case.
const DOT_ABOVE: char = '\u{307}';

#[cfg(test)]
mod tests;
