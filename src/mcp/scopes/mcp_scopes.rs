/// The rules of an MCP server: which scopes each operation needs, and which operations need no token.
///
/// They go to [`ResourceServer::mcp_layer`](crate::ResourceServer::mcp_layer). A token needs the scopes that the layer requires
/// for every request, then those of the method, then those of the tool, prompt or resource. A challenge names all of them in
/// this order.
///
/// ```
/// use mcp_bearer::McpScopes;
///
/// let scopes = McpScopes::new()
///     // `add_note` needs `notes:write`, every other tool needs `mcp:tools`.
///     .tool("add_note", ["notes:write"])
///     .any_tool(["mcp:tools"])
///     // `notes://1` and `notes://2` match this URI template.
///     .resource("notes://{id}", ["notes:read"])
///     .prompt("summary", ["notes:read"])
///     .method("completion/complete", ["mcp:tools"])
///     // Prompts and resources without a rule are rejected.
///     .deny_unlisted();
/// ```
///
/// The setters accept every value. [`ResourceServer::mcp_layer`](crate::ResourceServer::mcp_layer) checks the rules together and
/// panics if one is invalid, and [`try_mcp_layer`](crate::ResourceServer::try_mcp_layer) returns an error.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct McpScopes {
    pub(super) methods: RuleSet,
    pub(super) tools: RuleSet,
    pub(super) prompts: RuleSet,
    pub(super) resources: RuleSet,
    pub(super) deny_unlisted: bool,
    /// The rule that the last call added.
    last: Option<LastRule>,
    /// Whether `sender_constrained` was called before any rule.
    pub(super) constrains_nothing: bool,
}

/// The kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleKind {
    Method,
    Tool,
    Prompt,
    Resource,
}

#[derive(Debug, Clone, Copy)]
enum LastRule {
    /// For one name.
    Own(RuleKind),
    /// For all other names.
    Any(RuleKind),
}

/// The rules for methods, tools, prompts or resources.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleSet {
    /// Names with their requirements.
    pub(super) own: Vec<(String, RuleNeeds)>,
    /// The requirements of all other names.
    pub(super) any: Option<RuleNeeds>,
    pub(super) public: Vec<String>,
    /// All names that exist. `None` if the application has not given them.
    pub(super) known: Option<Vec<String>>,
}

/// The requirements of one rule.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleNeeds {
    pub(super) scopes: Vec<String>,
    /// Whether the access token must be sender-constrained.
    pub(super) sender_constrained: bool,
}

impl McpScopes {
    /// Without rules, every operation needs only the scopes that the layer requires for every request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls of this tool need all of `scopes`.
    pub fn tool(self, name: impl Into<String>, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add(RuleKind::Tool, name.into(), texts(scopes))
    }

    /// Calls of every tool without its own [`tool`](Self::tool) rule need all of `scopes`.
    pub fn any_tool(self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add_any(RuleKind::Tool, texts(scopes))
    }

    /// Getting this prompt, and completing its arguments, needs all of `scopes`.
    pub fn prompt(self, name: impl Into<String>, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add(RuleKind::Prompt, name.into(), texts(scopes))
    }

    /// Every prompt without its own [`prompt`](Self::prompt) rule needs all of `scopes`.
    pub fn any_prompt(self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add_any(RuleKind::Prompt, texts(scopes))
    }

    /// Reading these resources, subscribing to them and completing their URIs need all of `scopes`.
    ///
    /// `uri` is a URI or a URI template (RFC 6570). `{id}` matches any text without `/`, `?` and `#`; `{+path}` matches any text
    /// without `?` and `#`. The expressions `{?query}`, `{&query}`, `{#fragment}`, `{/path*}`, `{.extension}` and `{;parameter}`
    /// match nothing, or a text that begins with their character. A URI that several rules match needs the scopes of all of
    /// them.
    ///
    /// **A URI in canonical form is matched as it is written. Any other URI needs the scopes of every resource rule**, those of
    /// [`any_resource`](Self::any_resource) included, because servers read it in different ways. A URI is canonical if:
    ///
    /// - It has only characters of a URI (RFC 3986): ASCII, without backslashes, spaces and control characters.
    /// - Its scheme and its host are in lower case.
    /// - It has `//` after its scheme if the rules for this scheme have it, and only then.
    /// - It does not have user information, an empty port, or a port, query or fragment that the rule does not have.
    /// - It does not have a segment `.` or `..`, or an empty segment before its last one.
    /// - Its percent-encoding is in upper case, and not of an unreserved character, a backslash or a control character.
    /// - It is not a `file` URI with a host, and URL parsers read the same host, port and path from it.
    ///
    /// A canonical URI also needs the scopes of a rule that it matches after one of these changes, because lenient servers make
    /// them: its port, query, fragment or slash at the end is removed; a slash is added at the end; its query is replaced by
    /// another one; `%2F` and similar are decoded; the case of ASCII letters in a `file` URI is changed.
    ///
    /// A rule whose own URIs are not canonical cannot match anything, and is an error when the layer is built.
    pub fn resource(self, uri: impl Into<String>, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add(RuleKind::Resource, uri.into(), texts(scopes))
    }

    /// Every resource that no [`resource`](Self::resource) rule matches needs all of `scopes`. So does a URI that is not in
    /// canonical form.
    pub fn any_resource(self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add_any(RuleKind::Resource, texts(scopes))
    }

    /// Requests and notifications of this method need all of `scopes`, for every target.
    pub fn method(self, method: impl Into<String>, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add(RuleKind::Method, method.into(), texts(scopes))
    }

    /// The rule of the call before this one also needs a sender-constrained access token: one that is bound to the key of a DPoP
    /// proof or to a client certificate. Another token gets 401. The server needs a
    /// [`sender_constraint`](crate::ResourceServerBuilder::sender_constraint).
    ///
    /// ```
    /// use mcp_bearer::McpScopes;
    ///
    /// let scopes = McpScopes::new().tool("list_notes", ["notes:read"]).tool("pay", ["pay"]).sender_constrained();
    /// ```
    ///
    /// It is an error when the layer is built if no rule comes before this call.
    pub fn sender_constrained(mut self) -> Self {
        match self.last {
            Some(LastRule::Own(kind)) => {
                if let Some((_, needs)) = self.rules_of(kind).own.last_mut() {
                    needs.sender_constrained = true;
                }
            }
            Some(LastRule::Any(kind)) => self.rules_of(kind).any.get_or_insert_default().sender_constrained = true,
            None => self.constrains_nothing = true,
        }
        self
    }

    /// These methods can be used without a token, if the layer allows anonymous requests. An invalid token is rejected all the
    /// same.
    ///
    /// With `initialize`, the notification `notifications/initialized` that follows it is public too. A method with a target,
    /// such as `tools/call`, cannot be public: use [`public_tools`](Self::public_tools),
    /// [`public_prompts`](Self::public_prompts) or [`public_resources`](Self::public_resources).
    pub fn public(mut self, methods: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.methods.public.extend(texts(methods));
        self
    }

    /// These tools can be called without a token, if the layer allows anonymous requests.
    pub fn public_tools(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tools.public.extend(texts(names));
        self
    }

    /// These prompts can be fetched without a token, if the layer allows anonymous requests.
    pub fn public_prompts(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.prompts.public.extend(texts(names));
        self
    }

    /// These resources, given by URI or URI template, can be read without a token, if the layer allows anonymous requests. A
    /// URI that is not in [canonical form](Self::resource) is never public.
    pub fn public_resources(mut self, uris: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.resources.public.extend(texts(uris));
        self
    }

    /// Names all tools of the server, to find mistakes in the rules. With rmcp,
    /// [`mcp_layer_for`](crate::ResourceServer::mcp_layer_for) calls it.
    ///
    /// A rule for another name, such as a misspelled one, is an error when the layer is built. Tools that need only the scopes
    /// of the layer are logged once, at `info`. The names change no decision about a request.
    ///
    /// Without these names, the layer compares the rules with the first complete response to `tools/list`, and logs a rule for
    /// another name at `warn`.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use mcp_bearer::{McpScopes, ResourceServer};
    /// # use mcp_bearer::testing::TestIssuer;
    ///
    /// # let auth = TestIssuer::new("https://auth.example.com");
    /// # let builder = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer());
    /// # let server = builder.build_lazy().unwrap();
    /// let scopes = McpScopes::new().tool("ad_note", ["notes:write"]).known_tools(["add_note", "list_notes"]);
    /// let error = server.try_mcp_layer(scopes).unwrap_err();
    /// assert!(error.to_string().contains("write \"add_note\""));
    /// # }
    /// ```
    pub fn known_tools(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tools.known.get_or_insert_default().extend(texts(names));
        self
    }

    /// Names all prompts of the server, as [`known_tools`](Self::known_tools) does for tools.
    pub fn known_prompts(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.prompts.known.get_or_insert_default().extend(texts(names));
        self
    }

    /// Rejects every tool, prompt and resource without a rule, whatever scopes the token has. `any_tool`, `any_prompt` and
    /// `any_resource` count as rules. A URI that is not in [canonical form](Self::resource) is rejected unless there is an
    /// `any_resource` rule.
    pub const fn deny_unlisted(mut self) -> Self {
        self.deny_unlisted = true;
        self
    }
}

impl McpScopes {
    fn add(mut self, kind: RuleKind, name: String, scopes: Vec<String>) -> Self {
        self.rules_of(kind).own.push((name, RuleNeeds { scopes, sender_constrained: false }));
        self.last = Some(LastRule::Own(kind));
        self
    }

    fn add_any(mut self, kind: RuleKind, scopes: Vec<String>) -> Self {
        self.rules_of(kind).any.get_or_insert_default().scopes.extend(scopes);
        self.last = Some(LastRule::Any(kind));
        self
    }

    const fn rules_of(&mut self, kind: RuleKind) -> &mut RuleSet {
        match kind {
            RuleKind::Method => &mut self.methods,
            RuleKind::Tool => &mut self.tools,
            RuleKind::Prompt => &mut self.prompts,
            RuleKind::Resource => &mut self.resources,
        }
    }
}

fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}
