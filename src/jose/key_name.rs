/// The name of a key in the header of a token: `kid`, `x5t#S256` and `x5t` (RFC 7515, sections 4.1.4, 4.1.7 and 4.1.8).
/// The thumbprints count only where there is no `kid`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyName<'n> {
    pub(crate) kid: Option<&'n str>,
    pub(crate) x5t_s256: Option<&'n str>,
    pub(crate) x5t: Option<&'n str>,
}

/// A key's name that does not borrow: of a token that waits for its key, or of a published key
/// (RFC 7517, sections 4.5, 4.8 and 4.9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OwnedKeyName {
    pub(crate) kid: Option<Box<str>>,
    pub(crate) x5t_s256: Option<Box<str>>,
    pub(crate) x5t: Option<Box<str>>,
}

impl KeyName<'_> {
    /// Whether a token does not name its key.
    pub(crate) const fn is_empty(&self) -> bool {
        self.kid.is_none() && self.x5t_s256.is_none() && self.x5t.is_none()
    }

    pub(crate) fn to_owned(self) -> OwnedKeyName {
        let own = |text: Option<&str>| text.map(Box::from);
        OwnedKeyName { kid: own(self.kid), x5t_s256: own(self.x5t_s256), x5t: own(self.x5t) }
    }

    /// Whether a published key has this name: the same `kid`, byte by byte; else one thumbprint that is the same, and
    /// none that is not. A token that does not name its key fits every key.
    pub(super) fn names(&self, published: &OwnedKeyName) -> bool {
        if let Some(kid) = self.kid {
            return published.kid.as_deref() == Some(kid);
        }
        let same = |ours: Option<&str>, theirs: Option<&str>| Some(ours? == theirs?);
        let thumbprints =
            [same(self.x5t_s256, published.x5t_s256.as_deref()), same(self.x5t, published.x5t.as_deref())];
        self.is_empty() || (thumbprints.contains(&Some(true)) && !thumbprints.contains(&Some(false)))
    }
}

impl OwnedKeyName {
    pub(crate) fn as_ref(&self) -> KeyName<'_> {
        KeyName { kid: self.kid.as_deref(), x5t_s256: self.x5t_s256.as_deref(), x5t: self.x5t.as_deref() }
    }
}
