//! Authorization servers that need more than their URL, by the words of their own consoles.
//!
//! Each function returns an ordinary [`Issuer`], to be changed like any other; none loosens a check. A server that is
//! not here needs nothing but [`Issuer::discover`]. What all have in common: the access token must name this resource as
//! its audience, and most servers do that only if they are told to.
//!
//! Clients that register themselves (RFC 7591) register with the scopes of the first challenge. A server that holds them
//! to those refuses a later request for more: require, or name in `scopes_supported`, what one session will need.

use crate::issuer::Issuer;

/// A Keycloak realm: `keycloak("https://auth.example.com", "demo")`.
///
/// 1. *Client scopes*: create `mcp:tools`, type *Optional*, *Include in token scope* on.
/// 2. In it, *Mappers*, *Configure a new mapper*, *Audience*: *Included Custom Audience* is the resource identifier,
///    *Add to access token* on. Without it `aud` is `account`, and every token is refused.
/// 3. Self-registration: *Clients*, *Client registration*, add `mcp:tools` to *Allowed Client Scopes*.
/// 4. Lightweight or revocable tokens: a confidential client with a secret, for
///    `.introspection(ClientCredentials::basic(id, secret))`; and a second audience mapper with *Included Client Audience*,
///    since a caller that is not in `aud` is told that the token is inactive (26.6.2). In both mappers *Add to token
///    introspection* on, and *Add to lightweight access token* too, for the sake of that rule.
///
/// Roles are scopes only if asked for: `.scope_claim("/realm_access/roles")`. `examples/keycloak` holds a realm with all of
/// this.
#[must_use]
pub fn keycloak(base: &str, realm: &str) -> Issuer {
    Issuer::discover(format!("{}/realms/{realm}", base.trim_end_matches('/')))
}

/// An Auth0 tenant: `auth0("tenant.eu.auth0.com")`. The issuer has a slash at its end.
///
/// 1. *Applications*, *APIs*, *Create API*: the identifier is the resource identifier, byte for byte.
/// 2. In it, *Permissions*: the scopes.
/// 3. *Settings*, *Advanced*: *Resource Parameter Compatibility Profile* on, so that the `resource` of MCP clients counts.
///    For clients that send none, *Settings*, *General*, *API Authorization Settings*: *Default Audience* is the same
///    identifier. Without an audience Auth0 issues tokens that nobody else can check, since it has no introspection.
/// 4. Self-registration: *Settings*, *Advanced*, *Dynamic Client Registration*.
///
/// With *Add Permissions in the Access Token* those are scopes only if asked for: `.scope_claim("/permissions")`.
#[must_use]
pub fn auth0(domain: &str) -> Issuer {
    Issuer::oidc(format!("https://{}/", domain.trim_end_matches('/')))
}

/// A Logto tenant: `logto("https://tenant.logto.app")`. It signs with ES384.
///
/// 1. *API resources*, *Create*: the identifier is the resource identifier, byte for byte.
/// 2. In it, *Permissions*: the scopes; then give them to users by a role.
///
/// Clients must send `resource` (RFC 8707), as MCP clients do: without it the token is opaque and names no audience.
/// Organization tokens name `urn:logto:organization:...`, to be accepted by [`accept_audience`](Issuer::accept_audience).
#[must_use]
pub fn logto(endpoint: &str) -> Issuer {
    Issuer::oidc(format!("{}/oidc", endpoint.trim_end_matches('/')))
}

/// A Microsoft Entra ID tenant, v2 tokens: `entra("72f988bf-...")`, by its identifier, not its name.
///
/// 1. *App registrations*, *New registration* for this resource; its *Application (client) ID* is the audience of every
///    token, of ID tokens too: `.accept_client_id_as_audience("<that GUID>")`.
/// 2. *Manifest*: `requestedAccessTokenVersion` is `2`. For v1 tokens, `.also_issued_as("https://sts.windows.net/<tenant>/")`
///    and the *Application ID URI* as one more accepted audience.
/// 3. *Expose an API*: the *Application ID URI* is the resource identifier, since MCP clients send that as `resource`, and
///    Entra refuses a `resource` that the requested scopes do not belong to. Below it, the scopes. Tokens carry `mcp.tools`,
///    clients must ask for `<Application ID URI>/mcp.tools`: say so with
///    [`challenge_scope`](crate::ResourceServerBuilder::challenge_scope).
/// 4. Clients cannot register themselves: register one, with its redirect URIs, and give its identifier to your users.
///
/// Application permissions are in `roles`, and scopes only if asked for: `.scope_claim("/roles")`.
#[must_use]
pub fn entra(tenant: &str) -> Issuer {
    Issuer::oidc(format!("https://login.microsoftonline.com/{tenant}/v2.0"))
}

/// An Okta custom authorization server: `okta("org.okta.com", "default")`.
///
/// 1. *Security*, *API*, *Authorization Servers*: the *Audience* is the resource identifier, byte for byte.
/// 2. In it, *Scopes*; and *Access Policies* that let clients ask for them.
///
/// The organization's own authorization server cannot be used: its tokens are for Okta, and its keys change unseen.
#[must_use]
pub fn okta(domain: &str, authorization_server: &str) -> Issuer {
    Issuer::discover(format!("https://{domain}/oauth2/{authorization_server}"))
}

/// An Amazon Cognito user pool: `cognito("eu-central-1", "eu-central-1_Ab12Cd34E")`.
///
/// 1. *Branding*, *Domain*, *Resource servers*: the identifier is the resource identifier; below it the custom scopes.
///    Tokens and clients call them `<identifier>/<scope>`.
/// 2. Clients send `resource` (RFC 8707), and the token then names it in `aud`. Where they do not, the token has no
///    audience and is refused, unless
///    [`dangerously_accept_clients_without_audience`](Issuer::dangerously_accept_clients_without_audience) lists them.
#[must_use]
pub fn cognito(region: &str, user_pool: &str) -> Issuer {
    Issuer::oidc(format!("https://cognito-idp.{region}.amazonaws.com/{user_pool}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_written_as_tokens_have_them() {
        for (issuer, expected) in [
            (keycloak("https://kc.example.com", "demo"), "https://kc.example.com/realms/demo"),
            (keycloak("https://kc.example.com/", "demo"), "https://kc.example.com/realms/demo"),
            (auth0("tenant.auth0.com"), "https://tenant.auth0.com/"),
            (logto("https://t.logto.app"), "https://t.logto.app/oidc"),
            (entra("72f988bf"), "https://login.microsoftonline.com/72f988bf/v2.0"),
            (okta("org.okta.com", "default"), "https://org.okta.com/oauth2/default"),
            (cognito("us-east-1", "us-east-1_x"), "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_x"),
        ] {
            assert_eq!(issuer.url(), expected);
        }
    }
}
