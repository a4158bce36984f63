use std::borrow::Cow;
use std::collections::HashMap;

use super::{OFFLINE_ACCESS, Scopes};
use crate::error::{BuildError, BuildErrorKind};

/// What a client asks the authorization server for where its tokens then call the scope by another name: Entra grants
/// `read` when asked for `api://notes/read`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestedScopes {
    names: HashMap<Box<str>, Box<str>>,
}

impl RequestedScopes {
    /// From pairs of the scope that a token carries and the one that is asked for.
    pub(crate) fn new(pairs: &[(String, String)]) -> Result<Self, BuildError> {
        let wrong = |message: String| BuildError::new(BuildErrorKind::Scope, message);
        let mut names = HashMap::new();
        for (granted, requested) in pairs {
            Scopes::new([granted, requested]).map_err(|error| wrong(error.to_string()))?;
            if requested == OFFLINE_ACCESS {
                let message = "`challenge_scope` asks for `offline_access`, which no challenge names (MCP 2026-07-28)";
                return Err(wrong(format!("{message}: remove the call")));
            }
            if names.insert(granted.as_str().into(), requested.as_str().into()).is_some() {
                return Err(wrong(format!("`challenge_scope` is called twice for {granted:?}: keep one call")));
            }
        }
        Ok(Self { names })
    }

    /// These scopes as they are asked for.
    pub(crate) fn of<'s>(&self, scopes: &'s Scopes) -> Cow<'s, Scopes> {
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
    fn scopes_are_asked_for_by_the_name_that_the_server_knows() {
        let pair = |granted: &str, requested: &str| (granted.to_owned(), requested.to_owned());
        let requested = RequestedScopes::new(&[pair("read", "api://x/read"), pair("write", "api://x/write")]).unwrap();
        for (scopes, expected) in [
            ("", ""),
            ("read", "api://x/read"),
            ("write other read", "api://x/write other api://x/read"),
            ("read api://x/read", "api://x/read"),
        ] {
            assert_eq!(requested.of(&Scopes::granted(scopes)).as_str(), expected);
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
