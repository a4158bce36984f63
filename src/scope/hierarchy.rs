use std::collections::{HashMap, HashSet};

use super::Scopes;
use crate::error::{BuildError, BuildErrorKind};

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
    pub(crate) fn new<'a>(rules: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Result<Self, BuildError> {
        let mut implies: HashMap<String, Vec<String>> = HashMap::new();
        for (broad, narrow) in rules {
            for scope in std::iter::once(broad).chain(narrow.iter().map(String::as_str)) {
                Scopes::new([scope]).map_err(|error| BuildError::new(BuildErrorKind::Scope, error.to_string()))?;
            }
            implies.entry(broad.to_owned()).or_default().extend(narrow.iter().cloned());
        }
        let mut implied_by: HashMap<Box<str>, Vec<Box<str>>> = HashMap::new();
        for broad in implies.keys() {
            for narrow in reachable(broad, &implies)? {
                implied_by.entry(narrow.into()).or_default().push(broad.as_str().into());
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

/// All scopes that `start` implies, directly or indirectly.
fn reachable<'a>(start: &str, implies: &'a HashMap<String, Vec<String>>) -> Result<HashSet<&'a str>, BuildError> {
    let mut found = HashSet::new();
    let mut waiting: Vec<&str> = implies.get(start).into_iter().flatten().map(String::as_str).collect();
    while let Some(scope) = waiting.pop() {
        if scope == start {
            return Err(BuildError::new(
                BuildErrorKind::Scope,
                format!("the scope {start:?} implies itself: remove one `scope_implies` rule of the circle"),
            ));
        }
        if found.insert(scope) {
            waiting.extend(implies.get(scope).into_iter().flatten().map(String::as_str));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(rules: &[(&str, &[&str])]) -> Result<ScopeHierarchy, BuildError> {
        let rules: Vec<(&str, Vec<String>)> =
            rules.iter().map(|(broad, narrow)| (*broad, narrow.iter().map(ToString::to_string).collect())).collect();
        ScopeHierarchy::new(rules.iter().map(|(broad, narrow)| (*broad, narrow.as_slice())))
    }

    #[test]
    fn implication_is_transitive_and_one_way() {
        let scopes = hierarchy(&[("admin", &["write"]), ("write", &["read"])]).unwrap();
        assert!(scopes.grants(&Scopes::granted("admin"), "read"));
        assert!(scopes.grants(&Scopes::granted("write"), "read"));
        assert!(!scopes.grants(&Scopes::granted("read"), "write"));
        assert!(!scopes.grants(&Scopes::granted("read"), "admin"));
    }

    #[test]
    fn a_circle_is_rejected() {
        for rules in [&[("a", &["a"][..])][..], &[("a", &["b"][..]), ("b", &["c"][..]), ("c", &["a"][..])][..]] {
            assert_eq!(hierarchy(rules).unwrap_err().kind(), BuildErrorKind::Scope);
        }
    }

    #[test]
    fn a_diamond_is_not_a_circle() {
        let scopes = hierarchy(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"])]).unwrap();
        assert!(scopes.grants(&Scopes::granted("a"), "d"));
    }

    #[test]
    fn a_rule_with_an_invalid_scope_is_rejected() {
        assert!(hierarchy(&[("a b", &["c"])]).is_err());
        assert!(hierarchy(&[("a", &["c\n"])]).is_err());
    }
}
