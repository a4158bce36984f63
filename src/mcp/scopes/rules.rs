use std::collections::{HashMap, HashSet};

use super::mcp_scopes::{McpScopes, Rule};
use super::required::{RequiredRules, RuleId, TargetRules};
use super::resources::ResourceRules;
use super::uri_template::{InvalidTemplate, UriTemplate};
use crate::bearer::{Caller, Guard};
use crate::error::{BuildError, BuildErrorKind};
use crate::mcp::request::{ListKind, Operation, RESOURCE_METHODS, Target};
use crate::scope::{ScopeHierarchy, ScopeRequirement, Scopes};

/// [`McpScopes`], checked and indexed.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The scopes of each rule, by its id.
    scopes: Vec<Scopes>,
    methods: HashMap<Box<str>, RuleId>,
    public_methods: HashSet<Box<str>>,
    tools: NamedRules,
    prompts: NamedRules,
    resources: ResourceRules,
    deny_unlisted: bool,
}

/// The rules for tools, or for prompts.
#[derive(Debug)]
struct NamedRules {
    own: HashMap<Box<str>, RuleId>,
    any: Option<RuleId>,
    public: HashSet<Box<str>>,
}

impl NamedRules {
    fn look_up(&self, name: &str, required: &mut RequiredRules) -> TargetRules {
        let is_public = self.public.contains(name);
        let rule = self.own.get(name).copied().or(self.any.filter(|_| !is_public));
        rule.into_iter().for_each(|rule| required.add(rule));
        TargetRules { has_rule: rule.is_some(), is_public, is_listed: rule.is_some() || is_public }
    }

    /// A name that is public and needs scopes.
    fn conflict(&self) -> Option<&str> {
        self.public.iter().find(|name| self.own.contains_key(*name)).map(AsRef::as_ref)
    }
}

impl McpScopes {
    pub(crate) fn compile(self, guard: &Guard) -> Result<Rules, BuildError> {
        let rules = Rules::new(self)?;
        rules.warn_of(guard);
        Ok(rules)
    }
}

impl Rules {
    /// Adds the rules that `operation` needs. `None` is a response to a request of the server.
    pub(in crate::mcp) fn add(&self, operation: Option<&Operation<'_>>, required: &mut RequiredRules) {
        let Some(operation) = operation else {
            required.token = true;
            return;
        };
        let method = operation.method.as_ref();
        let method_rule = self.methods.get(method);
        method_rule.into_iter().for_each(|rule| required.add(*rule));
        let is_public_method = self.public_methods.contains(method);
        let mut target = match &operation.target {
            Target::None | Target::Task(_) => TargetRules { has_rule: false, is_public: false, is_listed: true },
            Target::Tool(name) => self.tools.look_up(name, required),
            Target::Prompt(name) => self.prompts.look_up(name, required),
            Target::Resource(uri) => self.resources.look_up(uri, required),
            Target::ResourceTemplate(uri) => self.resources.look_up_template(uri, required),
            Target::Resources(uris) => {
                let all = uris.iter().map(|uri| self.resources.look_up(uri, required));
                let none = TargetRules { has_rule: false, is_public: true, is_listed: true };
                let all = all.fold(none, TargetRules::and);
                // It is public only if its method is public too, because it is also about other things than resources.
                TargetRules { is_public: all.is_public && is_public_method, ..all }
            }
        };
        if !matches!(operation.target, Target::Resources(_)) {
            target.is_public |= is_public_method;
        }
        // An operation that needs a scope is not public, even if a public rule matches it too.
        required.token |= !target.is_public || target.has_rule || method_rule.is_some();
        required.unlisted |= self.deny_unlisted && !target.is_listed;
    }

    /// Every rule: what a body needs that cannot be read with certainty.
    pub(in crate::mcp) fn everything(&self) -> RequiredRules {
        let mut required = RequiredRules::default();
        (required.token, required.unlisted) = (true, self.deny_unlisted);
        (0..self.scopes.len()).for_each(|rule| required.add(rule));
        required
    }

    /// Whether the scopes of a token satisfy the required rules.
    pub(in crate::mcp) fn are_met(
        &self,
        required: &RequiredRules,
        granted: &Scopes,
        hierarchy: &ScopeHierarchy,
    ) -> bool {
        let mut scopes = required.rules.iter().filter_map(|rule| self.scopes.get(*rule));
        scopes.all(|scopes| hierarchy.grants_all(granted, scopes))
    }

    /// All scopes of the required rules.
    pub(in crate::mcp) fn scopes_of(&self, required: &RequiredRules) -> Scopes {
        let scopes = required.rules.iter().filter_map(|rule| self.scopes.get(*rule));
        Scopes::granted_list(scopes.flat_map(Scopes::iter))
    }

    /// Whether `caller`, who is allowed to list, may also use an entry of the list.
    pub(in crate::mcp) fn lets_use(&self, kind: ListKind, name: &str, caller: &Caller) -> bool {
        let (method, target) = match kind {
            ListKind::Tools => ("tools/call", Target::Tool(name.into())),
            ListKind::Prompts => ("prompts/get", Target::Prompt(name.into())),
            ListKind::Resources => ("resources/read", Target::Resource(name.into())),
            // A template is useful to a caller that may read one of its resources.
            ListKind::ResourceTemplates => {
                let template = UriTemplate::parse(name);
                let uri = template.as_ref().map_or(name, UriTemplate::expansion);
                ("resources/read", Target::Resource(uri.to_owned().into()))
            }
        };
        let mut required = RequiredRules::default();
        self.add(Some(&Operation { method: method.into(), target }), &mut required);
        match caller {
            Caller::Anonymous(_) => !required.token,
            Caller::Token(auth) => {
                !required.unlisted && self.are_met(&required, auth.scopes(), &auth.guard().hierarchy)
            }
        }
    }

    pub(in crate::mcp) fn new(scopes: McpScopes) -> Result<Self, BuildError> {
        let mut all = Vec::new();
        let mut add = |what: &str, texts: &[String]| {
            let scopes = Scopes::new(texts).map_err(|error| wrong(format!("{what}: {error}")))?;
            all.push(scopes);
            Ok(all.len().saturating_sub(1))
        };
        let mut named = |what: &str, rules: &[Rule]| {
            let mut found: HashMap<Box<str>, RuleId> = HashMap::new();
            for (name, texts) in rules {
                if name.is_empty() {
                    return Err(nameless(what));
                }
                let what = format!("the {what} {name:?}");
                if found.insert(name.as_str().into(), add(&what, texts)?).is_some() {
                    return Err(wrong(format!("{what} has two rules; merge them into one")));
                }
            }
            Ok(found)
        };
        let methods = named("method", &scopes.methods)?;
        let tools = named("tool", &scopes.tools)?;
        let prompts = named("prompt", &scopes.prompts)?;
        let resources = named("resource", &scopes.resources)?;
        let mut any =
            |what: &str, texts: &Option<Vec<String>>| texts.as_ref().map(|texts| add(what, texts)).transpose();
        let any_tool = any("`any_tool`", &scopes.any_tool)?;
        let any_prompt = any("`any_prompt`", &scopes.any_prompt)?;
        let any_resource = any("`any_resource`", &scopes.any_resource)?;
        // In the order of the configuration, which is the order of the scopes in a challenge.
        let mut resources: Vec<_> =
            resources.into_iter().map(|(uri, rule)| Ok((template(&uri)?, rule))).collect::<Result<_, BuildError>>()?;
        resources.sort_unstable_by_key(|(_, rule)| *rule);
        let public_resources = scopes.public_resources.iter().map(|uri| template(uri)).collect::<Result<_, _>>()?;
        let rules = Self {
            scopes: all,
            methods,
            public_methods: set("method", &scopes.public_methods)?,
            tools: NamedRules { own: tools, any: any_tool, public: set("tool", &scopes.public_tools)? },
            prompts: NamedRules { own: prompts, any: any_prompt, public: set("prompt", &scopes.public_prompts)? },
            resources: ResourceRules::new(resources, any_resource, public_resources).map_err(|scheme| {
                wrong(format!(
                    "some resources of the scheme {scheme:?} are written with `{scheme}://` and some without the slashes; \
                     write all with slashes, or all without"
                ))
            })?,
            deny_unlisted: scopes.deny_unlisted,
        };
        rules.check_public()?;
        Ok(rules.with_end_of_initialize())
    }

    /// Rejects what is public by one setting and not by another.
    fn check_public(&self) -> Result<(), BuildError> {
        for method in &self.public_methods {
            if let Some(instead) = names_its_target(method) {
                return Err(wrong(format!(
                    "the method {method:?} cannot be public, because it has a target; name the public ones with `{instead}`"
                )));
            }
            if self.methods.contains_key(method) {
                return Err(wrong(format!(
                    "the method {method:?} is public and needs scopes; remove one of the two settings"
                )));
            }
        }
        let publics = [
            ("tools/call", "public_tools", self.tools.public.is_empty()),
            ("prompts/get", "public_prompts", self.prompts.public.is_empty()),
            ("resources/read", "public_resources", self.resources.public().next().is_none()),
        ];
        for (method, call, is_empty) in publics {
            if !is_empty && self.methods.contains_key(method) {
                return Err(wrong(format!(
                    "the method {method:?} needs scopes, but `{call}` allows it without a token; remove one of the two settings"
                )));
            }
        }
        if let Some(name) = self.tools.conflict() {
            return Err(wrong(format!("the tool {name:?} is public and needs scopes; remove one of the two settings")));
        }
        if let Some(name) = self.prompts.conflict() {
            return Err(wrong(format!(
                "the prompt {name:?} is public and needs scopes; remove one of the two settings"
            )));
        }
        if let Some(uri) = self.resources.conflict() {
            return Err(wrong(format!(
                "the resource {uri:?} is public and needs scopes; remove one of the two settings"
            )));
        }
        Ok(())
    }

    /// A client that sent `initialize` without a token also sends the notification after it without one.
    fn with_end_of_initialize(mut self) -> Self {
        if self.public_methods.contains("initialize") && !self.methods.contains_key(INITIALIZED) {
            self.public_methods.insert(INITIALIZED.into());
        }
        self
    }

    /// Logs what is public, and which scopes clients may fail to get.
    pub(in crate::mcp) fn warn_of(&self, guard: &Guard) {
        for scopes in &self.scopes {
            guard.warn_of(&ScopeRequirement::from(scopes.clone()));
        }
        let public = self.public();
        if !public.is_empty() {
            tracing::warn!(target: "mcp_bearer", operations = public.join(", "),
                "these operations need no token if the layer allows anonymous requests");
        }
    }

    /// Every operation that is public, in a fixed order.
    fn public(&self) -> Vec<String> {
        let methods = self.public_methods.iter().map(ToString::to_string);
        let tools = self.tools.public.iter().map(|name| format!("tool {name}"));
        let prompts = self.prompts.public.iter().map(|name| format!("prompt {name}"));
        let resources = self.resources.public().map(|uri| format!("resource {uri}"));
        let mut all: Vec<_> = methods.chain(tools).chain(prompts).chain(resources).collect();
        all.sort_unstable();
        all
    }
}

/// The setting that makes a target of `method` public; `None` if the method has no target.
fn names_its_target(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" => Some("public_tools"),
        "prompts/get" => Some("public_prompts"),
        method if RESOURCE_METHODS.contains(&method) => Some("public_resources"),
        _ => None,
    }
}

fn template(uri: &str) -> Result<UriTemplate, BuildError> {
    UriTemplate::parse(uri).map_err(|error| {
        let message = match error {
            InvalidTemplate::NotCanonical(reason) => format!("the resource {uri:?} cannot match any URI: {reason}"),
            error => format!("{uri:?} is not a URI template (RFC 6570): {error}"),
        };
        BuildError::new(BuildErrorKind::Setting, message)
    })
}

fn set(what: &str, names: &[String]) -> Result<HashSet<Box<str>>, BuildError> {
    if names.iter().any(String::is_empty) {
        return Err(nameless(what));
    }
    Ok(names.iter().map(|name| name.as_str().into()).collect())
}

fn nameless(what: &str) -> BuildError {
    wrong(format!("a rule for a {what} has an empty name; write the name"))
}

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Scope, message)
}

const INITIALIZED: &str = "notifications/initialized";

#[cfg(test)]
mod tests;
