//! Reads fields from a [`Node`], and continues after a mistake.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::mistake::{Mistakes, member};
use super::node::Node;
use super::secret::SecretText;
use super::setters;
use crate::escape::{Escaped, MAX_SHOWN};
use crate::jose::Algorithm;
use crate::similar::closest;

/// A type that can be read from a configuration.
pub(super) trait Read: Sized {
    /// `None` after a mistake, which is then in the reader.
    fn read(value: Node, reader: &mut Reader) -> Option<Self>;
}

/// Where the reader is, and which mistakes it has found.
#[derive(Default)]
pub(super) struct Reader {
    path: String,
    pub(super) mistakes: Mistakes,
}

/// The fields of a table that are not read yet.
pub(super) struct Fields(Vec<(String, Node)>);

/// Implements [`Read`] for a struct whose fields have the names of the configuration. The fields after the semicolon are not
/// read.
macro_rules! read_fields {
    ($type:ident: $($field:ident),* $(; $own:ident)?) => {
        impl Read for $type {
            fn read(value: Node, reader: &mut Reader) -> Option<Self> {
                let mut fields = reader.fields(value)?;
                let read = Self { $($field: fields.take(stringify!($field), reader),)* $($own: Default::default())? };
                fields.finish(&[$(stringify!($field)),*], reader);
                Some(read)
            }
        }
    };
}

/// Implements [`Read`] for an enum without data, with the text of each variant.
macro_rules! read_names {
    ($type:ident: $($name:literal => $variant:ident),*) => {
        impl Read for $type {
            fn read(value: Node, reader: &mut Reader) -> Option<Self> {
                reader.name(value, &[$(($name, Self::$variant)),*])
            }
        }
    };
}

pub(super) use {read_fields, read_names};

impl Reader {
    /// Reads a value one level below.
    fn below<T>(&mut self, path: String, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.path, path);
        let value = read(self);
        self.path = outer;
        value
    }

    fn wrong<T>(&mut self, message: impl Into<String>) -> Option<T> {
        let path = self.path.clone();
        self.mistakes.add(&path, message);
        None
    }

    /// Reports a value of another type. It is shown, unless it may be a secret, a list or a table.
    fn mismatch<T>(&mut self, value: &Node, expected: &str) -> Option<T> {
        let (found, kind) = self.shown(value);
        self.wrong(format!("{found} is {kind}; write {expected}"))
    }

    /// The value as a message shows it, and its type.
    fn shown(&self, value: &Node) -> (String, &'static str) {
        let (found, kind) = shown(value);
        if may_have_secrets(&self.path) { ("the value".to_owned(), kind) } else { (found, kind) }
    }

    /// A text as a message shows it.
    fn shown_text(&self, text: &str) -> String {
        if may_have_secrets(&self.path) { "the text".to_owned() } else { format!("\"{}\"", Escaped(text, MAX_SHOWN)) }
    }

    pub(super) fn fields(&mut self, value: Node) -> Option<Fields> {
        let Node::Table(members) = value else {
            let (_, kind) = shown(&value);
            return self.wrong(format!("the value is {kind}; write a table"));
        };
        let mut seen = HashSet::new();
        for (name, _) in &members {
            if !seen.insert(name) {
                let path = member(&self.path, name);
                self.mistakes.add(&path, "the field is given twice; remove one");
            }
        }
        Some(Fields(members))
    }

    pub(super) fn name<T: Copy>(&mut self, value: Node, names: &[(&str, T)]) -> Option<T> {
        let list = names.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(" or ");
        let Node::Text(text) = value else { return self.mismatch(&value, &list) };
        let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.or_else(|| self.wrong(format!("{} is unknown; write {list}", self.shown_text(&text))))
    }

    /// Reads all elements of a list. After a mistake in one of them, the list is left out.
    fn list<T: Read>(&mut self, value: Node, expected: &str) -> Option<Vec<T>> {
        let values = match value {
            Node::List(values) => values,
            Node::Table(_) => {
                let path = self.path.clone();
                return self
                    .wrong(format!("the value is a table; write {expected}, in TOML `[[{path}]]` before each table"));
            }
            value => return self.mismatch(&value, expected),
        };
        let read: Vec<Option<T>> = values
            .into_iter()
            .enumerate()
            .map(|(at, value)| self.below(format!("{}[{at}]", self.path), |reader| T::read(value, reader)))
            .collect();
        read.into_iter().collect()
    }
}

impl Fields {
    /// Reads a field. A field that is absent or `null` has the default.
    pub(super) fn take<T: Read + Default>(&mut self, name: &str, reader: &mut Reader) -> T {
        let Some(at) = self.0.iter().position(|(field, _)| field == name) else { return T::default() };
        let (_, value) = self.0.remove(at);
        self.0.retain(|(field, _)| field != name);
        match value {
            Node::Null => T::default(),
            value => reader.below(member(&reader.path, name), |reader| T::read(value, reader)).unwrap_or_default(),
        }
    }

    /// Reports the fields that are left.
    pub(super) fn finish(self, known: &[&str], reader: &mut Reader) {
        for (name, _) in self.0 {
            let path = member(&reader.path, &name);
            reader.mistakes.unknown(&path, intended(&name, known));
        }
    }
}

/// The field that an unknown name probably means: one with a similar name, a longer name, or the field of a setter.
fn intended<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let longer =
        || known.iter().copied().find(|field| field.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')));
    let is_known = |field: &str| known.iter().any(|known| field.split('.').next() == Some(known));
    closest(name, known.iter().copied())
        .or_else(longer)
        .or_else(|| setters::intended_field(name).filter(|field| is_known(field)))
}

/// Whether a field is in a table with secrets. A secret may be in the wrong field there, so messages do not show values.
pub(super) fn may_have_secrets(path: &str) -> bool {
    path.split(['.', '[']).any(|part| WITH_SECRETS.contains(&part))
}

/// The names of the tables with a [`SecretText`] or the file of a secret.
const WITH_SECRETS: [&str; 3] = ["introspection", "mcp", "redis"];

/// The value as a message shows it if it is not a secret, and its type.
fn shown(value: &Node) -> (String, &'static str) {
    match value {
        Node::Null => ("null".to_owned(), "no value"),
        Node::Boolean(value) => (value.to_string(), "a boolean"),
        Node::Integer(value) => (value.to_string(), "a number"),
        Node::Float(value) => (value.to_string(), "a number"),
        Node::Text(text) => (format!("\"{}\"", Escaped(text, MAX_SHOWN)), "a text"),
        Node::List(_) => ("the value".to_owned(), "a list"),
        Node::Table(_) => ("the value".to_owned(), "a table"),
    }
}

impl Read for bool {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        match value {
            Node::Boolean(value) => Some(value),
            value => reader.mismatch(&value, "true or false, without quotes"),
        }
    }
}

impl Read for usize {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        match value {
            Node::Integer(number) if number >= 0 => Some(Self::try_from(number).unwrap_or(Self::MAX)),
            Node::Integer(_) | Node::Float(_) => {
                let (found, _) = reader.shown(&value);
                reader.wrong(format!("{found} is not a whole number from 0; write one"))
            }
            value => reader.mismatch(&value, "a whole number, without quotes"),
        }
    }
}

impl Read for f64 {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        match value {
            // The text of an integer is a number.
            Node::Integer(number) => number.to_string().parse().ok(),
            Node::Float(number) => Some(number),
            value => reader.mismatch(&value, "a number, without quotes"),
        }
    }
}

impl Read for String {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        match value {
            Node::Text(text) => Some(text),
            value => reader.mismatch(&value, "a text in quotes"),
        }
    }
}

impl Read for PathBuf {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        String::read(value, reader).map(Self::from)
    }
}

impl Read for SecretText {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        match value {
            Node::Text(text) => Some(Self::new(text)),
            // A message must not show the value.
            value => reader.wrong(format!("the value is {}; write a text in quotes", shown(&value).1)),
        }
    }
}

impl Read for Algorithm {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        let text = String::read(value, reader)?;
        match text.parse() {
            Ok(algorithm) => Some(algorithm),
            Err(_) if may_have_secrets(&reader.path) => {
                reader.wrong("the text is not a signature algorithm; write one such as \"ES256\"")
            }
            Err(error) => reader.wrong(format!("{error}")),
        }
    }
}

impl Read for serde_json::Value {
    fn read(value: Node, _: &mut Reader) -> Option<Self> {
        Some(value.into())
    }
}

impl<T: Read> Read for Option<T> {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        T::read(value, reader).map(Some)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        reader.list(value, "a list in brackets")
    }
}

/// The names are free. After a mistake in one of the values, that entry is left out.
impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: Node, reader: &mut Reader) -> Option<Self> {
        let Fields(members) = reader.fields(value)?;
        let members = members.into_iter().filter_map(|(name, value)| {
            let read = reader.below(member(&reader.path, &name), |reader| T::read(value, reader))?;
            Some((name, read))
        });
        Some(members.collect())
    }
}
