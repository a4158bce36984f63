use super::rules::Rules;
use crate::bearer::Guard;
use crate::error::BuildError;

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
    /// `uri` is a URI or a URI template (RFC 6570). `{id}` matches anything without `/`, `?` and `#`, `{+path}` anything
    /// without `?` and `#`. The other expressions match nothing, or what begins with their character: `{?query}`, `{&query}`,
    /// `{#fragment}`, `{/path*}`, `{.extension}`, `{;parameter}`. A URI that several rules match needs the scopes of all.
    ///
    /// A URI is matched once, as it is written, if it is in canonical form:
    ///
    /// - It is ASCII and has no backslash, space, control character or other character that no URI has (RFC 3986). Its scheme
    ///   and its host are in lower case.
    /// - It has `//` after its scheme where a rule of this scheme has it, and only there.
    /// - It has no user information, no empty port, and no port, query or fragment that the rule does not have.
    /// - It has no segment `.` or `..`, and no empty segment but the last.
    /// - Its percent-encoding is in upper case, and never of an unreserved character, a backslash or a control character.
    /// - It is not a `file` URI with a host, and URL parsers read the same host, port and path from it.
    ///
    /// **Any other URI needs the scopes of every resource rule**, those of [`any_resource`](Self::any_resource) included,
    /// because servers read it in different ways. A rule also counts if its URI lacks only a port, a query, a fragment or a
    /// slash at the end of the requested one, has a slash at the end that the requested one lacks, has another query, equals it
    /// once `%2F` and its like are decoded, or is a `file` URI that differs in the case of ASCII letters. A rule whose own URIs are not in canonical form matches nothing, and is an error at build.
    pub fn resource<I>(mut self, uri: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.resources.push((uri.into(), texts(scopes)));
        self
    }

    /// Resources that no other rule matches need all of `scopes`. So does a URI that is not in
    /// [canonical form](Self::resource).
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
    /// too. A URI that is not in [canonical form](Self::resource) is not one of them.
    pub fn public_resources<I>(mut self, uris: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.public_resources.extend(texts(uris));
        self
    }

    /// Refuses tools, prompts and resources that no rule lists, by themselves or by `any_*`, whatever the token grants. A URI
    /// that is not in [canonical form](Self::resource) is listed by [`any_resource`](Self::any_resource) only.
    pub const fn deny_unlisted(mut self) -> Self {
        self.deny_unlisted = true;
        self
    }

    pub(crate) fn compile(self, guard: &Guard) -> Result<Rules, BuildError> {
        let rules = Rules::new(self)?;
        rules.warn_of(guard);
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
