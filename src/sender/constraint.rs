/// Which access tokens must be sender-constrained, and how.
///
/// A *sender-constrained* token is bound to a key of the client (`cnf`; RFC 7800): to the key of a DPoP proof (RFC 9449), or to
/// a client certificate (RFC 8705). Without its key, a stolen token is useless.
///
/// A token that is bound to a key is never accepted without a proof of that key, whatever the setting. API keys and the
/// development identity are not access tokens, so the setting does not affect them.
///
/// ```
/// use mcp_bearer::ResourceServer;
/// use mcp_bearer::sender::SenderConstraint;
///
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp").sender_constraint(SenderConstraint::Dpop);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SenderConstraint {
    /// Bearer tokens are accepted, and tokens that are bound to the key of a DPoP proof or to a client certificate.
    Optional,
    /// Each access token must be bound to the key of a DPoP proof or to a client certificate.
    Required,
    /// Each access token must be bound to the key of a DPoP proof.
    Dpop,
    /// Each access token must be bound to a client certificate.
    Mtls,
}

impl SenderConstraint {
    /// The name in logs and in settings.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
        }
    }

    /// Whether DPoP proofs are accepted.
    pub(crate) const fn accepts_dpop(self) -> bool {
        matches!(self, Self::Optional | Self::Required | Self::Dpop)
    }
}
