//! Strict parsing of JSON: an object with two members of the same name is rejected.
//!
//! Parsers disagree about such an object (RFC 8259, section 4). One parser may check a value that another parser ignores
//! (RFC 7519, section 4). A document is read twice: first its names are checked, then its values are
//! deserialized.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Error, Number};
use smallvec::SmallVec;

/// Reads a document that is one object, in which no object at any level repeats a name.
pub(crate) fn parse<'d, T: Deserialize<'d>>(document: &'d [u8]) -> Result<T, Error> {
    read(document, true)
}

/// Reads a document that is one object and repeats no name. Objects in it may repeat names: the caller reads each of them on
/// its own.
pub(crate) fn parse_outermost<'d, T: Deserialize<'d>>(document: &'d [u8]) -> Result<T, Error> {
    read(document, false)
}

fn read<'d, T: Deserialize<'d>>(document: &'d [u8], is_strict: bool) -> Result<T, Error> {
    let document = std::str::from_utf8(document).map_err(Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(document);
    deserializer.deserialize_map(CheckNames { is_outermost: true, is_strict })?;
    deserializer.end()?;
    serde_json::from_str(document)
}

/// Reads any value and checks its names. [`Value`](serde_json::Value) can read every value that passes, with any features of
/// serde_json.
#[derive(Clone, Copy)]
struct CheckNames {
    /// Whether the value is the document itself.
    is_outermost: bool,
    /// Whether objects below the outermost one are checked too.
    is_strict: bool,
}

impl<'de> DeserializeSeed<'de> for CheckNames {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CheckNames {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Self { is_outermost: false, ..self })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names: SmallVec<[Cow<'de, str>; USUAL_NAMES]> = SmallVec::new();
        while let Some(Text(name)) = members.next_key()? {
            if name.starts_with(PRIVATE) {
                // With the feature `arbitrary_precision`, which any crate of the build may enable, serde_json presents a
                // number as an object with this one name.
                let Text(number) = members.next_value()?;
                let is_number = names.is_empty() && name == PRIVATE_NUMBER && number.parse::<Number>().is_ok();
                let is_alone = members.next_key::<IgnoredAny>()?.is_none();
                return if is_number && is_alone && !self.is_outermost {
                    Ok(())
                } else {
                    Err(A::Error::custom("a member name is reserved by serde_json"))
                };
            }
            names.push(name);
            members.next_value_seed(Self { is_outermost: false, ..self })?;
        }
        // Sorting keeps the check of an object with thousands of names fast.
        names.sort_unstable();
        let repeats = names.windows(2).any(|pair| matches!(pair, [one, next] if one == next));
        let is_checked = self.is_outermost || self.is_strict;
        if repeats && is_checked { Err(A::Error::custom("an object repeats a name")) } else { Ok(()) }
    }
}

/// The next name of an object. A name that serde_json reserves is an error.
pub(crate) fn next_name<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    match members.next_key()? {
        Some(Text(name)) if name.starts_with(PRIVATE) => {
            Err(A::Error::custom("a member name is reserved by serde_json"))
        }
        name => Ok(name.map(|Text(name)| name)),
    }
}

/// A JSON string, borrowed from the document unless it has escapes. The type is needed because serde does not borrow into an
/// `Option<Cow<str>>`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'d>(#[serde(borrow)] pub(crate) Cow<'d, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Reads a member that is present. With `#[serde(default)]`, `None` then means an absent member, and `Some(None)` one
/// whose value is `null`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// This many names are kept on the stack. Most tokens have fewer.
const USUAL_NAMES: usize = 32;
/// The prefix of all names that serde_json reserves.
const PRIVATE: &str = "$serde_json::private::";
const PRIVATE_NUMBER: &str = "$serde_json::private::Number";

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    fn unique_object(document: &[u8]) -> Result<Map<String, Value>, Error> {
        parse(document)
    }

    #[test]
    fn repeated_names_are_rejected_at_every_level() {
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
    fn private_names_of_the_parser_are_rejected() {
        assert!(unique_object(br#"{"a":{"$serde_json::private::RawValue":"{"}}"#).is_err());
        assert!(unique_object(br#"{"a":{"$serde_json::private::Number":"x"}}"#).is_err());
        for name in ["Number", "RawValue"] {
            let document = format!(r#"{{"$serde_json::private::{name}":"1","keys":[]}}"#);
            assert!(parse_outermost::<Value>(document.as_bytes()).is_err());
        }
    }
}
