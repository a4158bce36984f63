//! JSON that no two parsers can read in two ways: every object has each of its names once.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use smallvec::SmallVec;

/// Reads a whole document that is an object, and refuses repeated names at every level.
pub(crate) fn unique_object(document: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    walk(document)?;
    serde_json::from_slice(document)
}

/// Whether [`unique_object`] would read a document.
pub(crate) fn is_unique_object(document: &[u8]) -> bool {
    document.trim_ascii_start().starts_with(b"{") && walk(document).is_ok()
}

fn walk(document: &[u8]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    Walk(&mut Names::default()).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Reads a whole document that is an object, and the members of its array `list`, each with whether a name is repeated
/// in it: such a member does not spoil the others.
pub(crate) fn unique_members(document: &[u8], list: &str) -> Result<Option<Vec<(Value, bool)>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let mut names = Names { tolerant: true, ..Names::default() };
    let repeated = ListSeed { list, names: &mut names }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    let Value::Object(mut document) = serde_json::from_slice(document)? else { return Ok(None) };
    let (Some(repeated), Some(Value::Array(members))) = (repeated, document.remove(list)) else { return Ok(None) };
    Ok(Some(members.into_iter().zip(repeated).collect()))
}

/// The names seen so far in the objects that are still open.
#[derive(Default)]
pub(crate) struct Names<'de> {
    seen: SmallVec<[Cow<'de, str>; USUAL]>,
    /// Note a repetition instead of failing.
    tolerant: bool,
    repeated: bool,
}

impl<'de> Names<'de> {
    pub(crate) fn push(&mut self, name: Cow<'de, str>) {
        self.seen.push(name);
    }

    pub(crate) fn depth(&self) -> usize {
        self.seen.len()
    }

    /// Closes the object whose names start at `depth`. Sorting keeps a token of thousands of names cheap.
    pub(crate) fn close<E: Error>(&mut self, depth: usize) -> Result<(), E> {
        let names = self.seen.get_mut(depth..).unwrap_or_default();
        names.sort_unstable();
        let repeated = names.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        self.seen.truncate(depth);
        self.repeated |= repeated;
        if repeated && !self.tolerant { Err(E::custom("a name stands twice in one object")) } else { Ok(()) }
    }
}

/// Reads any value and keeps nothing of it. What it lets pass, `serde_json::Value` can read too, in every
/// combination of that crate's features.
pub(crate) struct Walk<'n, 'de>(pub(crate) &'n mut Names<'de>);

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_element_seed(Walk(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let depth = self.0.depth();
        while let Some(Text(name)) = members.next_key()? {
            if name.starts_with(PRIVATE) {
                private_number(&name, &mut members)?;
            } else {
                members.next_value_seed(Walk(&mut *self.0))?;
            }
            self.0.push(name);
        }
        self.0.close(depth)
    }
}

/// Walks through an object and says of each member of its array `list` whether a name is repeated in it; `None` if there
/// is no such array, and an error if the object itself repeats a name.
struct ListSeed<'l, 'n, 'de> {
    list: &'l str,
    names: &'n mut Names<'de>,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_, '_, 'de> {
    type Value = Option<Vec<bool>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_, '_, 'de> {
    type Value = Option<Vec<bool>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut own, mut repeated) = (Names::default(), None);
        while let Some(name) = next_name(&mut members)? {
            if name == self.list {
                repeated = members.next_value_seed(MembersSeed(&mut *self.names))?;
            } else {
                members.next_value_seed(Walk(&mut *self.names))?;
            }
            own.push(name);
        }
        own.close(0)?;
        Ok(repeated)
    }
}

struct MembersSeed<'n, 'de>(&'n mut Names<'de>);

impl<'de> DeserializeSeed<'de> for MembersSeed<'_, 'de> {
    type Value = Option<Vec<bool>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self).map(Some)
    }
}

impl<'de> Visitor<'de> for MembersSeed<'_, 'de> {
    type Value = Vec<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut repeated = Vec::new();
        loop {
            self.0.repeated = false;
            if members.next_element_seed(Walk(&mut *self.0))?.is_none() {
                return Ok(repeated);
            }
            repeated.push(self.0.repeated);
        }
    }
}

/// The next name of what stands in a document as an object: none that serde_json keeps for itself.
pub(crate) fn next_name<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    match members.next_key()? {
        Some(Text(name)) if name.starts_with(PRIVATE) => Err(A::Error::custom("a name is reserved")),
        name => Ok(name.map(|Text(name)| name)),
    }
}

/// serde_json's feature `arbitrary_precision`, which any crate of a build may switch on, shows a number as an object
/// with one private name; and an object that really has such a name is read as something else.
pub(crate) fn private_number<'de, A: MapAccess<'de>>(name: &str, members: &mut A) -> Result<Number, A::Error> {
    let Text(text) = members.next_value()?;
    match text.parse() {
        Ok(number) if name == PRIVATE_NUMBER => Ok(number),
        _ => Err(A::Error::custom("a name is reserved")),
    }
}

/// Whether a value is `null`; any other is walked through.
pub(crate) struct IsNull<'n, 'de>(pub(crate) &'n mut Names<'de>);

impl<'de> DeserializeSeed<'de> for IsNull<'_, 'de> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for IsNull<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        Walk(self.0).deserialize(deserializer).map(|()| false)
    }
}

/// A JSON string, borrowed where it has no escapes.
#[derive(Debug)]
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// As many names as a token has, beside those that are known: no allocation up to that.
const USUAL: usize = 16;
/// What the names start with that serde_json keeps for itself.
pub(crate) const PRIVATE: &str = "$serde_json::private::";
const PRIVATE_NUMBER: &str = "$serde_json::private::Number";

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_refused_at_every_level() {
        for document in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1},{"b":1,"c":2,"b":3}]}"#,
            "{\"scope\":1,\"s\\u0063ope\":2}",
        ] {
            assert!(unique_object(document.as_bytes()).is_err(), "{document}");
        }
        assert!(unique_object(br#"{"a":{"b":1},"b":[{"b":1},{"b":2}],"A":1,"n":1.5e3,"t":null,"f":false}"#).is_ok());
    }

    #[test]
    fn only_whole_objects_are_read() {
        for document in
            ["", "[]", "1", "null", "{", "{}{}", "{} x", "{}\0", "\u{feff}{}", "{\"a\":1,}", "{'a':1}", "{\"a\":NaN}"]
        {
            assert!(unique_object(document.as_bytes()).is_err(), "{document:?}");
        }
        assert!(unique_object(b"{\"a\":\"\\ud800\"}").is_err());
        assert!(unique_object(b"{\"a\":\"\xc0\x80\"}").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{{\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            assert!(unique_object(deep.as_bytes()).is_err());
        }
    }

    #[test]
    fn private_names_of_the_parser_are_refused() {
        assert!(unique_object(br#"{"a":{"$serde_json::private::RawValue":"{"}}"#).is_err());
        assert!(unique_object(br#"{"a":{"$serde_json::private::Number":"x"}}"#).is_err());
        for name in ["Number", "RawValue"] {
            let document = format!(r#"{{"$serde_json::private::{name}":"1","keys":[]}}"#);
            assert!(unique_members(document.as_bytes(), "keys").is_err());
        }
    }
}
