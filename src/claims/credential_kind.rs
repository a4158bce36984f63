use serde::Serialize;

/// The kind of credential that a caller has presented: see [`AuthInfo::kind`](crate::AuthInfo::kind).
///
/// A subject is unique only among the credentials of one kind and one issuer. So compare subjects together with both, as the
/// session binding of the [MCP layer](crate::mcp) does.
///
/// Serialised, it is the name of the variant in snake case, for example `"access_token"`.
///
/// ```
/// use mcp_bearer::{AuthInfo, CredentialKind};
///
/// /// Keys of machines must not change the settings of an account.
/// fn may_change_settings(auth: &AuthInfo) -> bool {
///     auth.kind() == CredentialKind::AccessToken
/// }
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// An OAuth access token: a JWT, an introspected token, or the [`Claims`](super::Claims) of a
    /// [`TokenVerifier`](crate::verify::TokenVerifier). Its issuer and its audience were checked.
    AccessToken,
    /// An API key of this resource server. It does not have an issuer or an audience.
    ApiKey,
    /// Any other credential that a [`TokenVerifier`](crate::verify::TokenVerifier) of the application accepts for this
    /// resource. The verifier vouches for its audience.
    Custom,
    /// The identity of a development server, which accepts requests without a credential.
    Development,
}
