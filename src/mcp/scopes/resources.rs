use std::collections::HashMap;

use super::uri::{CanonicalUri, OptionalComponents};
use super::uri_template::{UriPattern, UriTemplate};

/// The index of a rule in [`Rules`](super::Rules).
pub(super) type RuleId = usize;

/// The callers that may use a target if its rules are satisfied, from the fewest callers to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TargetAccess {
    /// No rule lists it, so nobody with [`deny_unlisted`](super::McpScopes::deny_unlisted).
    Unlisted,
    /// Callers with a token.
    Listed,
    /// Callers without a token too.
    Public,
}

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
        self.public.iter().map(|pattern| &*pattern.template.text)
    }

    /// The rules for the resource `uri`:
    ///
    /// 1. A URI that is not canonical needs every rule.
    /// 2. So does one with a port, a query or a fragment, if no rule and nothing public matches it as it is written.
    /// 3. Any other URI needs each rule that matches it, as it is written or as a lenient server reads it.
    /// 4. If no rule matches it as it is written, it also needs the rule for all other resources, unless it is public.
    pub(super) fn look_up(&self, uri: &str) -> (Vec<RuleId>, TargetAccess) {
        let Some(uri) = self.canonical(uri) else { return self.every_rule() };
        let matches: Vec<bool> = self.own.iter().map(|(pattern, _)| pattern.matches(&uri)).collect();
        let is_matched = matches.contains(&true);
        let is_public = self.public.iter().any(|pattern| pattern.surely_matches(&uri));
        if uri.optional().any() && !is_matched && !is_public {
            return self.every_rule();
        }
        let mut readings: HashMap<OptionalComponents, Vec<String>> = HashMap::new();
        let applying = self.own.iter().zip(matches).filter(|((pattern, _), is_matched)| {
            let expected = pattern.template.optional;
            let readings = readings.entry(expected).or_insert_with(|| uri.lenient_readings(expected));
            *is_matched || pattern.resembles(readings)
        });
        self.with_any(applying.map(|((_, rule), _)| *rule).collect(), is_matched, is_public)
    }

    /// The rules for the URI template `text`, whose variables a client completes: those for all URIs that the template could
    /// have.
    pub(super) fn look_up_template(&self, text: &str) -> (Vec<RuleId>, TargetAccess) {
        let Ok(template) = UriTemplate::parse(text) else { return self.every_rule() };
        let Some(uri) = self.canonical(&template.expansion) else { return self.every_rule() };
        let own = || self.own.iter().map(|(pattern, rule)| (&pattern.template, *rule));
        let overlapping: Vec<_> = own().filter(|(known, _)| known.may_overlap(&template)).collect();
        if uri.optional().any() && !overlapping.iter().any(|(known, _)| uri.optional().is_within(known.optional)) {
            return self.every_rule();
        }
        let is_matched = own().any(|(known, _)| known.may_enclose(&template));
        let is_public = self.public().any(|public| public == text);
        self.with_any(overlapping.into_iter().map(|(_, rule)| rule).collect(), is_matched, is_public)
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

    fn every_rule(&self) -> (Vec<RuleId>, TargetAccess) {
        self.with_any(self.own.iter().map(|(_, rule)| *rule).collect(), false, false)
    }

    /// Adds the rule for all other resources, unless the resource is matched or public.
    fn with_any(&self, mut rules: Vec<RuleId>, is_matched: bool, is_public: bool) -> (Vec<RuleId>, TargetAccess) {
        let any = self.any.filter(|_| !is_matched && !is_public);
        rules.extend(any);
        (rules, TargetAccess::new(is_public, is_matched || any.is_some()))
    }
}

impl TargetAccess {
    pub(super) const fn new(is_public: bool, is_listed: bool) -> Self {
        match (is_public, is_listed) {
            (true, _) => Self::Public,
            (false, true) => Self::Listed,
            (false, false) => Self::Unlisted,
        }
    }
}

impl UriBeginning {
    /// `None` if URIs of the template need no scheme.
    fn from_template(template: &UriTemplate) -> Option<Self> {
        if let Some((scheme, rest)) = template.scheme() {
            let (has_slashes, has_empty_authority) = (rest.starts_with("//"), rest.starts_with("///"));
            return Some(Self { scheme: Some(scheme.into()), has_slashes, has_empty_authority });
        }
        let uri = CanonicalUri::parse(&template.expansion).ok()?;
        uri.scheme()?;
        Some(Self { scheme: None, has_slashes: uri.has_slashes(), has_empty_authority: false })
    }
}
