//! What operations are about, and the rules for it.

use std::collections::{HashMap, HashSet};

use super::rules::{Needs, RuleId};
use super::uri::ResourceUri;
use super::uri_template::UriTemplate;

/// The rules for what goes by a name: tools, prompts.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) own: HashMap<Box<str>, RuleId>,
    pub(super) any: Option<RuleId>,
    pub(super) public: HashSet<Box<str>>,
}

/// The rules for what goes by a URI.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) own: Vec<(UriTemplate, RuleId)>,
    pub(super) any: Option<RuleId>,
    pub(super) public: Vec<UriTemplate>,
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

impl Resources {
    /// The rules for every resource that a server could take `uri` for: better one too many than one too few. Where a
    /// reading is left that no rule fits, it is one of those without a rule too.
    pub(super) fn look_up(&self, uri: &str, needs: &mut Needs) -> Standing {
        let read = ResourceUri::new(uri);
        let mut rules = Vec::new();
        let mut has_no_rule = vec![true; read.readings.len()];
        for (template, rule) in &self.own {
            let mut fits = read.is_obscure || read.paths.iter().any(|path| template.fits(path));
            for (reading, has_no_rule) in read.readings.iter().zip(&mut has_no_rule) {
                if template.fits(reading) {
                    fits = true;
                    *has_no_rule = false;
                }
            }
            fits = fits || read.literal.iter().any(|uri| template.fits_literally(uri));
            rules.extend(fits.then_some(*rule));
        }
        let is_unclear = read.is_obscure || has_no_rule.contains(&true);
        let is_public = self.public.iter().any(|template| template.surely_matches(uri));
        self.stand(&rules, is_unclear, is_public, needs)
    }

    /// For the template of a resource, of which no URI is known yet.
    pub(super) fn look_up_template(&self, text: &str, needs: &mut Needs) -> Standing {
        let overlapping = self.own.iter().filter(|(template, _)| template.may_overlap(text));
        let rules: Vec<_> = overlapping.map(|(_, rule)| *rule).collect();
        let is_unclear = !self.own.iter().any(|(template, _)| template.may_enclose(text));
        self.stand(&rules, is_unclear, self.public.iter().any(|template| template.as_str() == text), needs)
    }

    /// A URI or template that is public and needs scopes.
    pub(super) fn conflict(&self) -> Option<&str> {
        let guarded = |uri: &&str| self.own.iter().any(|(template, _)| template.as_str() == *uri);
        self.public.iter().map(UriTemplate::as_str).find(guarded)
    }

    /// `is_unclear`: it could be another than those that `rules` are for.
    fn stand(&self, rules: &[RuleId], is_unclear: bool, is_public: bool, needs: &mut Needs) -> Standing {
        rules.iter().for_each(|rule| needs.add(*rule));
        let any = self.any.filter(|_| is_unclear && !is_public);
        any.into_iter().for_each(|rule| needs.add(rule));
        let has_rule = !rules.is_empty() || any.is_some();
        Standing { has_rule, is_public, is_listed: is_public || !is_unclear || any.is_some() }
    }
}
