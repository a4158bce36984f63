use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{InvalidScope, OFFLINE_ACCESS, Scopes};
use crate::error::{BuildError, BuildErrorKind};

/// The scopes that an operation needs: all scopes of one of several alternatives.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeRequirement {
    /// Without any, no scope is needed.
    alternatives: Vec<Scopes>,
}

impl ScopeRequirement {
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

/// Requires all of `scopes`.
impl From<Scopes> for ScopeRequirement {
    fn from(scopes: Scopes) -> Self {
        Self { alternatives: if scopes.is_empty() { Vec::new() } else { vec![scopes] } }
    }
}

/// The scope hierarchy: `notes:write` may imply `notes:read` (MCP 2026-07-28).
#[derive(Debug, Clone, Default)]
pub(crate) struct ScopeHierarchy {
    /// For each scope, all scopes that imply it, directly or indirectly.
    implied_by: HashMap<Box<str>, Vec<Box<str>>>,
}

impl ScopeHierarchy {
    /// Makes a hierarchy from `rules`: a scope, and the scopes that it directly implies. Implication is transitive.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`] if a text in a rule is not a scope, or if a scope implies itself, directly or indirectly.
    pub(crate) fn new(rules: &[(String, Vec<String>)]) -> Result<Self, BuildError> {
        let mut implies: HashMap<&str, Vec<&str>> = HashMap::new();
        for (broad, narrow) in rules {
            Scopes::new(std::iter::once(broad).chain(narrow)).map_err(|invalid| wrong(invalid.to_string()))?;
            implies.entry(broad).or_default().extend(narrow.iter().map(String::as_str));
        }
        let mut implied_by: HashMap<Box<str>, Vec<Box<str>>> = HashMap::new();
        for broad in implies.keys() {
            let (mut found, mut waiting) = (HashSet::new(), vec![*broad]);
            while let Some(scope) = waiting.pop() {
                let narrow = implies.get(scope).into_iter().flatten();
                waiting.extend(narrow.filter(|narrow| found.insert(**narrow)));
            }
            if found.contains(broad) {
                let message = "implies itself: remove one `scope_implies` rule of the circle";
                return Err(wrong(format!("the scope {broad:?} {message}")));
            }
            for narrow in found {
                implied_by.entry(narrow.into()).or_default().push((*broad).into());
            }
        }
        Ok(Self { implied_by })
    }

    /// Whether `granted` contains `scope`, or a scope that implies it.
    pub(crate) fn grants(&self, granted: &Scopes, scope: &str) -> bool {
        granted.contains(scope)
            || self.implied_by.get(scope).is_some_and(|broader| broader.iter().any(|broad| granted.contains(broad)))
    }

    /// Whether `granted` contains or implies every scope of `required`.
    pub(crate) fn grants_all(&self, granted: &Scopes, required: &Scopes) -> bool {
        required.iter().all(|scope| self.grants(granted, scope))
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

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Scope, message)
}

#[cfg(test)]
mod tests;
