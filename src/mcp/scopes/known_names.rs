//! Finds rules for tools and prompts that do not exist.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::mcp_scopes::RuleSet;
use crate::error::{BuildError, BuildErrorKind};
use crate::similar::closest;

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

#[cfg(test)]
mod tests {
    use super::*;

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
