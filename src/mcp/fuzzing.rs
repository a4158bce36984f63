//! The part of this module that `crate::fuzzing` exports.

use super::request::{self, Operation, Target};
use super::scopes::{McpScopes, RequiredRules, Rules};

/// The operation of a request or notification, as the layer reads it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ParsedOperation {
    /// The method.
    pub method: String,
    /// The kind of its target.
    pub kind: &'static str,
    /// The name of the target, or the URIs of several resources.
    pub names: Vec<String>,
}

/// The messages of a body, each `None` if it is a response. `None` for an ambiguous body.
#[must_use]
pub fn messages(body: &[u8]) -> Option<Vec<Option<ParsedOperation>>> {
    let messages = request::read(body)?;
    Some(messages.iter().map(|message| message.operation.as_ref().map(parsed)).collect())
}

fn parsed(operation: &Operation<'_>) -> ParsedOperation {
    let (kind, names) = match &operation.target {
        Target::None => ("none", vec![]),
        Target::Tool(name) => ("tool", vec![name.to_string()]),
        Target::Prompt(name) => ("prompt", vec![name.to_string()]),
        Target::Resource(uri) => ("resource", vec![uri.to_string()]),
        Target::ResourceTemplate(uri) => ("template", vec![uri.to_string()]),
        Target::Resources(uris) => ("resources", uris.iter().map(ToString::to_string).collect()),
        Target::Task(id) => ("task", vec![id.to_string()]),
    };
    ParsedOperation { method: operation.method.to_string(), kind, names }
}

/// Whether reading `uri` needs the scope of a rule for `template`, whether it needs the scope of all other resources, and
/// whether it is public if `template` is public. `None` if `template` is invalid.
#[must_use]
pub fn uri_standing(template: &str, uri: &str) -> Option<[bool; 3]> {
    let needs = |scopes: McpScopes| {
        let rules = Rules::new(scopes).ok()?;
        let mut required = RequiredRules::default();
        let operation = Operation { method: "resources/read".into(), target: Target::Resource(uri.into()) };
        rules.add(Some(&operation), &mut required);
        Some((rules.scopes_of(&required), required.token))
    };
    let (scopes, _) = needs(McpScopes::new().resource(template, ["guarded"]).any_resource(["other"]))?;
    let (_, needs_token) = needs(McpScopes::new().public_resources([template]))?;
    Some([scopes.contains("guarded"), scopes.contains("other"), !needs_token])
}
