use std::collections::HashSet;
use std::fmt;

use smallvec::SmallVec;

/// A set of scopes, in the order in which they were given (RFC 6749, section 3.3).
///
/// Every scope is a valid `scope-token`: one or more of `%x21 / %x23-5B / %x5D-7E`. Scopes are compared byte by byte:
/// `read` is neither `Read` nor `read:all`.
///
/// ```
/// use mcp_bearer::Scopes;
///
/// let scopes = Scopes::new(["notes:read", "notes:write"])?;
/// assert!(scopes.contains("notes:read"));
/// assert_eq!(scopes.as_str(), "notes:read notes:write");
/// assert!(Scopes::new(["two words"]).is_err());
/// # Ok::<(), mcp_bearer::InvalidScope>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    /// Valid, distinct tokens with one space between them.
    text: String,
}

/// The error for a text that is not a scope.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{text:?} is not a scope: use one or more printable ASCII characters without space, '\"' and '\\' (RFC 6749, section 3.3)"
)]
pub struct InvalidScope {
    text: Box<str>,
}

impl Scopes {
    /// The empty set.
    pub(crate) const EMPTY: Self = Self { text: String::new() };

    /// Makes a set of `scopes`, without duplicates.
    ///
    /// # Errors
    /// [`InvalidScope`] if one of them is empty or has a character that RFC 6749, section 3.3 does not allow.
    pub fn new<I>(scopes: I) -> Result<Self, InvalidScope>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let scopes: Vec<I::Item> = scopes.into_iter().collect();
        match scopes.iter().find(|scope| !is_scope_token(scope.as_ref())) {
            Some(bad) => Err(InvalidScope { text: bad.as_ref().into() }),
            None => Ok(Self::distinct(scopes.iter().map(AsRef::as_ref))),
        }
    }

    /// Reads the scopes of a token from one string. Only U+0020 separates them. A part that is not a valid scope is
    /// ignored.
    pub(crate) fn granted(text: &str) -> Self {
        Self::distinct(text.split(' ').filter(|part| is_scope_token(part)))
    }

    /// Reads the scopes of a token from an array. An element with a space is not a valid scope, and is never split.
    pub(crate) fn granted_list<'a>(members: impl IntoIterator<Item = &'a str>) -> Self {
        Self::distinct(members.into_iter().filter(|member| is_scope_token(member)))
    }

    /// Whether the set contains `scope` itself. Scopes that imply it do not count.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        let mut members = self.as_str().as_bytes().split(|byte| *byte == b' ');
        !scope.is_empty() && members.any(|member| member == scope.as_bytes())
    }

    /// The scopes, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> + '_ {
        self.as_str().split(' ').filter(|scope| !scope.is_empty())
    }

    /// The scopes, separated by single spaces, as in a `scope` parameter.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// These scopes, followed by those of `others` that this set does not contain.
    pub(crate) fn union(&self, others: &Self) -> Self {
        Self::distinct(self.iter().chain(others.iter()))
    }

    pub(crate) fn without(&self, unwanted: &str) -> Self {
        Self::distinct(self.iter().filter(|scope| *scope != unwanted))
    }

    pub(super) fn distinct<'a>(scopes: impl Iterator<Item = &'a str>) -> Self {
        let mut text = String::new();
        let mut few: SmallVec<[&str; FEW]> = SmallVec::new();
        let mut many: HashSet<&str> = HashSet::new();
        for scope in scopes {
            // Comparing a few scopes is faster than hashing them. Comparing thousands would be slow.
            if few.contains(&scope) || (few.len() == FEW && !many.insert(scope)) {
                continue;
            }
            if few.len() < FEW {
                few.push(scope);
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(scope);
        }
        Self { text }
    }
}

impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().collect::<HashSet<_>>() == other.iter().collect::<HashSet<_>>()
    }
}

impl Eq for Scopes {}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// The number of scopes that are compared one by one. More are hashed, since the comparison takes quadratic time.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_space_separates_granted_scopes() {
        for (text, expected) in [
            ("", ""),
            (" ", ""),
            ("  read   write ", "read write"),
            ("a,b", "a,b"),
            ("a\tb c", "c"),
            ("read\u{a0}write", ""),
            ("read\u{200b} x", "x"),
            ("read read write read", "read write"),
            ("a\"b c\\d e", "e"),
        ] {
            assert_eq!(Scopes::granted(text).as_str(), expected, "{text:?}");
        }
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(Scopes::granted(&[many.join(" "), many.join(" ")].join(" ")).as_str(), many.join(" "));
    }

    #[test]
    fn an_element_with_a_space_is_never_split() {
        assert_eq!(Scopes::granted_list(["a b", "c"]).as_str(), "c");
    }

    #[test]
    fn similar_scopes_do_not_match() {
        let granted = Scopes::granted("Read read:all reader *");
        assert!(!granted.contains("read"));
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        assert_eq!(Scopes::granted("a b a"), Scopes::granted("b a"));
        assert_ne!(Scopes::granted("a b"), Scopes::granted("a"));
    }

    #[test]
    fn invalid_scopes_are_rejected() {
        for bad in ["", " ", "a b", "a\"", "a\\", "a\r\n", "\u{e9}", "a\u{0}"] {
            assert!(Scopes::new([bad]).is_err(), "{bad:?}");
        }
    }
}
