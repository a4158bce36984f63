use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::bearer::{Caller, log};
use crate::mcp::request::{ListKind, each_member};
use crate::mcp::scopes::{Rules, complete_tool_list};

/// Knows which entries of a list one caller may use.
pub(in crate::mcp) struct ListFilter {
    rules: Arc<Rules>,
    caller: Caller,
    /// Whether a list starts with its first entry.
    is_first_page: bool,
}

impl ListFilter {
    pub(in crate::mcp) const fn new(rules: Arc<Rules>, caller: Caller, is_first_page: bool) -> Self {
        Self { rules, caller, is_first_page }
    }

    /// Filters a JSON-RPC message, or a batch. `None` if it does not contain a list.
    pub(super) fn filter(&self, json: &[u8]) -> serde_json::Result<Option<Vec<u8>>> {
        if self.is_first_page
            && self.rules.need_tool_names()
            && let Some(names) = complete_tool_list(json)
        {
            self.rules.check_tools(&names);
        }
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
struct RawObject<'t>(Vec<(Cow<'t, str>, Cow<'t, RawValue>)>);

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
    let mut message = RawObject::parse(message)?;
    for (_, value) in message.0.iter_mut().filter(|(name, _)| name == "result") {
        if let Some(filtered) = filter_result(value, is_usable)? {
            *value = Cow::Owned(filtered);
            is_changed = true;
        }
    }
    is_changed.then(|| to_raw_value(&message)).transpose()
}

fn filter_result(
    result: &RawValue,
    is_usable: &impl Fn(ListKind, &str) -> bool,
) -> serde_json::Result<Option<Box<RawValue>>> {
    let mut result = RawObject::parse(result)?;
    let mut has_list = false;
    for (name, value) in &mut result.0 {
        if let Some(kind) = ListKind::from_member(name)
            && value.get().starts_with('[')
        {
            has_list = true;
            let entries: Vec<&RawValue> = serde_json::from_str(value.get())?;
            let is_kept = |entry: &&RawValue| entry_name(kind, entry).is_some_and(|name| is_usable(kind, &name));
            let kept: Vec<_> = entries.iter().copied().filter(is_kept).collect();
            // A list that loses no entry keeps its text.
            if kept.len() < entries.len() {
                *value = Cow::Owned(to_raw_value(&kept)?);
            }
        }
    }
    if !has_list {
        return Ok(None);
    }
    let private = to_raw_value("private")?;
    if !result.0.iter().any(|(name, _)| name == CACHE_SCOPE) {
        result.0.insert(0, (CACHE_SCOPE.into(), Cow::Borrowed(&private)));
    }
    for (_, value) in result.0.iter_mut().filter(|(name, _)| name == CACHE_SCOPE) {
        *value = Cow::Borrowed(&private);
    }
    to_raw_value(&result).map(Some)
}

/// The name of an entry of a list. `None` if nobody can use the entry: its name is missing, repeated or not a string, or it
/// has a member whose name cannot be read.
fn entry_name(kind: ListKind, entry: &RawValue) -> Option<String> {
    let mut members = RawObject::parse(entry).ok()?.0;
    members.retain(|(name, _)| name == kind.key());
    let [(_, name)] = members.as_slice() else { return None };
    serde_json::from_str(name.get()).ok()
}

impl<'t> RawObject<'t> {
    /// The members of `value`, which has none if it is not an object.
    fn parse(value: &'t RawValue) -> serde_json::Result<Self> {
        let mut members = Vec::new();
        if value.get().starts_with('{') {
            each_member(value, |name, value| {
                members.push((name, Cow::Borrowed(value)));
                true
            })?;
        }
        Ok(Self(members))
    }
}

impl Serialize for RawObject<'_> {
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
    fn a_name_that_cannot_be_read_makes_an_entry_unusable_and_is_an_error_around_it() {
        for name in [r"\ud800", "$serde_json::private::RawValue", "$serde_json::private::Number"] {
            for answer in [
                format!(r#"{{"{name}":"1","result":{{"tools":[]}}}}"#),
                format!(r#"{{"result":{{"tools":[],"{name}":"1"}}}}"#),
            ] {
                assert!(filtered(&answer).is_err(), "{answer}");
            }
            let entries = format!(r#"{{"{name}":"1","name":"good"}},{{"name":"good","x":{{"{name}":"1"}}}}"#);
            let answer = filtered(&format!(r#"{{"result":{{"tools":[{entries}]}}}}"#)).unwrap().unwrap();
            let kept = format!(r#"[{{"name":"good","x":{{"{name}":"1"}}}}]"#);
            assert_eq!(answer, format!(r#"{{"result":{{"cacheScope":"private","tools":{kept}}}}}"#));
        }
    }
}
