//! The check of names gives the same results as a simple one, for generated documents with repeated, escaped and reserved
//! names.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::*;
use crate::properties::cases;

fn unique_object(document: &[u8]) -> Result<Map<String, Value>, Error> {
    parse(document)
}

fn is_unique_object(document: &[u8]) -> bool {
    parse::<IgnoredAny>(document).is_ok()
}

/// Whether no object in a value repeats a name.
fn is_unique(value: &RawValue) -> bool {
    is_unique_object(format!("{{\"value\":{value}}}").as_bytes())
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn documents_with_unique_names_are_read(tree in prop_oneof![objects(), trees()]) {
        let text = tree.text();
        let is_good = matches!(tree, Tree::Object(_)) && !tree.repeats() && !tree.is_reserved();
        prop_assert_eq!(is_unique_object(text.as_bytes()), is_good, "{}", text);
        prop_assert_eq!(unique_object(text.as_bytes()).is_ok(), is_good, "{}", text);
        // The two readings of one document are the same.
        if is_good {
            let read = unique_object(text.as_bytes()).unwrap();
            prop_assert_eq!(Value::Object(read), serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn an_ambiguous_entry_does_not_affect_others(
        list in prop::collection::vec(prop_oneof![objects(), trees()], 0..6),
        others in prop::collection::vec((names(), trees()), 0..3),
    ) {
        let mut members = vec![(("list".to_owned(), false), Tree::Array(list.clone()))];
        members.extend(others);
        members.rotate_right(1);
        let document = Tree::Object(members.clone());
        let text = document.text();
        let own: HashSet<_> = members.iter().map(|((name, _), _)| name).collect();
        let read = parse_outermost::<HashMap<String, &RawValue>>(text.as_bytes());
        if own.len() < members.len() || document.is_reserved() {
            prop_assert!(read.is_err(), "{}", text);
        } else {
            let read: Vec<&RawValue> = serde_json::from_str(read.unwrap()["list"].get()).unwrap();
            let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).unwrap();
            let read: Vec<_> = read.into_iter().map(|raw| is_unique(raw).then(|| value(raw))).collect();
            let expected: Vec<_> = list
                .iter()
                .map(|tree| (!tree.repeats()).then(|| serde_json::from_str::<Value>(&tree.text()).unwrap()))
                .collect();
            prop_assert_eq!(read, expected, "{}", text);
        }
    }

    #[test]
    fn a_changed_document_is_read_in_one_way_or_rejected(
        tree in objects(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), bytes(), 0_u8..3), 1..4),
    ) {
        let mut text = tree.text().into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(text.len() + 1);
            match kind {
                0 => text.insert(at, byte),
                1 if at < text.len() => text[at] = byte,
                _ => text.truncate(at),
            }
        }
        let read = unique_object(&text);
        prop_assert_eq!(is_unique_object(&text), read.is_ok());
        // The document that is written again has as many names as the one that was read, so no member was lost.
        if let Ok(read) = read {
            let written = serde_json::to_vec(&read).unwrap();
            prop_assert!(is_unique_object(&written));
            let again = unique_object(&written).unwrap();
            prop_assert_eq!(without_numbers(Value::Object(again)), without_numbers(Value::Object(read)));
        }
    }
}

/// Removes numbers: serde_json may change the last digit of a large one when it writes and reads it.
fn without_numbers(value: Value) -> Value {
    match value {
        Value::Number(_) => Value::Null,
        Value::Array(list) => Value::Array(list.into_iter().map(without_numbers).collect()),
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(name, value)| (name, without_numbers(value))).collect())
        }
        other => other,
    }
}

/// JSON that can repeat a name, and write it with an escape.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(&'static str),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<((String, bool), Tree)>),
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Leaf(text) => (*text).to_owned(),
            Self::Text(text) => serde_json::to_string(text).unwrap(),
            Self::Array(members) => format!("[{}]", members.iter().map(Self::text).collect::<Vec<_>>().join(" ,")),
            Self::Object(members) => {
                let member = |((name, is_escaped), value): &((String, bool), Self)| {
                    format!("{}: {}", written(name, *is_escaped), value.text())
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(",\n"))
            }
        }
    }

    /// Whether an object in it repeats a name.
    fn repeats(&self) -> bool {
        match self {
            Self::Leaf(_) | Self::Text(_) => false,
            Self::Array(members) => members.iter().any(Self::repeats),
            Self::Object(members) => {
                let names: HashSet<_> = members.iter().map(|((name, _), _)| name).collect();
                names.len() < members.len() || members.iter().any(|(_, value)| value.repeats())
            }
        }
    }

    /// Whether an object in it has a name that serde_json reserves.
    fn is_reserved(&self) -> bool {
        match self {
            Self::Leaf(_) | Self::Text(_) => false,
            Self::Array(members) => members.iter().any(Self::is_reserved),
            Self::Object(members) => members
                .iter()
                .any(|((name, _), value)| name.starts_with("$serde_json::private::") || value.is_reserved()),
        }
    }
}

fn written(name: &str, is_escaped: bool) -> String {
    match name.chars().next() {
        Some(first) if is_escaped => {
            let mut units = [0; 2];
            let escapes: String = first.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect();
            let rest = serde_json::to_string(&name[first.len_utf8()..]).unwrap();
            format!("\"{escapes}{}", &rest[1..])
        }
        _ => serde_json::to_string(name).unwrap(),
    }
}

fn objects() -> impl Strategy<Value = Tree> {
    prop::collection::vec((names(), trees()), 0..5).prop_map(Tree::Object)
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "0", "-1", "1.5e3", "18446744073709551615", "-0.0"])
            .prop_map(Tree::Leaf),
        "[a\"\\\\\u{e9}\u{1f600}]{0,3}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            prop::collection::vec((names(), inner), 0..4).prop_map(Tree::Object),
        ]
    })
}

/// Bytes that have a meaning in JSON, and some that are invalid everywhere.
fn bytes() -> impl Strategy<Value = u8> {
    prop::sample::select(b"{}[]\",:\\ab1-e. \n\0\x80\xc0\xff".to_vec())
}

/// Few names, so that they repeat, and whether the first character is written as an escape.
fn names() -> impl Strategy<Value = (String, bool)> {
    let name = prop_oneof![
        12 => "[ab]{0,2}",
        4 => prop::sample::select(vec!["A", "\u{e9}", "e\u{301}", "\u{1f600}", "a\"", "a\\", "\u{0}"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["$serde_json::private::Number", "$serde_json::private::RawValue"])
            .prop_map(str::to_owned),
    ];
    (name, any::<bool>())
}
