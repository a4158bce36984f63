use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{Text, next_name};

/// The values of the members `names` of an object, in the order of `names`. `None` if the object is ambiguous.
pub(super) fn members<'b, const N: usize>(object: &'b RawValue, names: [&str; N]) -> Option<[Option<&'b RawValue>; N]> {
    let mut values = [None; N];
    let read =
        each_member(object, |name, value| match names.iter().zip(&mut values).find(|(known, _)| **known == name) {
            Some((known, found)) => found.replace(value).is_none() || MAY_REPEAT.contains(known),
            None => !names.iter().any(|known| could_be(&name, known)),
        });
    read.ok().map(|()| values)
}

/// The elements of an array; `None` if there are more than `limit`.
pub(super) fn elements(array: &RawValue, limit: usize) -> Option<Vec<&RawValue>> {
    let mut elements = Vec::new();
    let visitor = PartVisitor(|_: Option<Cow<'_, str>>, element| {
        elements.push(element);
        elements.len() <= limit
    });
    serde_json::Deserializer::from_str(array.get()).deserialize_seq(visitor).ok()?;
    Some(elements)
}

/// Calls `visit` with each member of an object, until it returns `false`, which is an error.
pub(in crate::mcp) fn each_member<'b>(
    object: &'b RawValue,
    mut visit: impl FnMut(Cow<'b, str>, &'b RawValue) -> bool,
) -> serde_json::Result<()> {
    let visitor = PartVisitor(|name: Option<_>, value| name.is_some_and(|name| visit(name, value)));
    serde_json::Deserializer::from_str(object.get()).deserialize_map(visitor)
}

/// Calls its function with each member of an object, or with each element of an array, which does not have a name.
struct PartVisitor<F>(F);

impl<'b, F: FnMut(Option<Cow<'b, str>>, &'b RawValue) -> bool> Visitor<'b> for PartVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'b>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = next_name(&mut members)? {
            if !(self.0)(Some(name), members.next_value()?) {
                return Err(A::Error::custom("an unexpected member"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            if !(self.0)(None, element) {
                return Err(A::Error::custom("an unexpected element"));
            }
        }
        Ok(())
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
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|Text(text)| text)
}

/// JSON-RPC also allows an array of parameters, which some parsers match with names.
pub(super) fn is_object_or_null(params: &RawValue) -> bool {
    params.get().starts_with('{') || params.get() == "null"
}

/// The members of a message whose values do not matter.
const MAY_REPEAT: [&str; 3] = ["id", "result", "error"];
/// The combining dot that remains of a capital I with a dot in lower case.
const DOT_ABOVE: char = '\u{307}';
