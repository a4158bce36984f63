use crate::error::BoxError;

/// Why [`ResourceServer::revoke`](crate::ResourceServer::revoke) failed.
///
/// `Display` says what is wrong and what to do. [`source`](std::error::Error::source) is the error of the shared store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RevokeError {
    kind: RevokeErrorKind,
    message: Box<str>,
    source: Option<BoxError>,
}

/// The kind of a [`RevokeError`]. Except for [`NotShared`](Self::NotShared), nothing is revoked.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevokeErrorKind {
    /// No token can match the revocation: its token or its claim is empty, or no configured issuer has its issuer.
    NoMatch,
    /// `until` is in the past, or more than ten years ahead.
    Until,
    /// The list has 1,000,000 entries that are still needed.
    Full,
    /// The build does not have a cryptography backend.
    Unsupported,
    /// The store that replicas share did not confirm the entry. **This server rejects the tokens all the same.** Other replicas
    /// may accept them: call `revoke` again.
    NotShared,
}

impl RevokeError {
    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> RevokeErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: RevokeErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with_source(self, source: BoxError) -> Self {
        Self { source: Some(source), ..self }
    }
}
