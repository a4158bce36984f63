use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use serde_json::value::RawValue;

use super::members::{elements, is_object_or_null, members, text};

/// The operation of a request or a notification: its method and its target, such as a tool.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mcp) struct Operation<'b> {
    pub(in crate::mcp) method: Cow<'b, str>,
    pub(in crate::mcp) target: Target<'b>,
}

/// The target of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Target<'b> {
    None,
    Tool(Cow<'b, str>),
    Prompt(Cow<'b, str>),
    Resource(Cow<'b, str>),
    /// The URI template whose variables `completion/complete` completes.
    ResourceTemplate(Cow<'b, str>),
    /// The resources of one `subscriptions/listen`.
    Resources(Vec<Cow<'b, str>>),
    Task(Cow<'b, str>),
}

impl<'b> Operation<'b> {
    /// Reads the target out of `params`. `None` if the method needs a target and `params` has none that is unambiguous.
    pub(super) fn parse(method: Cow<'b, str>, params: Option<&'b RawValue>) -> Option<Self> {
        if method.contains('\0') || !params.is_none_or(is_object_or_null) {
            return None;
        }
        let params = params.filter(|params| params.get() != "null");
        let [name, uri, task_id, reference, notifications] = params
            .map_or(Some([None; 5]), |params| members(params, ["name", "uri", "taskId", "ref", "notifications"]))?;
        let target = match method.as_ref() {
            "tools/call" => Target::Tool(name_text(name?)?),
            "prompts/get" => Target::Prompt(name_text(name?)?),
            method if RESOURCE_METHODS.contains(&method) => Target::Resource(uri_text(uri?)?),
            // Its completions show what there is, so it needs the scopes of reading.
            "completion/complete" => match members(reference?, ["name", "uri"])? {
                [Some(name), None] => Target::Prompt(name_text(name)?),
                [None, Some(uri)] => match uri_text(uri)? {
                    template if template.contains('{') => Target::ResourceTemplate(template),
                    uri => Target::Resource(uri),
                },
                _ => return None,
            },
            "subscriptions/listen" => {
                match notifications.map_or(Some([None]), |value| members(value, ["resourceSubscriptions"]))? {
                    [None] => Target::None,
                    [Some(uris)] => {
                        Target::Resources(elements(uris, MAX_URIS)?.into_iter().map(uri_text).collect::<Option<_>>()?)
                    }
                }
            }
            method if TASK_METHODS.contains(&method) => Target::Task(name_text(task_id?)?),
            _ => Target::None,
        };
        Some(Self { method, target })
    }

    /// The URIs that are compared with the rules for resources.
    pub(super) fn uris(&self) -> &[Cow<'b, str>] {
        match &self.target {
            Target::Resource(uri) | Target::ResourceTemplate(uri) => std::slice::from_ref(uri),
            Target::Resources(uris) => uris,
            Target::None | Target::Tool(_) | Target::Prompt(_) | Target::Task(_) => &[],
        }
    }

    /// The name that the header `Mcp-Name` repeats; `None` for methods without this header.
    fn name(&self) -> Option<&str> {
        match &self.target {
            Target::Tool(name) | Target::Task(name) => Some(name),
            Target::Prompt(name) if self.method == "prompts/get" => Some(name),
            Target::Resource(uri) if RESOURCE_METHODS.contains(&self.method.as_ref()) => Some(uri),
            _ => None,
        }
    }
}

/// The kind of entries in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mcp) enum ListKind {
    Tools,
    Prompts,
    Resources,
    ResourceTemplates,
}

impl ListKind {
    /// The kind of the list that is the member `name` of a result.
    pub(in crate::mcp) fn from_member(name: &str) -> Option<Self> {
        match name {
            "tools" => Some(Self::Tools),
            "prompts" => Some(Self::Prompts),
            "resources" | "skills" => Some(Self::Resources),
            "resourceTemplates" => Some(Self::ResourceTemplates),
            _ => None,
        }
    }

    /// The member of an entry that rules are written for.
    pub(in crate::mcp) const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
}

/// A string without NUL, at which a text ends for code in C.
fn name_text(value: &RawValue) -> Option<Cow<'_, str>> {
    text(value).filter(|text| !text.contains('\0'))
}

fn uri_text(value: &RawValue) -> Option<Cow<'_, str>> {
    name_text(value).filter(|uri| uri.len() <= MAX_URI)
}

/// The values of `Mcp-Method` and `Mcp-Name`. They repeat the operation for proxies that do not read bodies (MCP 2026-07-28,
/// Streamable HTTP).
///
/// The layer decides by the body. If a header contradicts it, a proxy may have decided about another operation than the one
/// that would run, and the request is rejected.
#[derive(Debug)]
pub(in crate::mcp) struct OperationHeaders<'h> {
    method: Option<&'h str>,
    name: Option<Cow<'h, str>>,
}

/// One of the headers is repeated or malformed.
#[derive(Debug)]
pub(in crate::mcp) struct MalformedHeader;

impl<'h> OperationHeaders<'h> {
    pub(in crate::mcp) fn parse(headers: &'h HeaderMap) -> Result<Self, MalformedHeader> {
        let name = single_value(headers, "mcp-name")?.map(decoded).transpose()?;
        Ok(Self { method: single_value(headers, "mcp-method")?, name })
    }

    /// Whether no header contradicts `operation`. A missing header agrees with everything.
    pub(in crate::mcp) fn agree_with(&self, operation: &Operation<'_>) -> bool {
        let method_agrees = self.method.is_none_or(|method| *method == *operation.method);
        let names = self.name.as_deref().zip(operation.name());
        method_agrees && names.is_none_or(|(header, body)| header == body)
    }
}

fn single_value<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, MalformedHeader> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // White space around a value is not part of it (RFC 9110, section 5.5). HTTP servers remove it; code that calls
        // this service directly may not.
        (Some(value), None) => value.to_str().map(|value| Some(value.trim_ascii())).map_err(|_| MalformedHeader),
        (Some(_), Some(_)) => Err(MalformedHeader),
    }
}

/// Decodes a name that a header cannot hold as it is: it is sent as `=?base64?...?=`.
fn decoded(text: &str) -> Result<Cow<'_, str>, MalformedHeader> {
    let Some(encoded) = text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) else {
        return Ok(text.into());
    };
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| MalformedHeader)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| MalformedHeader)
}

/// Methods whose result is a list.
pub(in crate::mcp) const LIST_METHODS: [&str; 6] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/directory/read",
    "resources/templates/list",
    "skills/list",
];
/// Methods that name a resource by `uri`.
pub(in crate::mcp) const RESOURCE_METHODS: [&str; 5] =
    ["resources/read", "resources/subscribe", "resources/unsubscribe", "resources/directory/read", "skills/get"];
/// Methods that name a task by `taskId`.
const TASK_METHODS: [&str; 4] = ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result"];
/// The longest URI that is compared with rules, in bytes.
pub(in crate::mcp) const MAX_URI: usize = 8 * 1024;
/// The most URIs in one body, because each is compared with every rule for resources. Clients show fewer.
pub(super) const MAX_URIS: usize = 256;
