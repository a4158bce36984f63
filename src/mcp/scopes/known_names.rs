//! Finds rules for tools and prompts that do not exist.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::mcp_scopes::RuleSet;
use crate::error::{BuildError, BuildErrorKind};

impl RuleSet {
    /// Checks that each rule is for one of the known names, if the application has given them.
    pub(super) fn check_names(&self, what: &str) -> Result<(), BuildError> {
        let Some(known) = &self.known else { return Ok(()) };
        let Some(name) = self.names().find(|name| !known.iter().any(|known| known == name)) else { return Ok(()) };
        let repair = match closest(name, known.iter().map(String::as_str)) {
            Some(closest) => format!("write {closest:?}, or remove the rule"),
            None => "correct the name, or remove the rule".to_owned(),
        };
        let message = format!("a rule is for the {what} {name:?}, which the server does not have; {repair}");
        Err(BuildError::new(BuildErrorKind::Setting, message))
    }

    /// The known names without a rule, in the order in which the application gave them.
    pub(super) fn names_without_rule(&self) -> Vec<&str> {
        let known = self.known.iter().flatten().map(String::as_str);
        known.filter(|known| !self.names().any(|name| name == *known)).collect()
    }

    /// The names of all rules.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(|(name, _)| name).chain(&self.public).map(String::as_str)
    }
}

/// The names of all tools in a JSON-RPC response to `tools/list`. `None` if it is another message, if another page follows,
/// or if a tool cannot be read.
pub(in crate::mcp) fn complete_tool_list(json: &[u8]) -> Option<Vec<String>> {
    let response: ListResponse = serde_json::from_slice(json).ok()?;
    let page = response.result.filter(|page| page.next_cursor.is_none())?;
    Some(page.tools.into_iter().map(|tool| tool.name).collect())
}

#[derive(Deserialize)]
struct ListResponse {
    result: Option<ToolPage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolPage {
    tools: Vec<ToolEntry>,
    next_cursor: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ToolEntry {
    name: String,
}

/// The name that `wrong` probably means. `None` if no name is similar.
pub(crate) fn closest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let most = wrong.chars().count().div_ceil(3);
    let distances =
        names.take(MAX_NAMES).filter(|name| name.len() <= MAX_COMPARED).map(|name| (distance(wrong, name), name));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, name)| name)
}

/// The number of characters to insert, remove or replace to get `other` from `one`, without case (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().map(|character| character.to_ascii_lowercase()).collect();
    // The distances of the part of `one` that is read so far to each start of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, character) in one.chars().map(|character| character.to_ascii_lowercase()).enumerate() {
        let mut left = read.saturating_add(1);
        let mut next = vec![left];
        for (above, expected) in row.windows(2).zip(&other) {
            let [diagonal, above] = *above else { continue };
            let replaced = diagonal.saturating_add(usize::from(character != *expected));
            left = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The most names that are compared with a wrong one. It takes about a millisecond.
const MAX_NAMES: usize = 1_000;
/// The longest name that is compared, in bytes. A tool name has at most 128 characters (MCP 2025-11-25, Tools).
const MAX_COMPARED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_found() {
        let names = ["add_note", "delete_note", "list_notes", "search"];
        for (wrong, expected) in [
            ("ad_note", Some("add_note")),
            ("addNote", Some("add_note")),
            ("ADD_NOTE", Some("add_note")),
            ("add-note", Some("add_note")),
            ("list_note", Some("list_notes")),
            ("serach", Some("search")),
            ("remove_everything", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(wrong, names.into_iter()), expected, "{wrong}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(closest("a", [].into_iter()), None);
    }

    #[test]
    fn only_a_complete_list_is_read() {
        for (json, expected) in [
            (r#"{"result":{"tools":[{"name":"a","x":1},{"name":"b"}]}}"#, Some(vec!["a", "b"])),
            (r#"{"result":{"tools":[{"name":"a"}],"nextCursor":null}}"#, Some(vec!["a"])),
            (r#"{"result":{"tools":[{"name":"a"}],"nextCursor":"2"}}"#, None),
            (r#"{"result":{"tools":[{"name":"a"},{"title":"b"}]}}"#, None),
            (r#"{"result":{"prompts":[]}}"#, None),
            (r#"{"error":{"code":1}}"#, None),
            (r#"[{"result":{"tools":[]}}]"#, None),
            ("x", None),
        ] {
            let found = complete_tool_list(json.as_bytes());
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{json}");
        }
    }
}
