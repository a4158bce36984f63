use std::collections::HashMap;

use super::required::{RequiredRules, RuleId, TargetRules};
use super::uri::{CanonicalUri, OptionalComponents};
use super::uri_pattern::UriPattern;
use super::uri_template::UriTemplate;

/// The rules for resources.
#[derive(Debug)]
pub(super) struct ResourceRules {
    /// In the order of their ids.
    own: Vec<(UriPattern, RuleId)>,
    any: Option<RuleId>,
    public: Vec<UriPattern>,
    beginnings: Vec<UriBeginning>,
}

/// How the URIs of one rule begin. URIs of the same scheme that begin in another way are not canonical.
#[derive(Debug)]
struct UriBeginning {
    /// `None` if an expression is part of it: it may be any scheme.
    scheme: Option<Box<str>>,
    /// `//` follows the scheme.
    has_slashes: bool,
    /// `///` follows the scheme.
    has_empty_authority: bool,
}

impl ResourceRules {
    /// # Errors
    /// The scheme of which some rules have `//` and some do not.
    pub(super) fn new(
        own: Vec<(UriTemplate, RuleId)>,
        any: Option<RuleId>,
        public: Vec<UriTemplate>,
    ) -> Result<Self, String> {
        let templates = own.iter().map(|(template, _)| template).chain(&public);
        let beginnings: Vec<_> = templates.filter_map(UriBeginning::from_template).collect();
        for one in &beginnings {
            let conflict = beginnings.iter().find(|other| {
                let is_same = one.scheme.is_none() || other.scheme.is_none() || one.scheme == other.scheme;
                is_same && one.has_slashes != other.has_slashes
            });
            if let Some(other) = conflict {
                let scheme = one.scheme.as_ref().or(other.scheme.as_ref());
                return Err(scheme.map_or_else(|| "{scheme}".to_owned(), ToString::to_string));
            }
        }
        Ok(Self {
            own: own.into_iter().map(|(template, rule)| (UriPattern::new(template), rule)).collect(),
            any,
            public: public.into_iter().map(UriPattern::new).collect(),
            beginnings,
        })
    }

    pub(super) fn public(&self) -> impl Iterator<Item = &str> {
        self.public.iter().map(|pattern| pattern.template().as_str())
    }

    /// Adds the rules for the resource `uri`:
    ///
    /// 1. A URI that is not canonical needs every rule.
    /// 2. So does one with a port, a query or a fragment, if no rule and nothing public matches it as it is written.
    /// 3. Any other URI needs each rule that matches it, as it is written or as a lenient server reads it.
    /// 4. If no rule matches it as it is written, it also needs the rule for all other resources, unless it is public.
    pub(super) fn look_up(&self, uri: &str, required: &mut RequiredRules) -> TargetRules {
        let Some(uri) = self.canonical(uri) else { return self.require_every_rule(required) };
        let matches: Vec<bool> = self.own.iter().map(|(pattern, _)| pattern.matches(&uri)).collect();
        let is_matched = matches.contains(&true);
        let is_public = self.public.iter().any(|pattern| pattern.surely_matches(&uri));
        if uri.optional().any() && !is_matched && !is_public {
            return self.require_every_rule(required);
        }
        let mut readings: HashMap<OptionalComponents, Vec<String>> = HashMap::new();
        let applying = self.own.iter().zip(matches).filter(|((pattern, _), is_matched)| {
            let expected = pattern.template().optional();
            let readings = readings.entry(expected).or_insert_with(|| uri.lenient_readings(expected));
            *is_matched || pattern.resembles(readings)
        });
        let rules: Vec<_> = applying.map(|((_, rule), _)| *rule).collect();
        self.require(&rules, is_matched, is_public, required)
    }

    /// Adds the rules for the URI template `text`, whose variables a client completes: the rules for all URIs that the
    /// template could have.
    pub(super) fn look_up_template(&self, text: &str, required: &mut RequiredRules) -> TargetRules {
        let Ok(template) = UriTemplate::parse(text) else { return self.require_every_rule(required) };
        let Some(uri) = self.canonical(template.expansion()) else { return self.require_every_rule(required) };
        let own = || self.own.iter().map(|(pattern, rule)| (pattern.template(), *rule));
        let overlapping: Vec<_> = own().filter(|(known, _)| known.may_overlap(&template)).collect();
        if uri.optional().any() && !overlapping.iter().any(|(known, _)| uri.optional().is_within(known.optional())) {
            return self.require_every_rule(required);
        }
        let rules: Vec<_> = overlapping.into_iter().map(|(_, rule)| rule).collect();
        let is_matched = own().any(|(known, _)| known.may_enclose(&template));
        self.require(&rules, is_matched, self.public().any(|public| public == text), required)
    }

    /// A URI or template that is public and needs scopes.
    pub(super) fn conflict(&self) -> Option<&str> {
        self.public().find(|uri| self.own.iter().any(|(pattern, _)| pattern.template().as_str() == *uri))
    }

    /// `uri` in canonical form, if it is, and begins as the rules for its scheme do.
    fn canonical<'u>(&self, uri: &'u str) -> Option<CanonicalUri<'u>> {
        let uri = CanonicalUri::parse(uri).ok()?;
        let Some(scheme) = uri.scheme() else { return Some(uri) };
        let known =
            || self.beginnings.iter().filter(|known| known.scheme.as_deref().is_none_or(|known| known == scheme));
        let has_same_slashes = known().all(|known| known.has_slashes == uri.has_slashes());
        let may_be_empty = known().next().is_none() || known().any(|known| known.has_empty_authority);
        (has_same_slashes && (may_be_empty || !uri.has_empty_authority())).then_some(uri)
    }

    fn require_every_rule(&self, required: &mut RequiredRules) -> TargetRules {
        let rules: Vec<_> = self.own.iter().map(|(_, rule)| *rule).collect();
        self.require(&rules, false, false, required)
    }

    /// `is_matched` says that the resource is none of the other resources, which `any` is for.
    fn require(
        &self,
        rules: &[RuleId],
        is_matched: bool,
        is_public: bool,
        required: &mut RequiredRules,
    ) -> TargetRules {
        let any = self.any.filter(|_| !is_matched && !is_public);
        rules.iter().copied().chain(any).for_each(|rule| required.add(rule));
        let has_rule = !rules.is_empty() || any.is_some();
        TargetRules { has_rule, is_public, is_listed: is_public || is_matched || any.is_some() }
    }
}

impl UriBeginning {
    /// `None` if URIs of the template need no scheme.
    fn from_template(template: &UriTemplate) -> Option<Self> {
        if let Some((scheme, rest)) = template.scheme() {
            let (has_slashes, has_empty_authority) = (rest.starts_with("//"), rest.starts_with("///"));
            return Some(Self { scheme: Some(scheme.into()), has_slashes, has_empty_authority });
        }
        let uri = CanonicalUri::parse(template.expansion()).ok()?;
        uri.scheme()?;
        Some(Self { scheme: None, has_slashes: uri.has_slashes(), has_empty_authority: false })
    }
}
