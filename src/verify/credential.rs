use std::fmt;
use std::sync::Arc;

/// The credentials of a request, and the kind of header that they were in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential<'r> {
    /// An access token, or an API key that was sent in its place.
    Token(&'r [u8]),
    /// An access token that was sent with the scheme `DPoP` (RFC 9449, section 7.1).
    DpopToken(&'r [u8]),
    /// The value of the header for API keys, which is never an access token.
    ApiKey(&'r [u8]),
}

/// A [`Credential`] that outlives its request.
#[derive(Clone)]
pub(crate) enum OwnedCredential {
    Token(Arc<[u8]>),
    ApiKey(Arc<[u8]>),
}

impl<'r> Credential<'r> {
    /// The token or the key, in ASCII.
    pub(crate) const fn as_bytes(self) -> &'r [u8] {
        let (Self::Token(bytes) | Self::DpopToken(bytes) | Self::ApiKey(bytes)) = self;
        bytes
    }

    pub(crate) fn to_owned(self) -> OwnedCredential {
        match self {
            Self::Token(token) | Self::DpopToken(token) => OwnedCredential::Token(token.into()),
            Self::ApiKey(key) => OwnedCredential::ApiKey(key.into()),
        }
    }
}

impl OwnedCredential {
    pub(crate) fn borrow(&self) -> Credential<'_> {
        match self {
            Self::Token(token) => Credential::Token(token),
            Self::ApiKey(key) => Credential::ApiKey(key),
        }
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::DpopToken(_) => "DpopToken(..)",
            Self::ApiKey(_) => "ApiKey(..)",
        })
    }
}

impl fmt::Debug for OwnedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}
