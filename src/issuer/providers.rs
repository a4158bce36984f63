//! Constructors for common authorization servers, with the steps to configure each of them.
//!
//! Each function returns an ordinary [`Issuer`] that can be changed further. None of them removes a check. For any other
//! authorization server, use [`Issuer::discover`].
//!
//! The audience of the access token must be this resource. Most authorization servers must be configured for that. The guide has a
//! [chapter for each](crate::guide::servers).
//!
//! MCP clients that register themselves (RFC 7591) register with the scopes of the first challenge. Some authorization servers
//! reject a later request for other scopes. Require the scopes that a session will need, or list them in
//! `scopes_supported`.
//!
//! ```
//! use mcp_bearer::issuer::providers;
//!
//! let issuer = providers::keycloak("https://auth.example.com", "demo").scope_claim("/realm_access/roles");
//! assert_eq!(issuer.url(), "https://auth.example.com/realms/demo");
//! ```

use crate::introspection::ClientCredentials;
use crate::issuer::Issuer;
use crate::jose::Algorithm;

/// A Keycloak realm: `keycloak("https://auth.example.com", "demo")`.
///
/// 1. *Clients*, *Create client*: *Client ID* is the resource identifier, *Client authentication* on, each
///    *Authentication flow* off.
/// 2. *Client scopes*: create `mcp:tools`, type *Optional*, *Include in token scope* on.
/// 3. In it, *Mappers*, *Configure a new mapper*, *Audience*: *Included Client Audience* is the client of step 1.
///    *Add to access token*, *Add to lightweight access token* and *Add to token introspection* on. Without the
///    mapper, `aud` is `account`, and every token is rejected.
/// 4. Self-registration: *Clients*, *Client registration*, *Trusted Hosts* lists the hosts of the clients. They can
///    request only the scopes with which they registered: see
///    [`initial_scopes`](crate::ResourceServerBuilder::initial_scopes).
/// 5. To accept lightweight tokens, or to reject revoked ones:
///    `.introspect_all(ClientCredentials::basic(id, secret))` with the client of step 1. Keycloak (26.6.2) reports a
///    token as inactive to a client that is not in its `aud`.
/// 6. Only for the experimental feature `resource-indicators`: the client of step 1 needs the attribute
///    `resource_url`, with the resource identifier. `examples/keycloak` has the command.
///
/// To use roles as scopes, call `.scope_claim("/realm_access/roles")`. `examples/keycloak` has a realm with all of this, which is tested with
/// Keycloak 26.7.3, and the [guide](crate::guide::servers::keycloak) what goes wrong first.
#[must_use]
pub fn keycloak(base: &str, realm: &str) -> Issuer {
    let base = base.trim_end_matches('/');
    let (root, named) = base.split_once("/realms/").unwrap_or((base, realm));
    let name = [realm, named, "demo"].into_iter().find(|name| !name.is_empty() && !name.contains('/'));
    let (root, name) = (with_https(root), name.unwrap_or_default());
    let issuer = Issuer::discover(format!("{root}/realms/{}", segment(name)));
    let needs = "the URL of the server and the name of a realm";
    checked(issuer, "keycloak", [base, realm], [&root, name], needs)
}

/// An Auth0 tenant: `auth0("tenant.eu.auth0.com")`. The issuer has a slash at its end.
///
/// 1. *Applications*, *APIs*, *Create API*: the identifier is the resource identifier, byte for byte.
/// 2. In it, *Permissions*: the scopes.
/// 3. *Settings*, *Advanced*: *Resource Parameter Compatibility Profile* on, so that Auth0 uses the `resource` of MCP
///    clients. For clients that send none, *Settings*, *General*, *API Authorization Settings*: *Default Audience* is the
///    same identifier. Without an audience, Auth0 issues opaque tokens, which cannot be verified because it has no
///    introspection.
/// 4. Self-registration: *Settings*, *Advanced*, *Dynamic Client Registration*.
///
/// To use the permissions of *Add Permissions in the Access Token* as scopes, call `.scope_claim("/permissions")`. The
/// [guide](crate::guide::servers::auth0) has what goes wrong first.
#[must_use]
pub fn auth0(domain: &str) -> Issuer {
    let host = host_of(domain);
    let issuer = Issuer::oidc(format!("https://{host}/"));
    checked(issuer, "auth0", [domain.trim_end_matches('/')], [host], "the domain of the tenant alone")
}

/// A Logto tenant: `logto("https://tenant.logto.app")`. It signs with ES384, and with RS256 after a rotation to RSA.
///
/// 1. *API resources*, *Create*: the identifier is the resource identifier, byte for byte.
/// 2. In it, *Permissions*: the scopes. Give them to a role of the users, and to each third-party application. Logto drops a scope
///    in silence if it is not granted.
/// 3. *Applications*: a *Native* application, whose client id your users configure in their MCP clients. Logto 1.42 does not have
///    dynamic client registration. Later versions can accept Client ID Metadata Documents.
///
/// Clients must send `resource` (RFC 8707) at each request, also at a refresh, as MCP clients do. Without it, the token is opaque and
/// does not have an audience. The audience of organization tokens is `urn:logto:organization:...`: call
/// [`accept_audience`](Issuer::accept_audience). A token for the resource can have `organization_id`, which this crate does not check.
///
/// Logto does not introspect JWTs, so a JWT is accepted until it expires. Call [`introspect_opaque`](Issuer::introspect_opaque) and not
/// `introspect_all`. The [guide](crate::guide::servers::logto) has the details, and how to insist on an organization.
#[must_use]
pub fn logto(endpoint: &str) -> Issuer {
    let trimmed = endpoint.trim_end_matches('/');
    let root = with_https(trimmed.strip_suffix("/oidc").unwrap_or(trimmed));
    let issuer = Issuer::oidc(format!("{root}/oidc"));
    checked(issuer, "logto", [trimmed], [&root], "the URL of the tenant, without a path")
}

/// A Microsoft Entra ID tenant, v2 tokens: `entra("00000000-0000-0000-0000-000000000000")`, by its identifier, not its name.
///
/// 1. *App registrations*, *New registration* for this resource; its *Application (client) ID* is the audience of every
///    token, of ID tokens too: `.accept_client_id_as_audience("<that GUID>")`.
/// 2. *Manifest*: `requestedAccessTokenVersion` is `2`. For v1 tokens, `.also_issued_as("https://sts.windows.net/<tenant>/")`
///    and the *Application ID URI* as one more accepted audience.
/// 3. *Expose an API*: the *Application ID URI* is the resource identifier, since MCP clients send that as `resource`, and
///    Entra rejects a `resource` that the requested scopes do not belong to. Below it, the scopes. Tokens have the scope
///    `mcp.tools`, but clients must request `<Application ID URI>/mcp.tools`: configure that with
///    [`challenge_scope`](crate::ResourceServerBuilder::challenge_scope).
/// 4. Clients cannot register themselves: register one, with its redirect URIs, and give its identifier to your users.
///
/// To use application permissions as scopes, call `.scope_claim("/roles")`. The [guide](crate::guide::servers::entra) has what goes
/// wrong first.
#[must_use]
pub fn entra(tenant: &str) -> Issuer {
    let issuer = Issuer::oidc(format!("https://login.microsoftonline.com/{tenant}/v2.0"));
    let is_id = !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let id = if is_id { tenant } else { "00000000-0000-0000-0000-000000000000" };
    let needs = "the tenant's identifier (a GUID), because tokens contain it and not the name of the tenant";
    checked(issuer, "entra", [tenant], [id], needs)
}

/// An Okta custom authorization server: `okta("org.okta.com", "default")`.
///
/// 1. *Security*, *API*, *Authorization Servers*: the *Audience* is the resource identifier, byte for byte.
/// 2. In it, *Scopes*; and *Access Policies* that let clients ask for them.
///
/// The organization's own authorization server cannot be used: the audience of its tokens is Okta, and its keys
/// change without notice. The [guide](crate::guide::servers::okta) has what goes wrong first.
#[must_use]
pub fn okta(domain: &str, authorization_server: &str) -> Issuer {
    let host = host_of(domain);
    let name = authorization_server.trim_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
    let name = name.unwrap_or("default");
    let issuer = Issuer::discover(format!("https://{host}/oauth2/{name}"));
    let written = [domain.trim_end_matches('/'), authorization_server];
    checked(issuer, "okta", written, [host, name], "the domain alone and the name of an authorization server")
}

/// An Amazon Cognito user pool: `cognito("eu-central-1", "eu-central-1_Ab12Cd34E")`.
///
/// 1. *Branding*, *Domain*, *Resource servers*: the identifier is the resource identifier; below it the custom scopes.
///    Tokens and clients call them `<identifier>/<scope>`.
/// 2. Clients send `resource` (RFC 8707), and the token then names it in `aud`. If a client does not send it, the token does not have
///    an audience and is rejected, unless
///    [`dangerously_accept_clients_without_audience`](Issuer::dangerously_accept_clients_without_audience) lists the client.
///
/// The [guide](crate::guide::servers::cognito) has what goes wrong first.
#[must_use]
pub fn cognito(region: &str, user_pool: &str) -> Issuer {
    let issuer = Issuer::oidc(format!("https://cognito-idp.{region}.amazonaws.com/{user_pool}"));
    let is_pool = |text: &str| text.split_once('_').is_some_and(|(region, id)| is_host(region) && is_host(id));
    let named = [user_pool, region].map(|text| text.rsplit('/').next().unwrap_or_default());
    let pool = named.into_iter().find(|text| is_pool(text)).unwrap_or("eu-central-1_Ab12Cd34E");
    let home = pool.split('_').next().unwrap_or_default();
    let needs = "a region and the identifier of a pool in it";
    checked(issuer, "cognito", [region, user_pool], [home, pool], needs)
}

/// An Ory Hydra server, by the URL of its public port and that of its admin port:
/// `hydra("https://auth.example.com", "https://hydra-admin.internal:4445")`. Tested with Hydra 2.3.
///
/// JWTs are verified with the keys of the public port. Opaque tokens, which Hydra issues by default, are introspected at
/// `/admin/oauth2/introspect` of the admin port, which does not authenticate its callers:
/// [`ClientCredentials::none`](crate::introspection::ClientCredentials::none). To introspect JWTs too, so that a revocation is
/// noticed, call `.introspect_all(ClientCredentials::none())`.
///
/// 1. `urls.self.issuer` is the first argument, byte for byte, with or without a slash at its end.
/// 2. Let only this server and the administrators of Hydra reach the admin port: anybody who reaches it can introspect every
///    token, and can create clients. If it is on plain http beyond loopback, call
///    [`dangerously_allow_http_introspection`](Issuer::dangerously_allow_http_introspection). This function never does.
/// 3. Hydra ignores `resource`. So the consent app writes the resource identifier into `grant_access_token_audience`, and each
///    client has it in its `audience`: without the latter, a refresh of the token fails with status 400.
/// 4. For JWTs, `strategies.access_token` is `jwt`. The scopes are read from `scp` or `scope`, whatever
///    `strategies.jwt.scope_claim` says.
/// 5. Self-registration: `oidc.dynamic_client_registration.enabled`. Its response has `"client_uri": ""` and `"contacts": null`,
///    which the TypeScript SDKs of MCP reject. So a proxy in front of it must leave these members out.
///
/// The [guide](crate::guide::servers::hydra) has what goes wrong first.
#[must_use]
pub fn hydra(public: &str, admin: &str) -> Issuer {
    let admin = admin.trim_end_matches('/');
    let before_path = admin.strip_suffix("/oauth2/introspect").unwrap_or(admin);
    let root = with_https(before_path.strip_suffix("/admin").unwrap_or(before_path));
    let issuer = Issuer::oidc(public)
        .introspect_opaque(ClientCredentials::none())
        .introspection_endpoint(format!("{root}/admin/oauth2/introspect"));
    let needs = "the issuer and the URL of the admin port without the path of an endpoint";
    checked(issuer, "hydra", [public, admin], [&with_https(public), &root], needs)
}

/// Google Cloud Identity-Aware Proxy (IAP), which logs users in and passes a JWT on in the header
/// `x-goog-iap-jwt-assertion`: `google_iap("/projects/123456789/global/backendServices/987654321")`.
///
/// A server with this issuer alone reads tokens from that header: see
/// [`token_from`](crate::ResourceServerBuilder::token_from) and the [guide](crate::guide::other_headers). The tokens are
/// signed with ES256. MCP clients cannot log in at IAP, so the issuer is [`unpublished`](Issuer::unpublished).
///
/// 1. *Security*, *Identity-Aware Proxy*: switch it on for the application or the backend service.
/// 2. In the menu of its row, *Get JWT audience code*: the argument.
/// 3. Programs that call through IAP send their ID token in `Proxy-Authorization`, because a request with an
///    `Authorization` header gets 400.
///
/// The tokens do not have scopes. To use access levels as scopes, call `.scope_claim("/google/access_levels")`.
#[must_use]
pub fn google_iap(audience: &str) -> Issuer {
    let issuer = Issuer::discover("https://cloud.google.com/iap")
        .jwks_uri("https://www.gstatic.com/iap/verify/public_key-jwk")
        .algorithms([Algorithm::ES256])
        .accept_audience(audience)
        .unpublished();
    let issuer = Issuer { token_header: Some("x-goog-iap-jwt-assertion"), ..issuer };
    let segments: Vec<_> = audience.split('/').collect();
    let is_audience = match segments.as_slice() {
        ["", "projects", number, rest @ ..] => {
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let is_segment = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            is_number && rest.len() >= 2 && rest.iter().all(is_segment)
        }
        _ => false,
    };
    let valid = if is_audience { audience } else { "/projects/123456789/global/backendServices/987654321" };
    let needs =
        "the audience code of the application, which begins with the number of the project and not with its name";
    checked(issuer, "google_iap", [audience], [valid], needs)
}

/// A Cloudflare Access application, which logs users in and passes a JWT on in the header `cf-access-jwt-assertion`:
/// `cloudflare_access("team", "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228")`.
///
/// A server with this issuer alone reads tokens from that header: see
/// [`token_from`](crate::ResourceServerBuilder::token_from) and the [guide](crate::guide::other_headers). The tokens are
/// signed with RS256. The proxy gets them for the client, so the issuer is [`unpublished`](Issuer::unpublished).
///
/// 1. *Zero Trust*, *Settings*, *Team name*: the first argument.
/// 2. *Access*, *Applications*, the application: its *Application Audience (AUD) Tag* is the second argument.
///
/// The tokens do not have scopes. The token of a service (*Service Auth*) does not have a subject, and has the client id in
/// `common_name`.
#[must_use]
pub fn cloudflare_access(team: &str, audience_tag: &str) -> Issuer {
    let host = host_of(team);
    let name = host.split('.').next().unwrap_or_default();
    let url = format!("https://{name}.cloudflareaccess.com");
    let issuer = Issuer::discover(url.clone())
        .jwks_uri(format!("{url}/cdn-cgi/access/certs"))
        .algorithms([Algorithm::RS256])
        .accept_audience(audience_tag)
        .unpublished();
    let issuer = Issuer { token_header: Some("cf-access-jwt-assertion"), ..issuer };
    let is_tag = !audience_tag.is_empty() && audience_tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let tag = if is_tag { audience_tag } else { "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228" };
    let name = if name.is_empty() { "team" } else { name };
    let needs = "the name of the team alone and the audience tag of the application";
    checked(issuer, "cloudflare_access", [team, audience_tag], [name, tag], needs)
}

/// Returns `issuer` if `arguments` are `valid`. Otherwise the build fails with a message that shows the valid call.
fn checked<const N: usize>(
    issuer: Issuer,
    function: &str,
    arguments: [&str; N],
    valid: [&str; N],
    needs: &str,
) -> Issuer {
    if arguments == valid {
        return issuer;
    }
    let call = |arguments: [&str; N]| {
        let quoted = arguments.map(|argument| format!("{argument:?}"));
        format!("`providers::{function}({})`", quoted.join(", "))
    };
    let mistake = format!("{} needs {needs}: write {}", call(arguments), call(valid));
    Issuer { mistake: Some(mistake.into()), ..issuer }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && host_of(text) == text
}

/// The host in a text that may be a URL.
fn host_of(text: &str) -> &str {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest).trim_start_matches('/');
    let is_other = |character: char| !character.is_ascii_alphanumeric() && !"-.:".contains(character);
    after_scheme.split(is_other).next().unwrap_or_default()
}

fn with_https(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("https://{text}") }
}

/// A segment of a path, percent-encoded as Keycloak writes it into tokens (RFC 3986, section 3.3). `%` is kept, because the
/// name may be encoded already.
fn segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let encode = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_written_as_tokens_have_them() {
        for (issuer, expected) in [
            (keycloak("https://kc.example.com", "demo"), "https://kc.example.com/realms/demo"),
            (keycloak("https://kc.example.com/", "demo"), "https://kc.example.com/realms/demo"),
            (keycloak("https://kc.example.com/auth", "demo"), "https://kc.example.com/auth/realms/demo"),
            (keycloak("https://kc.example.com", "My Realm"), "https://kc.example.com/realms/My%20Realm"),
            (keycloak("https://kc.example.com", "My%20Realm"), "https://kc.example.com/realms/My%20Realm"),
            (auth0("tenant.auth0.com"), "https://tenant.auth0.com/"),
            (auth0("tenant.auth0.com/"), "https://tenant.auth0.com/"),
            (logto("https://t.logto.app"), "https://t.logto.app/oidc"),
            (entra("72f988bf"), "https://login.microsoftonline.com/72f988bf/v2.0"),
            (okta("org.okta.com", "default"), "https://org.okta.com/oauth2/default"),
            (hydra("https://h.example.com/", "http://admin:4445"), "https://h.example.com/"),
            (hydra("https://h.example.com", "https://admin.example.com/"), "https://h.example.com"),
            (google_iap("/projects/1/apps/a"), "https://cloud.google.com/iap"),
            (google_iap("/projects/1/locations/us-east1/services/a"), "https://cloud.google.com/iap"),
            (cloudflare_access("t", "a1"), "https://t.cloudflareaccess.com"),
            (cognito("us-east-1", "us-east-1_x"), "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_x"),
        ] {
            assert_eq!(issuer.url(), expected);
            assert!(issuer.check_identifier().is_ok(), "{expected}");
        }
    }

    #[test]
    fn a_call_that_cannot_work_fails_at_build_with_the_call_that_does() {
        for (issuer, repaired) in [
            (auth0("https://tenant.eu.auth0.com"), "auth0(\"tenant.eu.auth0.com\")"),
            (auth0("http://tenant.eu.auth0.com/"), "auth0(\"tenant.eu.auth0.com\")"),
            (auth0("tenant.eu.auth0.com/authorize"), "auth0(\"tenant.eu.auth0.com\")"),
            (auth0("https://tenant.eu.auth0.com/.well-known/jwks.json"), "auth0(\"tenant.eu.auth0.com\")"),
            (okta("https://org.okta.com", "default"), "okta(\"org.okta.com\", \"default\")"),
            (okta("org.okta.com", "/oauth2/aus1"), "okta(\"org.okta.com\", \"aus1\")"),
            (okta("https://org.okta.com/oauth2/x", ""), "okta(\"org.okta.com\", \"default\")"),
            (keycloak("kc.example.com", "demo"), "keycloak(\"https://kc.example.com\", \"demo\")"),
            (keycloak("https://kc/realms/demo", "demo"), "keycloak(\"https://kc\", \"demo\")"),
            (keycloak("https://kc/realms/demo", ""), "keycloak(\"https://kc\", \"demo\")"),
            (keycloak("https://kc", "realms/demo"), "keycloak(\"https://kc\", \"demo\")"),
            (logto("t.logto.app"), "logto(\"https://t.logto.app\")"),
            (logto("https://t.logto.app/oidc"), "logto(\"https://t.logto.app\")"),
            (entra("contoso.onmicrosoft.com"), "entra(\"00000000-0000-0000-0000-000000000000\")"),
            (entra("https://login.microsoftonline.com/x"), "entra(\"00000000-0000-0000-0000-000000000000\")"),
            (cognito("us-east-1_x", "us-east-1"), "cognito(\"us-east-1\", \"us-east-1_x\")"),
            (cognito("us-east-1", "eu-west-1_x"), "cognito(\"eu-west-1\", \"eu-west-1_x\")"),
            (cognito("us-east-1", "pool/us-east-1_x"), "cognito(\"us-east-1\", \"us-east-1_x\")"),
            (hydra("h.example.com", "http://a:4445"), "hydra(\"https://h.example.com\", \"http://a:4445\")"),
            (hydra("https://h", "a:4445"), "hydra(\"https://h\", \"https://a:4445\")"),
            (hydra("https://h", "http://a:4445/admin/"), "hydra(\"https://h\", \"http://a:4445\")"),
            (hydra("https://h", "http://a/admin/oauth2/introspect"), "hydra(\"https://h\", \"http://a\")"),
            (google_iap("projects/1/apps/a"), "google_iap(\"/projects/123456789/global/backendServices/987654321\")"),
            (
                google_iap("/projects/name/apps/a"),
                "google_iap(\"/projects/123456789/global/backendServices/987654321\")",
            ),
            (google_iap("/projects/1/apps/"), "google_iap(\"/projects/123456789/global/backendServices/987654321\")"),
            (cloudflare_access("https://t.cloudflareaccess.com", "a1"), "cloudflare_access(\"t\", \"a1\")"),
            (cloudflare_access("t.cloudflareaccess.com", "a1"), "cloudflare_access(\"t\", \"a1\")"),
        ] {
            let error = issuer.check_identifier().unwrap_err().to_string();
            assert!(error.ends_with(&format!("write `providers::{repaired}`")), "{error}");
        }
    }
}
