use super::{InvalidScope, ScopeHierarchy, Scopes};

/// What an operation needs: any one of some lists, each of which must be held whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeRequirement {
    // Empty: nothing is needed.
    alternatives: Vec<Scopes>,
}

impl ScopeRequirement {
    /// All of `scopes`.
    ///
    /// # Errors
    /// [`InvalidScope`] if one of them is no scope.
    pub(crate) fn all<I>(scopes: I) -> Result<Self, InvalidScope>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(Self::from(Scopes::new(scopes)?))
    }

    /// Any one of `scopes`; the first is the one that a challenge names.
    ///
    /// # Errors
    /// [`InvalidScope`] if one of them is no scope.
    pub(crate) fn any<I>(scopes: I) -> Result<Self, InvalidScope>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let alternatives = scopes.into_iter().map(|scope| Scopes::new([scope])).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether `granted` is enough.
    pub(crate) fn is_met(&self, granted: &Scopes, hierarchy: &ScopeHierarchy) -> bool {
        self.alternatives.is_empty() || self.alternatives.iter().any(|all| hierarchy.grants_all(granted, all))
    }

    /// The scopes that a challenge names: the whole first alternative, but for one that is broader than another. Nobody
    /// should have to ask for `notes:write` where `notes:read` is enough.
    pub(crate) fn challenge(&self, hierarchy: &ScopeHierarchy) -> Scopes {
        let is_narrowest = |candidate: &&Scopes| {
            let mut others = self.alternatives.iter();
            !others.any(|other| hierarchy.grants_all(candidate, other) && !hierarchy.grants_all(other, candidate))
        };
        let narrowest = self.alternatives.iter().find(is_narrowest).or(self.alternatives.first());
        narrowest.cloned().unwrap_or_default()
    }

    /// Both this and `other`: every pairing of their alternatives.
    pub(crate) fn and(&self, other: &Self) -> Self {
        if self.alternatives.is_empty() {
            return other.clone();
        }
        if other.alternatives.is_empty() {
            return self.clone();
        }
        let pairs =
            self.alternatives.iter().flat_map(|mine| other.alternatives.iter().map(|theirs| mine.union(theirs)));
        Self { alternatives: pairs.collect() }
    }

    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().flat_map(Scopes::iter)
    }
}

impl From<Scopes> for ScopeRequirement {
    fn from(scopes: Scopes) -> Self {
        Self { alternatives: if scopes.is_empty() { Vec::new() } else { vec![scopes] } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_and_all_of_combine() {
        let none = ScopeHierarchy::default();
        let all = ScopeRequirement::all(["a", "b"]).unwrap();
        let any = ScopeRequirement::any(["c", "d"]).unwrap();
        let both = all.and(&any);
        for (granted, enough) in [("a b c", true), ("a b d", true), ("a b", false), ("a c d", false), ("", false)] {
            assert_eq!(both.is_met(&Scopes::granted(granted), &none), enough, "{granted}");
        }
        assert_eq!(both.challenge(&none).as_str(), "a b c");
        assert!(ScopeRequirement::default().is_met(&Scopes::default(), &none));
    }

    #[test]
    fn a_challenge_names_the_narrowest_sufficient_scope() {
        let rules = [("admin", vec!["write".to_owned()]), ("write", vec!["read".to_owned()])];
        let hierarchy = ScopeHierarchy::new(rules.iter().map(|(broad, narrow)| (*broad, narrow.as_slice()))).unwrap();
        for (alternatives, expected) in [
            (&["admin", "write", "read"][..], "read"),
            (&["write", "read"], "read"),
            (&["read", "write"], "read"),
            (&["admin", "other"], "admin"),
            (&["other", "admin", "read"], "other"),
        ] {
            assert_eq!(ScopeRequirement::any(alternatives).unwrap().challenge(&hierarchy).as_str(), expected);
        }
    }
}
