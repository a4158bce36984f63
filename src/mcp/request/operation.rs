use std::borrow::Cow;

use super::member::{Member, Members};

/// What a request or a notification asks for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mcp) struct Operation<'b> {
    pub(in crate::mcp) method: Cow<'b, str>,
    pub(in crate::mcp) target: Target<'b>,
}

/// What an operation is about.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mcp) enum Target<'b> {
    None,
    Tool(Cow<'b, str>),
    Prompt(Cow<'b, str>),
    Resource(Cow<'b, str>),
    /// What `completion/complete` has the arguments of.
    ResourceTemplate(Cow<'b, str>),
    /// The resources of one `subscriptions/listen`.
    Resources(Vec<Cow<'b, str>>),
    Task(Cow<'b, str>),
}

impl<'b> Operation<'b> {
    /// `None` if the method needs a name and the message does not have a readable one, or if a NUL could end one of them early.
    pub(super) fn new(method: Cow<'b, str>, params: Members<'b>) -> Option<Self> {
        let method = whole(method)?;
        let target = match method.as_ref() {
            "tools/call" => Target::Tool(text(params.name)?),
            "prompts/get" => Target::Prompt(text(params.name)?),
            method if OF_A_RESOURCE.contains(&method) => Target::Resource(uri(text(params.uri)?)?),
            // What may not be read may not be completed either.
            "completion/complete" => {
                let reference = params.reference?.object()?;
                match (reference.name, reference.uri) {
                    (Some(name), None) => Target::Prompt(text(Some(name))?),
                    (None, Some(member)) => match uri(text(Some(member))?)? {
                        template if template.contains('{') => Target::ResourceTemplate(template),
                        plain => Target::Resource(plain),
                    },
                    _ => return None,
                }
            }
            "subscriptions/listen" => match params.notifications {
                None => Target::None,
                Some(notifications) => match notifications.object()?.resource_subscriptions {
                    None => Target::None,
                    Some(Member::Texts(uris)) => Target::Resources(uris.into_iter().map(uri).collect::<Option<_>>()?),
                    Some(_) => return None,
                },
            },
            method if OF_A_TASK.contains(&method) => Target::Task(text(params.task_id)?),
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

    /// What the header `Mcp-Name` has to say, if the method is one of those that have it.
    pub(in crate::mcp) fn name(&self) -> Option<&str> {
        match &self.target {
            Target::Tool(name) | Target::Task(name) => Some(name),
            Target::Prompt(name) if self.method == "prompts/get" => Some(name),
            Target::Resource(uri) if OF_A_RESOURCE.contains(&self.method.as_ref()) => Some(uri),
            _ => None,
        }
    }
}

/// One that is short enough to be compared.
fn uri(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    whole(text).filter(|text| text.len() <= MAX_URI)
}

fn text(member: Option<Member<'_>>) -> Option<Cow<'_, str>> {
    whole(member?.text()?)
}

/// A text that ends at a NUL for readers in C has none.
fn whole(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.contains('\0')).then_some(text)
}

/// Methods that name a resource by `uri`.
pub(in crate::mcp) const OF_A_RESOURCE: [&str; 5] =
    ["resources/read", "resources/subscribe", "resources/unsubscribe", "resources/directory/read", "skills/get"];
/// Methods that name a task by `taskId`.
const OF_A_TASK: [&str; 4] = ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result"];
/// The longest URI that is compared with rules; a longer one is not readable.
pub(in crate::mcp) const MAX_URI: usize = 8 * 1024;
/// How many URIs one body may name: more than a client shows. Each is compared with every rule for resources.
pub(in crate::mcp) const MAX_URIS: usize = 256;
/// How many bytes they may have together.
pub(in crate::mcp) const MAX_URI_BYTES: usize = 64 * 1024;
