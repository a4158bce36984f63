use std::collections::HashMap;

use super::rules::{Needs, RuleId};
use super::targets::Standing;
use super::uri::{CanonicalUri, Optional};
use super::uri_template::UriTemplate;

/// The rules for what goes by a URI.
#[derive(Debug)]
pub(super) struct Resources {
    /// In the order of the rules.
    own: Vec<(UriTemplate, RuleId)>,
    any: Option<RuleId>,
    public: Vec<UriTemplate>,
    beginnings: HashMap<Box<str>, Beginning>,
    /// For every other scheme, if a rule such as `{scheme}://x` says anything about it.
    others: Option<Beginning>,
}

/// How the URIs of one scheme begin, by the rules for it.
#[derive(Debug, Clone, Copy, Default)]
struct Beginning {
    /// `//` follows the scheme.
    slashes: bool,
    /// `///` follows the scheme, in at least one rule.
    empty_authority: bool,
}

impl Resources {
    /// # Errors
    /// The scheme of which some rules have `//` and some do not: those that do not can match no URI.
    pub(super) fn new(
        own: Vec<(UriTemplate, RuleId)>,
        any: Option<RuleId>,
        public: Vec<UriTemplate>,
    ) -> Result<Self, String> {
        let mut beginnings: HashMap<Box<str>, Beginning> = HashMap::new();
        let mut others: Option<Beginning> = None;
        for template in own.iter().map(|(template, _)| template).chain(&public) {
            let (scheme, beginning, is_other) = match template.scheme() {
                Some((scheme, rest)) => {
                    let (slashes, empty_authority) = (rest.starts_with("//"), rest.starts_with("///"));
                    (scheme, Beginning { slashes, empty_authority }, false)
                }
                None => match CanonicalUri::parse(template.expansion()) {
                    Ok(uri) if uri.scheme().is_some() => {
                        (template.as_str(), Beginning { slashes: uri.has_slashes(), empty_authority: false }, true)
                    }
                    // Its URIs need no scheme.
                    _ => continue,
                },
            };
            let known = match is_other {
                true => others.get_or_insert(beginning),
                false => beginnings.entry(scheme.into()).or_insert(beginning),
            };
            if known.slashes != beginning.slashes {
                return Err(scheme.to_owned());
            }
            known.empty_authority |= beginning.empty_authority;
        }
        match beginnings.iter().find(|(_, known)| others.is_some_and(|others| others.slashes != known.slashes)) {
            Some((scheme, _)) => Err(scheme.to_string()),
            None => Ok(Self { own, any, public, beginnings, others }),
        }
    }

    pub(super) fn public(&self) -> impl Iterator<Item = &str> {
        self.public.iter().map(UriTemplate::as_str)
    }

    /// Adds the rules for one resource. Its URI is matched once, as it is written. If it is not in canonical form, it needs
    /// every rule, because there are servers that read it in another way.
    pub(super) fn look_up(&self, uri: &str, needs: &mut Needs) -> Standing {
        let Some(uri) = self.canonical(uri) else { return self.needs_every_rule(needs) };
        let matches: Vec<bool> = self.own.iter().map(|(template, _)| template.matches(&uri)).collect();
        let is_matched = matches.contains(&true);
        let is_public = self.public.iter().any(|template| template.surely_matches(&uri));
        // No rule has its port, its query or its fragment.
        if uri.optional().any() && !is_matched && !is_public {
            return self.needs_every_rule(needs);
        }
        let mut readings: HashMap<Optional, Vec<String>> = HashMap::new();
        let mut rules = Vec::new();
        for ((template, rule), is_matched) in self.own.iter().zip(matches) {
            let expected = template.optional();
            let readings = readings.entry(expected).or_insert_with(|| uri.careless_readings(expected));
            if is_matched || template.resembles(readings) {
                rules.push(*rule);
            }
        }
        self.stand(&rules, is_matched, is_public, needs)
    }

    /// Adds the rules for the resources of a template, of which no URI is known yet.
    pub(super) fn look_up_template(&self, text: &str, needs: &mut Needs) -> Standing {
        let Ok(template) = UriTemplate::parse(text) else { return self.needs_every_rule(needs) };
        let Some(uri) = self.canonical(template.expansion()) else { return self.needs_every_rule(needs) };
        let is_expected = |rule: &UriTemplate| uri.optional().is_within(rule.optional());
        let overlapping = || self.own.iter().filter(|(rule, _)| rule.may_overlap(&template));
        if uri.optional().any() && !overlapping().any(|(rule, _)| is_expected(rule)) {
            return self.needs_every_rule(needs);
        }
        let rules: Vec<_> = overlapping().map(|(_, rule)| *rule).collect();
        let is_matched = self.own.iter().any(|(rule, _)| rule.may_enclose(&template));
        self.stand(&rules, is_matched, self.public().any(|public| public == text), needs)
    }

    /// A URI or template that is public and needs scopes.
    pub(super) fn conflict(&self) -> Option<&str> {
        self.public().find(|uri| self.own.iter().any(|(template, _)| template.as_str() == *uri))
    }

    /// `None` if some server could read `uri` in another way than as it is written.
    fn canonical<'u>(&self, uri: &'u str) -> Option<CanonicalUri<'u>> {
        let uri = CanonicalUri::parse(uri).ok()?;
        let beginning = uri.scheme().and_then(|scheme| self.beginnings.get(scheme).or(self.others.as_ref()));
        let begins_as_rules_do = beginning.is_none_or(|beginning| {
            uri.has_slashes() == beginning.slashes && (beginning.empty_authority || !uri.has_empty_authority())
        });
        begins_as_rules_do.then_some(uri)
    }

    fn needs_every_rule(&self, needs: &mut Needs) -> Standing {
        let rules: Vec<_> = self.own.iter().map(|(_, rule)| *rule).collect();
        self.stand(&rules, false, false, needs)
    }

    /// `is_matched`: it is none of the resources without a rule.
    fn stand(&self, rules: &[RuleId], is_matched: bool, is_public: bool, needs: &mut Needs) -> Standing {
        rules.iter().for_each(|rule| needs.add(*rule));
        let any = self.any.filter(|_| !is_matched && !is_public);
        any.into_iter().for_each(|rule| needs.add(rule));
        let has_rule = !rules.is_empty() || any.is_some();
        Standing { has_rule, is_public, is_listed: is_public || is_matched || any.is_some() }
    }
}
