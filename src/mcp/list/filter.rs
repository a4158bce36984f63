use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::bearer::{Caller, log};
use crate::json::next_name;
use crate::mcp::request::ListKind;
use crate::mcp::scopes::Rules;

/// Knows which entries of a list one caller may use.
pub(in crate::mcp) struct ListFilter {
    rules: Arc<Rules>,
    caller: Caller,
}

impl ListFilter {
    pub(in crate::mcp) const fn new(rules: Arc<Rules>, caller: Caller) -> Self {
        Self { rules, caller }
    }

    /// Filters a JSON-RPC message, or a batch. `None` if there is no list in it.
    pub(super) fn filter(&self, json: &[u8]) -> serde_json::Result<Option<Vec<u8>>> {
        filter_json(json, &|kind, name| self.rules.lets_use(kind, name, &self.caller))
    }

    /// Logs that the inner service sends what cannot be filtered.
    pub(super) fn report(&self, cause: &'static str, message: &'static str) {
        log::misconfigured(self.caller.guard(), cause, message);
    }
}

impl fmt::Debug for ListFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListFilter").finish_non_exhaustive()
    }
}

/// The members of a JSON object in their order. Names may repeat, and each value keeps its text.
struct RawObject<'t, V = &'t RawValue>(Vec<(Cow<'t, str>, V)>);

/// Filters the lists of `json` by `is_usable`, and marks each result with a list as private to the caller (MCP 2026-07-28,
/// Caching). Objects around a list are written anew, with all their members. Every other value keeps its text.
fn filter_json(json: &[u8], is_usable: &impl Fn(ListKind, &str) -> bool) -> serde_json::Result<Option<Vec<u8>>> {
    let json: &RawValue = serde_json::from_slice(json)?;
    if !json.get().starts_with('[') {
        return Ok(filter_message(json, is_usable)?.map(|message| message.get().into()));
    }
    let mut is_changed = false;
    let mut messages = Vec::new();
    for message in serde_json::from_str::<Vec<&RawValue>>(json.get())? {
        if message.get().starts_with('[') {
            return Err(serde_json::Error::custom("a batch in a batch"));
        }
        let filtered = filter_message(message, is_usable)?;
        is_changed |= filtered.is_some();
        messages.push(filtered.map_or(Cow::Borrowed(message), Cow::Owned));
    }
    is_changed.then(|| serde_json::to_vec(&messages)).transpose()
}

fn filter_message(
    message: &RawValue,
    is_usable: &impl Fn(ListKind, &str) -> bool,
) -> serde_json::Result<Option<Box<RawValue>>> {
    let mut is_changed = false;
    let mut members = Vec::new();
    for (name, value) in RawObject::parse(message)?.0 {
        let filtered = if name == "result" { filter_result(value, is_usable)? } else { None };
        is_changed |= filtered.is_some();
        members.push((name, filtered.map_or(Cow::Borrowed(value), Cow::Owned)));
    }
    is_changed.then(|| to_raw_value(&RawObject(members))).transpose()
}

fn filter_result(
    result: &RawValue,
    is_usable: &impl Fn(ListKind, &str) -> bool,
) -> serde_json::Result<Option<Box<RawValue>>> {
    let RawObject(members) = RawObject::parse(result)?;
    let list_kind = |name: &str, value: &RawValue| ListKind::from_member(name).filter(|_| value.get().starts_with('['));
    if !members.iter().any(|(name, value)| list_kind(name, value).is_some()) {
        return Ok(None);
    }
    let private = to_raw_value("private")?;
    let mut filtered = Vec::new();
    if !members.iter().any(|(name, _)| name == CACHE_SCOPE) {
        filtered.push((CACHE_SCOPE.into(), Cow::Borrowed(&*private)));
    }
    for (name, value) in members {
        let value = match list_kind(&name, value) {
            Some(kind) => filter_list(kind, value, is_usable)?,
            None if name == CACHE_SCOPE => Cow::Borrowed(&*private),
            None => Cow::Borrowed(value),
        };
        filtered.push((name, value));
    }
    to_raw_value(&RawObject(filtered)).map(Some)
}

/// A list that loses no entry keeps its text.
fn filter_list<'t>(
    kind: ListKind,
    list: &'t RawValue,
    is_usable: &impl Fn(ListKind, &str) -> bool,
) -> serde_json::Result<Cow<'t, RawValue>> {
    let entries: Vec<&RawValue> = serde_json::from_str(list.get())?;
    let mut kept = Vec::with_capacity(entries.len());
    for entry in &entries {
        // Nobody can use an entry whose name is missing, repeated or not a string.
        let mut names = RawObject::parse(entry)?.0.into_iter().filter(|(name, _)| name == kind.key());
        if let (Some((_, name)), None) = (names.next(), names.next())
            && serde_json::from_str::<String>(name.get()).is_ok_and(|name| is_usable(kind, &name))
        {
            kept.push(entry);
        }
    }
    if kept.len() == entries.len() { Ok(Cow::Borrowed(list)) } else { to_raw_value(&kept).map(Cow::Owned) }
}

impl<'t> RawObject<'t> {
    /// The members of `value`, which has none if it is not an object.
    fn parse(value: &'t RawValue) -> serde_json::Result<Self> {
        if value.get().starts_with('{') { serde_json::from_str(value.get()) } else { Ok(Self(Vec::new())) }
    }
}

impl<'t> Deserialize<'t> for RawObject<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawObjectVisitor;

        impl<'t> Visitor<'t> for RawObjectVisitor {
            type Value = RawObject<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<RawObject<'t>, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = next_name(&mut access)? {
                    members.push((name, access.next_value()?));
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(RawObjectVisitor)
    }
}

impl<V: Serialize> Serialize for RawObject<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The most bytes of a response, or of one event, that are held to be filtered: a list of ten thousand tools fits.
pub(super) const MAX_HELD: usize = 16 * 1024 * 1024;
const CACHE_SCOPE: &str = "cacheScope";

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(json: &str) -> serde_json::Result<Option<String>> {
        let filtered = filter_json(json.as_bytes(), &|_, name| name.starts_with("good"))?;
        Ok(filtered.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn unusable_entries_are_removed_and_all_other_values_keep_their_text() {
        for (answer, expected) in [
            (
                r#"{"id":1,"result":{"tools":[{"name":"good1","z":1.50,"a":{}}, {"name":"bad"},{"name":"good2"}],"n":1}}"#,
                r#"{"id":1,"result":{"cacheScope":"private","tools":[{"name":"good1","z":1.50,"a":{}},{"name":"good2"}],"n":1}}"#,
            ),
            (
                r#"{"result": { "resources" : [ {"uri":"bad"} ], "cacheScope":"public", "a": [ 1E2 ] }}"#,
                r#"{"result":{"resources":[],"cacheScope":"private","a":[ 1E2 ]}}"#,
            ),
            (
                r#"[{"result":{"prompts":[{"name":"bad"}]}},{"result":{"resourceTemplates":[{"uriTemplate":"good"}]}}]"#,
                r#"[{"result":{"cacheScope":"private","prompts":[]}},{"result":{"cacheScope":"private","resourceTemplates":[{"uriTemplate":"good"}]}}]"#,
            ),
            (
                r#"{"result":{"tools":[{"name":"good","name":"bad"},{"x":1},7,{"n\u0061me":"good"},{"name":["good"]}]}}"#,
                r#"{"result":{"cacheScope":"private","tools":[{"n\u0061me":"good"}]}}"#,
            ),
        ] {
            assert_eq!(filtered(answer).unwrap().as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_message_without_a_list_stays_as_it_is() {
        for answer in [
            r#"{"id":1,"error":{"code":1}}"#,
            r#"{"result":{"content":[]}}"#,
            r#"{"result":{"tools":"none"}}"#,
            r#"{"method":"notifications/message","params":{"tools":[{"name":"bad"}]}}"#,
            r#"{"result":{"content":[{"$serde_json::private::RawValue":"{"}]}}"#,
        ] {
            assert_eq!(filtered(answer).unwrap(), None, "{answer}");
        }
    }

    #[test]
    fn a_name_that_is_not_text_or_is_reserved_by_the_parser_is_rejected() {
        for name in [r"\ud800", "$serde_json::private::RawValue", "$serde_json::private::Number"] {
            for answer in [
                format!(r#"{{"{name}":"1","result":{{"tools":[]}}}}"#),
                format!(r#"{{"result":{{"tools":[],"{name}":"1"}}}}"#),
                format!(r#"{{"result":{{"tools":[{{"{name}":"1","name":"good"}}]}}}}"#),
            ] {
                assert!(filtered(&answer).is_err(), "{answer}");
            }
        }
    }
}
