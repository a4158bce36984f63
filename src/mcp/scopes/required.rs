/// The index of a rule in [`Rules`](super::Rules).
pub(super) type RuleId = usize;

/// The rules that the messages of one body need together.
#[derive(Debug, Default)]
pub(in crate::mcp) struct RequiredRules {
    /// In the order in which a challenge names their scopes.
    pub(super) rules: Vec<RuleId>,
    /// Whether each rule is in `rules`.
    contains: Vec<bool>,
    /// Some message is not public.
    pub(in crate::mcp) token: bool,
    /// Some message is not allowed to anybody, because no rule lists its target.
    pub(in crate::mcp) unlisted: bool,
}

/// The result of a look-up of one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct TargetRules {
    pub(super) has_rule: bool,
    pub(super) is_public: bool,
    pub(super) is_listed: bool,
}

impl RequiredRules {
    pub(super) fn add(&mut self, rule: RuleId) {
        if self.contains.len() <= rule {
            self.contains.resize(rule.saturating_add(1), false);
        }
        if let Some(contains @ false) = self.contains.get_mut(rule) {
            *contains = true;
            self.rules.push(rule);
        }
    }
}

impl TargetRules {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            has_rule: self.has_rule || other.has_rule,
            is_public: self.is_public && other.is_public,
            is_listed: self.is_listed && other.is_listed,
        }
    }
}
