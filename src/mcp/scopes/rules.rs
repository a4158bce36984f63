use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::mcp_scopes::{McpScopes, RuleNeeds, RuleSet};
use super::resources::{ResourceRules, RuleId, TargetAccess};
use super::uri_template::{InvalidTemplate, UriTemplate};
use crate::bearer::{Caller, Guard};
use crate::error::{BuildError, BuildErrorKind};
use crate::escape::Escaped;
use crate::log::MAX_CAUSE;
use crate::mcp::request::{ListKind, Operation, RESOURCE_METHODS, Target};
use crate::scope::{ScopeHierarchy, ScopeRequirement, Scopes};
use crate::sender::SenderConstraint;
use crate::similar::closest;

/// [`McpScopes`], checked and indexed.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The requirements of each rule, by its id.
    needs: Vec<CheckedNeeds>,
    methods: NamedRules,
    tools: NamedRules,
    prompts: NamedRules,
    resources: ResourceRules,
    deny_unlisted: bool,
    /// The rules for tools were compared with the names of all tools.
    are_tools_checked: AtomicBool,
    /// The number of unfiltered lists that were read to find the names of all tools.
    observed_lists: AtomicUsize,
}

/// The checked requirements of one rule.
#[derive(Debug)]
struct CheckedNeeds {
    scopes: Scopes,
    sender_constrained: bool,
}

/// The rules that the messages of one body need together.
#[derive(Debug, Default)]
pub(in crate::mcp) struct RequiredRules {
    /// In the order in which a challenge names their scopes.
    rules: Vec<RuleId>,
    /// The same, for a fast look-up.
    known: HashSet<RuleId>,
    /// Some message is not public.
    pub(in crate::mcp) token: bool,
    /// Some message is not allowed to anybody, because no rule lists its target.
    pub(in crate::mcp) unlisted: bool,
}

impl RequiredRules {
    /// Adds the rules of a target.
    fn add(&mut self, (rules, access): (impl IntoIterator<Item = RuleId>, TargetAccess)) -> TargetAccess {
        for rule in rules {
            // An operation that needs a scope is not public, even if a public rule matches it too.
            self.token = true;
            if self.known.insert(rule) {
                self.rules.push(rule);
            }
        }
        access
    }
}

/// A [`RuleSet`], checked and indexed.
#[derive(Debug)]
struct NamedRules {
    own: HashMap<String, RuleId>,
    any: Option<RuleId>,
    public: HashSet<String>,
}

impl NamedRules {
    /// Adds what each rule needs to `all`.
    fn new(what: &str, set: RuleSet, all: &mut Vec<CheckedNeeds>) -> Result<Self, BuildError> {
        let mut add = |what: &str, needs: &RuleNeeds| {
            let scopes = Scopes::new(&needs.scopes).map_err(|error| wrong(format!("{what}: {error}")))?;
            all.push(CheckedNeeds { scopes, sender_constrained: needs.sender_constrained });
            Ok(all.len().saturating_sub(1))
        };
        if set.own.iter().map(|(name, _)| name).chain(&set.public).any(String::is_empty) {
            return Err(wrong(format!("a rule for a {what} has an empty name; write the name")));
        }
        let mut own = HashMap::new();
        for (name, needs) in set.own {
            let described = format!("the {what} {name:?}");
            if set.public.contains(&name) {
                return Err(wrong(format!("{described} is public and needs scopes; remove one of the two settings")));
            }
            if own.insert(name, add(&described, &needs)?).is_some() {
                return Err(wrong(format!("{described} has two rules; merge them into one")));
            }
        }
        let any = set.any.map(|needs| add(&format!("`any_{what}`"), &needs)).transpose()?;
        Ok(Self { own, any, public: set.public.into_iter().collect() })
    }

    fn look_up(&self, name: &str) -> (Option<RuleId>, TargetAccess) {
        let is_public = self.public.contains(name);
        let rule = self.own.get(name).copied().or(self.any.filter(|_| !is_public));
        (rule, TargetAccess::new(is_public, rule.is_some()))
    }
}

impl McpScopes {
    /// Checks the rules without a server. It logs nothing.
    #[cfg(feature = "settings")]
    pub(crate) fn check(self) -> Result<(), BuildError> {
        Rules::new(self).map(drop)
    }

    pub(crate) fn compile(self, guard: &Guard) -> Result<Rules, BuildError> {
        let needs_no_rule = |set: &RuleSet, call: &str| {
            self.deny_unlisted || set.any.is_some() || self.methods.own.iter().any(|(method, _)| method == call)
        };
        let mut without_rule = Vec::new();
        for (what, set, call) in [("tool", &self.tools, "tools/call"), ("prompt", &self.prompts, "prompts/get")] {
            let names = set.names_without_rule();
            if !needs_no_rule(set, call) && !names.is_empty() {
                without_rule.push((what, names.join(", ")));
            }
        }
        let rules = Rules::new(self)?;
        if rules.needs.iter().any(|needs| needs.sender_constrained) {
            guard.sender.check(SenderConstraint::Required)?;
        }
        rules.warn_of(guard);
        for (kind, names) in without_rule {
            tracing::info!(target: "mcp_bearer", kind, names,
                "operations without a rule need only the scopes of the layer: write a rule, or call `deny_unlisted`");
        }
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
        let is_public_method = required.add(self.methods.look_up(&operation.method)) == TargetAccess::Public;
        let target = match &operation.target {
            Target::None | Target::Task(_) => TargetAccess::Listed,
            Target::Tool(name) => required.add(self.tools.look_up(name)),
            Target::Prompt(name) => required.add(self.prompts.look_up(name)),
            Target::Resource(uri) => required.add(self.resources.look_up(uri)),
            Target::ResourceTemplate(uri) => required.add(self.resources.look_up_template(uri)),
            Target::Resources(uris) => {
                let all = uris.iter().map(|uri| required.add(self.resources.look_up(uri)));
                all.min().unwrap_or(TargetAccess::Public)
            }
        };
        let is_public = match &operation.target {
            // It is public only if its method is public too, because it is also about other things than resources.
            Target::Resources(_) => is_public_method && target == TargetAccess::Public,
            _ => is_public_method || target == TargetAccess::Public,
        };
        required.token |= !is_public;
        required.unlisted |= self.deny_unlisted && target == TargetAccess::Unlisted;
    }

    /// Every rule: what a body needs that cannot be read with certainty.
    pub(in crate::mcp) fn everything(&self) -> RequiredRules {
        let mut required = RequiredRules { token: true, unlisted: self.deny_unlisted, ..RequiredRules::default() };
        required.add((0..self.needs.len(), TargetAccess::Listed));
        required
    }

    /// Whether the scopes of a token satisfy the required rules.
    pub(in crate::mcp) fn are_met(
        &self,
        required: &RequiredRules,
        granted: &Scopes,
        hierarchy: &ScopeHierarchy,
    ) -> bool {
        self.needs_of(required).all(|needs| hierarchy.grants_all(granted, &needs.scopes))
    }

    /// Whether a required rule needs a sender-constrained access token.
    pub(in crate::mcp) fn need_constrained_sender(&self, required: &RequiredRules) -> bool {
        self.needs_of(required).any(|needs| needs.sender_constrained)
    }

    /// All scopes of the required rules.
    pub(in crate::mcp) fn scopes_of(&self, required: &RequiredRules) -> Scopes {
        Scopes::granted_list(self.needs_of(required).flat_map(|needs| needs.scopes.iter()))
    }

    fn needs_of(&self, required: &RequiredRules) -> impl Iterator<Item = &CheckedNeeds> {
        required.rules.iter().filter_map(|rule| self.needs.get(*rule))
    }

    /// Whether the names of all tools are needed to find rules for tools that do not exist.
    pub(in crate::mcp) fn need_tool_names(&self) -> bool {
        !self.are_tools_checked.load(Ordering::Relaxed)
    }

    /// Whether an unfiltered list is read to find the names of all tools. It is true for the first lists only.
    pub(in crate::mcp) fn observes_list(&self) -> bool {
        self.need_tool_names() && self.observed_lists.fetch_add(1, Ordering::Relaxed) < MAX_OBSERVED
    }

    /// Compares the rules with the names of all tools, and warns of rules for other names. A second call does nothing.
    pub(in crate::mcp) fn check_tools(&self, names: &[String]) {
        // An empty list may mean that this caller may use no tools.
        if names.is_empty() || self.are_tools_checked.swap(true, Ordering::Relaxed) {
            return;
        }
        let names: HashSet<&str> = names.iter().map(String::as_str).collect();
        let rules = self.tools.own.keys().chain(&self.tools.public);
        for rule in rules.filter(|rule| !names.contains(rule.as_str())).take(MAX_WARNINGS) {
            let closest = closest(rule, names.iter().copied());
            let closest = closest.map(|name| tracing::field::display(Escaped(name, MAX_CAUSE)));
            tracing::warn!(target: "mcp_bearer", rule, closest,
                "a rule is for a tool that is not in the list of tools: correct its name, or remove the rule");
        }
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
                let uri = template.as_ref().map_or(name, |template| &template.expansion);
                ("resources/read", Target::Resource(uri.to_owned().into()))
            }
        };
        let mut required = RequiredRules::default();
        self.add(Some(&Operation { method: method.into(), target }), &mut required);
        match caller {
            Caller::Anonymous(_) => !required.token,
            Caller::Token(auth) => {
                !required.unlisted
                    && self.are_met(&required, auth.scopes(), &auth.guard().hierarchy)
                    && (auth.sender().is_constrained() || !self.need_constrained_sender(&required))
            }
        }
    }

    pub(in crate::mcp) fn new(configured: McpScopes) -> Result<Self, BuildError> {
        let McpScopes { mut methods, tools, prompts, resources, deny_unlisted, constrains_nothing, .. } = configured;
        if constrains_nothing {
            return Err(wrong(
                "`sender_constrained` comes before every rule; call it after the rule that it is for".to_owned(),
            ));
        }
        for method in &methods.public {
            if let Some(instead) = names_its_target(method) {
                return Err(wrong(format!(
                    "the method {method:?} cannot be public, because it has a target; name the public ones with `{instead}`"
                )));
            }
        }
        for (method, call, public) in [
            ("tools/call", "public_tools", &tools.public),
            ("prompts/get", "public_prompts", &prompts.public),
            ("resources/read", "public_resources", &resources.public),
        ] {
            if !public.is_empty() && methods.own.iter().any(|(name, _)| name == method) {
                return Err(wrong(format!(
                    "the method {method:?} needs scopes, but `{call}` allows it without a token; remove one of the two settings"
                )));
            }
        }
        // A client that sent `initialize` without a token also sends the notification after it without one.
        if methods.public.iter().any(|name| name == "initialize")
            && !methods.own.iter().any(|(name, _)| name == INITIALIZED)
        {
            methods.public.push(INITIALIZED.to_owned());
        }
        tools.check_names("tool")?;
        prompts.check_names("prompt")?;
        let are_tools_checked = AtomicBool::new(tools.known.is_some() || tools.names().next().is_none());
        let public_resources = resources.public.iter().map(|uri| template(uri)).collect::<Result<_, _>>()?;
        let mut needs = Vec::new();
        let mut named = |what: &str, set| NamedRules::new(what, set, &mut needs);
        let (methods, tools, prompts) = (named("method", methods)?, named("tool", tools)?, named("prompt", prompts)?);
        let NamedRules { own, any, public: _ } = named("resource", resources)?;
        let own = own.into_iter().map(|(uri, rule)| Ok((template(&uri)?, rule)));
        let mut own = own.collect::<Result<Vec<_>, BuildError>>()?;
        // In the order of the configuration, which is the order of the scopes in a challenge.
        own.sort_unstable_by_key(|(_, rule)| *rule);
        let resources = ResourceRules::new(own, any, public_resources).map_err(|scheme| {
            wrong(format!(
                "some resources of the scheme {scheme:?} are written with `{scheme}://` and some without the slashes; write \
                 all with slashes, or all without"
            ))
        })?;
        let observed_lists = AtomicUsize::new(0);
        Ok(Self { needs, methods, tools, prompts, resources, deny_unlisted, are_tools_checked, observed_lists })
    }

    /// Logs what is public, and which scopes clients may fail to get.
    pub(in crate::mcp) fn warn_of(&self, guard: &Guard) {
        for needs in &self.needs {
            guard.warn_of(&ScopeRequirement::from(needs.scopes.clone()));
        }
        let public = self.public();
        if !public.is_empty() {
            tracing::warn!(target: "mcp_bearer", operations = public.join(", "),
                "these operations need no token if the layer allows anonymous requests");
        }
    }

    /// Every operation that is public, in a fixed order.
    fn public(&self) -> Vec<String> {
        let methods = self.methods.public.iter().cloned();
        let tools = self.tools.public.iter().map(|name| format!("tool {name}"));
        let prompts = self.prompts.public.iter().map(|name| format!("prompt {name}"));
        let resources = self.resources.public().map(|uri| format!("resource {uri}"));
        let mut all: Vec<_> = methods.chain(tools).chain(prompts).chain(resources).collect();
        all.sort_unstable();
        all
    }
}

/// The setting that makes a target of `method` public; `None` if the method does not have a target.
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

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Scope, message)
}

/// How many unfiltered lists are read at most. If the server sends its tools in pages, no list is complete.
const MAX_OBSERVED: usize = 16;
/// The most warnings about rules for tools that do not exist. Each compares its rule with the list.
const MAX_WARNINGS: usize = 16;
const INITIALIZED: &str = "notifications/initialized";

#[cfg(test)]
mod tests;
