use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{Text, next_name};

/// The values of the members `names` of an object, in the order of `names`. `None` if the object is ambiguous.
pub(super) fn members<'b, const N: usize>(
    object: &'b RawValue,
    names: [&'static str; N],
) -> Option<[Option<&'b RawValue>; N]> {
    MembersSeed(names).deserialize(&mut serde_json::Deserializer::from_str(object.get())).ok()
}

/// Reads an object and keeps the values of the named members.
pub(super) struct MembersSeed<const N: usize>(pub(super) [&'static str; N]);

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
