use std::collections::{HashMap, HashSet};

use super::mcp_scopes::{McpScopes, Rule};
use super::resources::Resources;
use super::targets::{Named, Standing};
use super::uri_template::{InvalidTemplate, UriTemplate};
use crate::bearer::{Caller, Guard};
use crate::error::{BuildError, BuildErrorKind};
use crate::mcp::request::{ListKind, Operation, RESOURCE_METHODS, Target};
use crate::scope::{ScopeHierarchy, ScopeRequirement, Scopes};

/// [`McpScopes`], checked and ready to be looked up.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What each rule asks for.
    scopes: Vec<Scopes>,
    methods: HashMap<Box<str>, RuleId>,
    public_methods: HashSet<Box<str>>,
    tools: Named,
    prompts: Named,
    resources: Resources,
    deny_unlisted: bool,
}

/// The place of a rule among all of them.
pub(super) type RuleId = usize;

/// What the messages of one body need together.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Needs {
    /// In the order in which challenges name their scopes.
    rules: Vec<RuleId>,
    /// Whether each rule is among them.
    has: Vec<bool>,
    /// Something in it is not for everybody.
    pub(in crate::mcp) token: bool,
    /// Something in it is for nobody.
    pub(in crate::mcp) unlisted: bool,
}

impl Needs {
    pub(super) fn add(&mut self, rule: RuleId) {
        if self.has.len() <= rule {
            self.has.resize(rule.saturating_add(1), false);
        }
        if let Some(has @ false) = self.has.get_mut(rule) {
            *has = true;
            self.rules.push(rule);
        }
    }
}

impl Rules {
    /// Adds what `operation` needs; `None` is an answer to what the server asked.
    pub(in crate::mcp) fn add(&self, operation: Option<&Operation<'_>>, needs: &mut Needs) {
        let Some(operation) = operation else {
            needs.token = true;
            return;
        };
        let method = operation.method.as_ref();
        let method_rule = self.methods.get(method);
        method_rule.into_iter().for_each(|rule| needs.add(*rule));
        let is_public_method = self.public_methods.contains(method);
        let look_up = |uri, needs: &mut Needs| self.resources.look_up(uri, needs);
        let standing = match &operation.target {
            Target::None | Target::Task(_) => {
                Standing { has_rule: false, is_public: is_public_method, is_listed: true }
            }
            Target::Tool(name) => self.tools.look_up(name, needs),
            Target::Prompt(name) => self.prompts.look_up(name, needs),
            Target::Resource(uri) => look_up(uri, needs),
            Target::ResourceTemplate(uri) => self.resources.look_up_template(uri, needs),
            Target::Resources(uris) => {
                let standings: Vec<_> = uris.iter().map(|uri| look_up(uri, needs)).collect();
                Standing {
                    has_rule: standings.iter().any(|standing| standing.has_rule),
                    is_public: is_public_method && standings.iter().all(|standing| standing.is_public),
                    is_listed: standings.iter().all(|standing| standing.is_listed),
                }
            }
        };
        let is_about_one = !matches!(operation.target, Target::None | Target::Task(_) | Target::Resources(_));
        let is_public = standing.is_public || (is_about_one && is_public_method);
        // What a rule asks something for is not public, whatever else fits it.
        needs.token |= !is_public || standing.has_rule || method_rule.is_some();
        needs.unlisted |= self.deny_unlisted && !standing.is_listed;
    }

    /// What a body needs of which nobody can say for certain what it asks for: all that there is.
    pub(in crate::mcp) fn everything(&self) -> Needs {
        let mut needs = Needs { token: true, unlisted: self.deny_unlisted, ..Needs::default() };
        (0..self.scopes.len()).for_each(|rule| needs.add(rule));
        needs
    }

    /// Whether `granted` is enough for what the rules ask for.
    pub(in crate::mcp) fn are_met(&self, needs: &Needs, granted: &Scopes, hierarchy: &ScopeHierarchy) -> bool {
        let mut scopes = needs.rules.iter().filter_map(|rule| self.scopes.get(*rule));
        scopes.all(|scopes| hierarchy.grants_all(granted, scopes))
    }

    /// All that the rules ask for.
    pub(in crate::mcp) fn scopes_of(&self, needs: &Needs) -> Scopes {
        let scopes = needs.rules.iter().filter_map(|rule| self.scopes.get(*rule));
        Scopes::granted_list(scopes.flat_map(Scopes::iter))
    }

    /// Whether `caller`, who may make requests at all, could use one entry of a list.
    pub(in crate::mcp) fn lets_use(&self, kind: ListKind, name: &str, caller: &Caller) -> bool {
        let (method, target) = match kind {
            ListKind::Tools => ("tools/call", Target::Tool(name.into())),
            ListKind::Prompts => ("prompts/get", Target::Prompt(name.into())),
            ListKind::Resources | ListKind::Skills => ("resources/read", Target::Resource(name.into())),
            // It is useful to a caller that may read one of its resources.
            ListKind::ResourceTemplates => {
                let uri =
                    UriTemplate::parse(name).map_or_else(|_| name.to_owned(), |template| template.expansion().into());
                ("resources/read", Target::Resource(uri.into()))
            }
        };
        let mut needs = Needs::default();
        self.add(Some(&Operation { method: method.into(), target }), &mut needs);
        match caller {
            Caller::Anonymous(_) => !needs.token,
            Caller::Token(auth) => !needs.unlisted && self.are_met(&needs, auth.scopes(), &auth.guard().hierarchy),
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
                    return Err(wrong(format!("{what} has two rules: make them one")));
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
        // In the order in which they were given, so that challenges name scopes in it.
        let mut resources: Vec<_> =
            resources.into_iter().map(|(uri, rule)| Ok((template(&uri)?, rule))).collect::<Result<_, BuildError>>()?;
        resources.sort_unstable_by_key(|(_, rule)| *rule);
        let public_resources = scopes.public_resources.iter().map(|uri| template(uri)).collect::<Result<_, _>>()?;
        let rules = Self {
            scopes: all,
            methods,
            public_methods: set("method", &scopes.public_methods)?,
            tools: Named { own: tools, any: any_tool, public: set("tool", &scopes.public_tools)? },
            prompts: Named { own: prompts, any: any_prompt, public: set("prompt", &scopes.public_prompts)? },
            resources: Resources::new(resources, any_resource, public_resources).map_err(|scheme| {
                wrong(format!(
                    "some resources of the scheme {scheme:?} are written with `{scheme}://` and some without the slashes: \
                     write all with, or all without"
                ))
            })?,
            deny_unlisted: scopes.deny_unlisted,
        };
        rules.check_public()?;
        Ok(rules.with_end_of_initialize())
    }

    /// Public by one rule and not by another: which one counts must not be a matter of luck.
    fn check_public(&self) -> Result<(), BuildError> {
        for method in &self.public_methods {
            if let Some(instead) = names_its_target(method) {
                return Err(wrong(format!(
                    "{method:?} is not one operation, so it cannot be public: name what is, with `{instead}`"
                )));
            }
            if self.methods.contains_key(method) {
                return Err(wrong(format!("the method {method:?} is public and needs scopes: remove one of the two")));
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
                    "{method:?} needs scopes always, and `{call}` says never: remove one of the two"
                )));
            }
        }
        if let Some(name) = self.tools.conflict() {
            return Err(wrong(format!("the tool {name:?} is public and needs scopes: remove one of the two")));
        }
        if let Some(name) = self.prompts.conflict() {
            return Err(wrong(format!("the prompt {name:?} is public and needs scopes: remove one of the two")));
        }
        if let Some(uri) = self.resources.conflict() {
            return Err(wrong(format!("the resource {uri:?} is public and needs scopes: remove one of the two")));
        }
        Ok(())
    }

    /// Without it, nobody who began with `initialize` could go on.
    fn with_end_of_initialize(mut self) -> Self {
        if self.public_methods.contains("initialize") && !self.methods.contains_key(INITIALIZED) {
            self.public_methods.insert(INITIALIZED.into());
        }
        self
    }

    /// Tells the operator what needs no token, and which scopes clients may find hard to get.
    pub(in crate::mcp) fn warn_of(&self, guard: &Guard) {
        for scopes in &self.scopes {
            guard.warn_of(&ScopeRequirement::from(scopes.clone()));
        }
        let public = self.public();
        if !public.is_empty() {
            tracing::warn!(target: "mcp_bearer", operations = public.join(", "),
                "these operations need no token where the bearer layer allows anonymous requests");
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

/// Which call makes the targets of a method public, if the method names any.
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
            InvalidTemplate::NotCanonical(reason) => format!("the resource {uri:?} can match no URI: {reason}"),
            error => format!("{uri:?} is no URI template (RFC 6570): {error}"),
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
    wrong(format!("a {what} has no name: give it one"))
}

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Scope, message)
}

const INITIALIZED: &str = "notifications/initialized";

#[cfg(test)]
mod tests;
