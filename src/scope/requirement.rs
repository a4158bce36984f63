use std::borrow::Cow;
use std::collections::HashMap;

use super::{InvalidScope, OFFLINE_ACCESS, ScopeHierarchy, Scopes};
use crate::error::{BuildError, BuildErrorKind};

/// The scopes that an operation needs: all scopes of one of several alternatives.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeRequirement {
    /// Without any, no scope is needed.
    alternatives: Vec<Scopes>,
}

impl ScopeRequirement {
    /// Requires all of `scopes`.
    ///
    /// # Errors
    /// [`InvalidScope`] for the first text that is not a scope.
    pub(crate) fn all<I>(scopes: I) -> Result<Self, InvalidScope>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(Self::from(Scopes::new(scopes)?))
    }

    /// Requires any one of `scopes`.
    ///
    /// # Errors
    /// [`InvalidScope`] for the first text that is not a scope.
    pub(crate) fn any<I>(scopes: I) -> Result<Self, InvalidScope>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let alternatives = scopes.into_iter().map(|scope| Scopes::new([scope])).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether `granted` contains or implies all scopes of an alternative.
    pub(crate) fn is_met(&self, granted: &Scopes, hierarchy: &ScopeHierarchy) -> bool {
        self.alternatives.is_empty() || self.alternatives.iter().any(|all| hierarchy.grants_all(granted, all))
    }

    /// The scopes that a challenge names: the first alternative that is not broader than another one. A client should not
    /// have to request `notes:write` where `notes:read` is enough.
    pub(crate) fn challenge(&self, hierarchy: &ScopeHierarchy) -> Scopes {
        let is_narrowest = |candidate: &&Scopes| {
            let mut others = self.alternatives.iter();
            !others.any(|other| hierarchy.grants_all(candidate, other) && !hierarchy.grants_all(other, candidate))
        };
        let narrowest = self.alternatives.iter().find(is_narrowest).or(self.alternatives.first());
        narrowest.cloned().unwrap_or_default()
    }

    /// Requires both this and `other`: each pair of their alternatives is an alternative.
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

    /// The scopes of all alternatives.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().flat_map(Scopes::iter)
    }
}

impl From<Scopes> for ScopeRequirement {
    fn from(scopes: Scopes) -> Self {
        Self { alternatives: if scopes.is_empty() { Vec::new() } else { vec![scopes] } }
    }
}

/// The names under which a client requests scopes, where they differ from the names in a token: Entra grants `read` if a
/// client requests `api://notes/read`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestedScopes {
    names: HashMap<Box<str>, Box<str>>,
}

impl RequestedScopes {
    /// Takes pairs of the scope in a token and the scope that a client requests for it.
    pub(crate) fn new(pairs: &[(String, String)]) -> Result<Self, BuildError> {
        let wrong = |message: String| BuildError::new(BuildErrorKind::Scope, message);
        let mut names = HashMap::new();
        for (granted, requested) in pairs {
            Scopes::new([granted, requested]).map_err(|error| wrong(error.to_string()))?;
            if requested == OFFLINE_ACCESS {
                let message = "`challenge_scope` requests `offline_access`, which no challenge names";
                return Err(wrong(format!("{message}: remove the call")));
            }
            if names.insert(granted.as_str().into(), requested.as_str().into()).is_some() {
                return Err(wrong(format!("`challenge_scope` is called twice for {granted:?}: keep one call")));
            }
        }
        Ok(Self { names })
    }

    /// Translates scopes of a token to the scopes that a client requests.
    pub(crate) fn translate<'s>(&self, scopes: &'s Scopes) -> Cow<'s, Scopes> {
        if self.names.is_empty() {
            return Cow::Borrowed(scopes);
        }
        let requested = |scope| self.names.get(scope).map_or(scope, AsRef::as_ref);
        Cow::Owned(Scopes::distinct(scopes.iter().map(requested)))
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

    #[test]
    fn scopes_are_requested_under_the_name_of_the_authorization_server() {
        let pair = |granted: &str, requested: &str| (granted.to_owned(), requested.to_owned());
        let requested = RequestedScopes::new(&[pair("read", "api://x/read"), pair("write", "api://x/write")]).unwrap();
        for (scopes, expected) in [
            ("", ""),
            ("read", "api://x/read"),
            ("write other read", "api://x/write other api://x/read"),
            ("read api://x/read", "api://x/read"),
        ] {
            assert_eq!(requested.translate(&Scopes::granted(scopes)).as_str(), expected);
        }
        for bad in [
            vec![pair("read", "a b")],
            vec![pair("", "a")],
            vec![pair("read", "a"), pair("read", "b")],
            vec![pair("read", "offline_access")],
        ] {
            assert!(RequestedScopes::new(&bad).is_err(), "{bad:?}");
        }
    }
}
