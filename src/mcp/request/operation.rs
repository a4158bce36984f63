use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::members::{is_object_or_null, members, text};
use crate::json::Text;

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
        let [name, uri, task_id, reference, notifications] =
            params.map_or(Some([None; 5]), |params| members(params, PARAMS))?;
        let target = match method.as_ref() {
            "tools/call" => Target::Tool(name_text(name)?),
            "prompts/get" => Target::Prompt(name_text(name)?),
            method if RESOURCE_METHODS.contains(&method) => Target::Resource(short_uri(name_text(uri)?)?),
            // Its completions show what there is, so it needs the scopes of reading.
            "completion/complete" => match members(reference?, ["name", "uri"])? {
                [Some(name), None] => Target::Prompt(name_text(Some(name))?),
                [None, Some(uri)] => match short_uri(name_text(Some(uri))?)? {
                    template if template.contains('{') => Target::ResourceTemplate(template),
                    uri => Target::Resource(uri),
                },
                _ => return None,
            },
            "subscriptions/listen" => {
                let notifications = notifications.map(|value| members(value, ["resourceSubscriptions"]));
                match notifications.unwrap_or(Some([None]))? {
                    [None] => Target::None,
                    [Some(uris)] => Target::Resources(uri_list(uris)?),
                }
            }
            method if TASK_METHODS.contains(&method) => Target::Task(name_text(task_id)?),
            _ => Target::None,
        };
        Some(Self { method, target })
    }

    /// The URIs that are compared with the rules for resources.
    pub(in crate::mcp) fn uris(&self) -> &[Cow<'b, str>] {
        match &self.target {
            Target::Resource(uri) | Target::ResourceTemplate(uri) => std::slice::from_ref(uri),
            Target::Resources(uris) => uris,
            Target::None | Target::Tool(_) | Target::Prompt(_) | Target::Task(_) => &[],
        }
    }

    /// The name that the header `Mcp-Name` repeats; `None` for methods without this header.
    pub(in crate::mcp) fn name(&self) -> Option<&str> {
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
    Skills,
}

impl ListKind {
    /// `None` if `method` does not list anything.
    pub(in crate::mcp) fn from_method(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" | "resources/directory/read" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::ResourceTemplates),
            "skills/list" => Some(Self::Skills),
            _ => None,
        }
    }

    /// The kind of the list that is the member `name` of a result.
    pub(in crate::mcp) fn from_member(name: &str) -> Option<Self> {
        match name {
            "tools" => Some(Self::Tools),
            "prompts" => Some(Self::Prompts),
            "resources" => Some(Self::Resources),
            "resourceTemplates" => Some(Self::ResourceTemplates),
            "skills" => Some(Self::Skills),
            _ => None,
        }
    }

    /// The member of an entry that rules are written for.
    pub(in crate::mcp) const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources | Self::Skills => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }
}

/// A string without NUL, at which a text ends for code in C.
fn name_text(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    text(value?).filter(|text| !text.contains('\0'))
}

fn short_uri(uri: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (uri.len() <= MAX_URI).then_some(uri)
}

/// An array of at most [`MAX_URIS`] URIs.
fn uri_list(value: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    struct UriListVisitor;

    impl<'b> Visitor<'b> for UriListVisitor {
        type Value = Vec<Cow<'b, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of URIs")
        }

        fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
            let mut uris = Vec::new();
            while let Some(Text(uri)) = elements.next_element()? {
                if uris.len() == MAX_URIS || uri.len() > MAX_URI || uri.contains('\0') {
                    return Err(A::Error::custom("a URI that is not compared with rules"));
                }
                uris.push(uri);
            }
            Ok(uris)
        }
    }

    serde_json::Deserializer::from_str(value.get()).deserialize_seq(UriListVisitor).ok()
}

/// The members of `params` that tell targets apart.
const PARAMS: [&str; 5] = ["name", "uri", "taskId", "ref", "notifications"];
/// Methods that name a resource by `uri`.
pub(in crate::mcp) const RESOURCE_METHODS: [&str; 5] =
    ["resources/read", "resources/subscribe", "resources/unsubscribe", "resources/directory/read", "skills/get"];
/// Methods that name a task by `taskId`.
const TASK_METHODS: [&str; 4] = ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result"];
/// The longest URI that is compared with rules, in bytes.
pub(in crate::mcp) const MAX_URI: usize = 8 * 1024;
/// The most URIs in one body, because each is compared with every rule for resources. Clients show fewer.
pub(in crate::mcp) const MAX_URIS: usize = 256;
/// The most bytes of all URIs in one body.
pub(in crate::mcp) const MAX_URI_BYTES: usize = 64 * 1024;
