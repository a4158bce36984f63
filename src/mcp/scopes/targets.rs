//! What operations are about, and the rules for it.

use std::collections::{HashMap, HashSet};

use super::rules::{Needs, RuleId};

/// The rules for what goes by a name: tools, prompts.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) own: HashMap<Box<str>, RuleId>,
    pub(super) any: Option<RuleId>,
    pub(super) public: HashSet<Box<str>>,
}

/// How the rules see one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) has_rule: bool,
    pub(super) is_public: bool,
    pub(super) is_listed: bool,
}

impl Named {
    pub(super) fn look_up(&self, name: &str, needs: &mut Needs) -> Standing {
        let is_public = self.public.contains(name);
        let rule = self.own.get(name).copied().or(self.any.filter(|_| !is_public));
        rule.into_iter().for_each(|rule| needs.add(rule));
        Standing { has_rule: rule.is_some(), is_public, is_listed: rule.is_some() || is_public }
    }

    /// A name that is public and needs scopes.
    pub(super) fn conflict(&self) -> Option<&str> {
        self.public.iter().find(|name| self.own.contains_key(*name)).map(AsRef::as_ref)
    }
}
