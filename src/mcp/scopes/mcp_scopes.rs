use super::rules::Rules;
use crate::error::BuildError;
use crate::protection::Protection;

/// Which scopes an MCP operation needs, besides those that every request needs.
///
/// What a token must grant is the bearer layer's required scopes followed by the operation's: those of its method, then those
/// of its tool, prompt or resource. A challenge names them all, in that order.
///
/// ```
/// use mcp_bearer::mcp::McpScopes;
///
/// let scopes = McpScopes::new()
///     .tool("add_note", ["notes:write"])
///     .any_tool(["mcp:tools"])
///     .resource("notes://{id}", ["notes:read"])
///     .prompt("summary", ["notes:read"])
///     .method("completion/complete", ["mcp:tools"]);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct McpScopes {
    pub(super) tools: Vec<Rule>,
    pub(super) prompts: Vec<Rule>,
    pub(super) resources: Vec<Rule>,
    pub(super) methods: Vec<Rule>,
    pub(super) any_tool: Option<Vec<String>>,
    pub(super) any_prompt: Option<Vec<String>>,
    pub(super) any_resource: Option<Vec<String>>,
    pub(super) public_methods: Vec<String>,
    pub(super) public_tools: Vec<String>,
    pub(super) public_prompts: Vec<String>,
    pub(super) public_resources: Vec<String>,
    pub(super) deny_unlisted: bool,
}

/// A name, and the scopes for it.
pub(super) type Rule = (String, Vec<String>);

impl McpScopes {
    /// No rules: every operation needs what the bearer layer requires, and no more.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls of this tool need all of `scopes`.
    pub fn tool<I>(mut self, name: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.tools.push((name.into(), texts(scopes)));
        self
    }

    /// Calls of tools without a rule of their own need all of `scopes`.
    pub fn any_tool<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.any_tool.get_or_insert_default().extend(texts(scopes));
        self
    }

    /// Getting this prompt, and completing its arguments, needs all of `scopes`.
    pub fn prompt<I>(mut self, name: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.prompts.push((name.into(), texts(scopes)));
        self
    }

    /// Prompts without a rule of their own need all of `scopes`.
    pub fn any_prompt<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.any_prompt.get_or_insert_default().extend(texts(scopes));
        self
    }

    /// Reading these resources, subscribing to them and completing their URIs needs all of `scopes`.
    ///
    /// `uri` is a URI or a URI template (RFC 6570): `notes://{id}`. A simple expression stands for anything without a
    /// slash, any other (`{+path}`, `{?query}`) for anything at all. A URI that several rules fit needs the scopes of all,
    /// and a rule fits every way of writing its URIs: letters of another case, needless percent-encoding, dot segments.
    pub fn resource<I>(mut self, uri: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.resources.push((uri.into(), texts(scopes)));
        self
    }

    /// Resources that no other rule fits, in one way of reading their URI, need all of `scopes`.
    pub fn any_resource<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.any_resource.get_or_insert_default().extend(texts(scopes));
        self
    }

    /// Requests and notifications of this method need all of `scopes`, whatever they are about.
    pub fn method<I>(mut self, method: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.methods.push((method.into(), texts(scopes)));
        self
    }

    /// These methods need no token, where the bearer layer has
    /// [`allow_anonymous`](crate::BearerAuthLayer::allow_anonymous) too. A bad token is refused all the same.
    ///
    /// `notifications/initialized`, which ends an `initialize`, is public with it. A method that names a tool, a prompt or
    /// a resource is no operation by itself: use [`public_tools`](Self::public_tools) and its like.
    pub fn public<I>(mut self, methods: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.public_methods.extend(texts(methods));
        self
    }

    /// These tools can be called without a token, where the bearer layer allows anonymous requests too.
    pub fn public_tools<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.public_tools.extend(texts(names));
        self
    }

    /// These prompts can be had without a token, where the bearer layer allows anonymous requests too.
    pub fn public_prompts<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.public_prompts.extend(texts(names));
        self
    }

    /// These resources, by URI or template, can be read without a token, where the bearer layer allows anonymous requests
    /// too. Only a URI that is plainly written is one of them.
    pub fn public_resources<I>(mut self, uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.public_resources.extend(texts(uris));
        self
    }

    /// Refuses tools, prompts and resources that no rule lists, by themselves or by `any_*`, whatever the token grants. A URI
    /// that could be read as one without a rule is refused with them: `notes://a%2Fb` is no `notes://{id}` to a server that
    /// decodes first.
    pub const fn deny_unlisted(mut self) -> Self {
        self.deny_unlisted = true;
        self
    }

    pub(crate) fn compile(self, protection: &Protection) -> Result<Rules, BuildError> {
        let rules = Rules::new(self)?;
        rules.warn_of(protection);
        Ok(rules)
    }
}

fn texts<I>(texts: I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    texts.into_iter().map(Into::into).collect()
}
