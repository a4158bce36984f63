use std::path::PathBuf;

use super::node::Node;
use super::read::{Read, Reader, read_fields, read_names};
#[cfg(feature = "schema")]
use super::schema::{self, JsonSchema};
use super::secret::SecretText;
use crate::jose::Algorithm;

/// The settings of an authorization server: see [`Issuer`](crate::Issuer).
///
/// One of `url`, `metadata_file` and the fields with the name of a product says which authorization server it is.
///
/// ```
/// use mcp_bearer::settings::{IssuerSettings, Settings};
///
/// let mut issuer = IssuerSettings::default();
/// issuer.url = Some("https://auth.example.com".to_owned());
/// let mut settings = Settings::default();
/// settings.resource = Some("https://mcp.example.com/mcp".to_owned());
/// settings.issuers.push(issuer);
/// # #[cfg(all(feature = "reqwest", feature = "aws-lc-rs"))] {
/// # fn server(settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
/// let server = settings.builder()?.build_lazy()?;
/// # drop(server);
/// # Ok(())
/// # }
/// # server(&settings).unwrap();
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct IssuerSettings {
    /// The issuer identifier: an https URL, exactly as tokens have it in `iss`.
    pub url: Option<String>,
    /// Which metadata documents are tried. `any` by default.
    pub discovery: DiscoveryMethods,
    /// A Keycloak realm, in place of `url`.
    pub keycloak: Option<KeycloakSettings>,
    /// The domain of an Auth0 tenant, such as `tenant.eu.auth0.com`, in place of `url`.
    pub auth0: Option<String>,
    /// The URL of a Logto tenant, such as `https://tenant.logto.app`, in place of `url`.
    pub logto: Option<String>,
    /// The identifier (a GUID) of a Microsoft Entra ID tenant, in place of `url`.
    pub entra: Option<String>,
    /// An Okta custom authorization server, in place of `url`.
    pub okta: Option<OktaSettings>,
    /// An Amazon Cognito user pool, in place of `url`.
    pub cognito: Option<CognitoSettings>,
    /// An Ory Hydra server, in place of `url`. Its opaque tokens are introspected without credentials.
    pub hydra: Option<HydraSettings>,
    /// A Google Cloud Identity-Aware Proxy, by its audience code, in place of `url`.
    pub google_iap: Option<String>,
    /// A Cloudflare Access application, in place of `url`.
    pub cloudflare_access: Option<CloudflareSettings>,
    /// The file with the metadata document (JSON), in place of `url`. Only the key set is then fetched.
    pub metadata_file: Option<PathBuf>,
    /// The file with a fixed key set (JSON). Nothing is fetched, and `url` is only compared with `iss`.
    pub fixed_jwks_file: Option<PathBuf>,
    /// The URL of the metadata document, if it is not a well-known one.
    pub well_known_url: Option<String>,
    /// The URL of the key set, in place of the one in the metadata.
    pub jwks_uri: Option<String>,
    /// The file with a key set (JSON) to begin with, for a fast start. The key set is then fetched in the background.
    pub jwks_file: Option<PathBuf>,
    /// The oldest `jwks_file` that is used: 60 to 31,536,000 s, 2,592,000 s (30 days) by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 31536000)))]
    pub max_seed_age_seconds: Option<f64>,
    /// How long a key set is fresh if its response does not have a cache header: 60 to 86,400 s, 300 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 86400)))]
    pub key_set_lifetime_seconds: Option<f64>,
    /// How long an expired key set is still used while the issuer cannot be reached: 0 to 86,400 s, 3,600 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 86400)))]
    pub last_known_good_seconds: Option<f64>,
    /// The most keys of a fetched key set that are used: 1 to 1,000, 100 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_keys: Option<usize>,
    /// The most bytes of a fetched key set: 1,024 to 4,194,304, 262,144 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 4194304)))]
    pub max_key_set_size: Option<usize>,
    /// The accepted signature algorithms, such as `["RS256"]`. All asymmetric ones by default.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::algorithms"))]
    pub algorithms: Option<Vec<Algorithm>>,
    /// Further accepted audiences for tokens of this issuer.
    pub audiences: Vec<String>,
    /// Client ids that are accepted as an audience, if the token shows that it is an access token.
    pub client_id_audiences: Vec<String>,
    /// JSON pointers (RFC 6901) to claims with further scopes, such as `/realm_access/roles`.
    pub scope_claims: Vec<String>,
    /// Further values of `iss` in tokens that are signed with the same keys.
    pub also_issued_as: Vec<String>,
    /// The tenants of a multi-tenant endpoint whose tokens are accepted.
    pub tenant_template: Option<TenantSettings>,
    /// Accepts only JWTs that follow RFC 9068.
    pub require_at_jwt: bool,
    /// Whether `authorization_servers` in the protected resource metadata has the issuer. By default, it has every issuer
    /// except Google IAP and Cloudflare Access.
    pub published: Option<bool>,
    /// Introspects tokens (RFC 7662).
    pub introspection: Option<IntrospectionSettings>,
    /// Accepts tokens without an audience that were issued to one of these clients.
    pub dangerously_accept_clients_without_audience: Option<Vec<String>>,
    /// Accepts tokens without an audience.
    pub dangerously_accept_missing_audience: bool,
    /// Accepts introspection responses that have neither an audience nor a `token_type`.
    pub dangerously_accept_missing_token_type: bool,
    /// Accepts access tokens with claims of an ID token.
    pub dangerously_accept_id_token_claims: bool,
    /// Accepts plain http URLs beyond loopback. Anybody on the network path can then replace the keys.
    pub dangerously_allow_http: bool,
    /// Accepts plain http beyond loopback for the `endpoint` of `introspection` alone. Anybody on the network path can then read the
    /// access tokens and the client credentials, and can make any token active.
    pub dangerously_allow_http_introspection: bool,
}

/// API keys beside access tokens: see [`ApiKeys`](crate::api_key::ApiKeys).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct ApiKeySettings {
    /// The file with one stored key in each line. It is read again when it changes. Required.
    pub file: Option<PathBuf>,
    /// A header in which keys are accepted as well, such as `x-api-key`.
    pub header: Option<String>,
    /// The prefix of all keys: `mcpk` by default.
    pub prefix: Option<String>,
}

/// How the metadata of an issuer is discovered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(rename_all = "snake_case"))]
pub enum DiscoveryMethods {
    /// By RFC 8414 and by OpenID Connect Discovery 1.0: see [`Issuer::discover`](crate::Issuer::discover).
    #[default]
    Any,
    /// By OpenID Connect Discovery 1.0 only: see [`Issuer::oidc`](crate::Issuer::oidc).
    Oidc,
    /// By RFC 8414 only: see [`Issuer::oauth`](crate::Issuer::oauth).
    Oauth,
}

/// A Keycloak realm: see [`providers::keycloak`](crate::issuer::providers::keycloak).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct KeycloakSettings {
    /// The URL of the server, such as `https://auth.example.com`.
    pub url: String,
    /// The name of the realm.
    pub realm: String,
}

/// An Okta custom authorization server: see [`providers::okta`](crate::issuer::providers::okta).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct OktaSettings {
    /// The domain of the organization, such as `org.okta.com`.
    pub domain: String,
    /// The name of the authorization server, such as `default`.
    pub authorization_server: String,
}

/// An Amazon Cognito user pool: see [`providers::cognito`](crate::issuer::providers::cognito).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct CognitoSettings {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The identifier of the pool, such as `eu-central-1_Ab12Cd34E`.
    pub user_pool: String,
}

/// An Ory Hydra server: see [`providers::hydra`](crate::issuer::providers::hydra).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct HydraSettings {
    /// The issuer, which is the URL of the public port: `urls.self.issuer` of Hydra.
    pub public: String,
    /// The URL of the admin port, such as `https://hydra-admin.internal:4445`.
    pub admin: String,
}

/// A Cloudflare Access application: see [`providers::cloudflare_access`](crate::issuer::providers::cloudflare_access).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct CloudflareSettings {
    /// The name of the team.
    pub team: String,
    /// The *Application Audience (AUD) Tag* of the application.
    pub audience_tag: String,
}

/// The tenants of a multi-tenant endpoint: see [`Issuer::tenant_template`](crate::Issuer::tenant_template).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct TenantSettings {
    /// The `issuer` of the metadata, with a literal `{tenantid}` in it.
    pub template: String,
    /// The accepted tenants.
    pub tenants: Vec<String>,
}

/// The settings of token introspection: see [`Introspection`](crate::introspection::Introspection).
///
/// `client_id` and `client_secret` or `client_secret_file` are the usual client credentials. A private key takes the place of the secret.
/// With `client_authentication: none`, all of them are left out.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct IntrospectionSettings {
    /// Which tokens are introspected. `opaque` by default.
    pub tokens: IntrospectedTokens,
    /// The URL of the introspection endpoint, in place of the one in the metadata.
    pub endpoint: Option<String>,
    /// The client id of this server at the authorization server.
    pub client_id: Option<String>,
    /// The client secret. Better use `client_secret_file`.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::secret"))]
    pub client_secret: Option<SecretText>,
    /// The file with the client secret. A line break at its end is not a part of the secret. If the file changes, the new secret is
    /// used within a second.
    pub client_secret_file: Option<PathBuf>,
    /// How this server authenticates at the endpoint. `basic` by default.
    pub client_authentication: ClientAuthentication,
    /// The file with an access token of this server, in place of the client credentials. It is read again like
    /// `client_secret_file`.
    pub bearer_token_file: Option<PathBuf>,
    /// The file with an unencrypted PKCS #8 key in PEM, for client authentication with `private_key_jwt`.
    pub private_key_file: Option<PathBuf>,
    /// The algorithm of the private key, such as `ES256`.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::algorithm"))]
    pub private_key_algorithm: Option<Algorithm>,
    /// The key id (`kid`) of the private key.
    pub private_key_id: Option<String>,
    /// How long the result for an active token is cached: 0 to 300 s, 30 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 300)))]
    pub positive_cache_seconds: Option<f64>,
    /// How long the result for a token that is not active is cached: 0 to 60 s, 10 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 60)))]
    pub negative_cache_seconds: Option<f64>,
    /// How long an active token is still accepted after that while introspection fails: 0 to 60 s, 0 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 60)))]
    pub stale_on_error_seconds: Option<f64>,
    /// The upper bound of concurrent introspection requests: 1 to 64, 64 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub max_in_flight: Option<usize>,
    /// The time limit of one introspection: 0.1 to 30 s, 3 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.1, max = 30)))]
    pub time_limit_seconds: Option<f64>,
    /// How long a token waits while the limit of concurrent requests is reached: 0 to 30 s, 5 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 30)))]
    pub max_wait_seconds: Option<f64>,
    /// Introspects JWTs too, at most once in this time for each token: 1 to 3,600 s. Off by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600)))]
    pub revocation_check_seconds: Option<f64>,
}

/// How this server authenticates at the introspection endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(rename_all = "snake_case"))]
pub enum ClientAuthentication {
    /// With the secret in the `Authorization` header: `client_secret_basic` (RFC 6749, section 2.3.1).
    #[default]
    Basic,
    /// With the secret in the request body: `client_secret_post`.
    Post,
    /// Not at all: see [`ClientCredentials::none`](crate::introspection::ClientCredentials::none). Anybody who reaches the
    /// endpoint can then introspect tokens.
    None,
}

/// Which tokens are introspected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(rename_all = "snake_case"))]
pub enum IntrospectedTokens {
    /// Opaque tokens. JWTs are verified locally.
    #[default]
    Opaque,
    /// Every token, JWTs too.
    All,
}

read_fields!(IssuerSettings:
    url, discovery, keycloak, auth0, logto, entra, okta, cognito, hydra, google_iap, cloudflare_access, metadata_file, fixed_jwks_file, well_known_url, jwks_uri,
    jwks_file, max_seed_age_seconds,
    key_set_lifetime_seconds, last_known_good_seconds, max_keys, max_key_set_size, algorithms, audiences, client_id_audiences,
    scope_claims, also_issued_as, tenant_template, require_at_jwt, published, introspection,
    dangerously_accept_clients_without_audience, dangerously_accept_missing_audience, dangerously_accept_missing_token_type,
    dangerously_accept_id_token_claims, dangerously_allow_http, dangerously_allow_http_introspection
);
read_fields!(ApiKeySettings: file, header, prefix);
read_names!(DiscoveryMethods: "any" => Any, "oidc" => Oidc, "oauth" => Oauth);
read_fields!(KeycloakSettings: url, realm);
read_fields!(OktaSettings: domain, authorization_server);
read_fields!(CognitoSettings: region, user_pool);
read_fields!(HydraSettings: public, admin);
read_fields!(CloudflareSettings: team, audience_tag);
read_fields!(TenantSettings: template, tenants);
read_fields!(IntrospectionSettings:
    tokens, endpoint, client_id, client_secret, client_secret_file, client_authentication, bearer_token_file, private_key_file,
    private_key_algorithm, private_key_id, positive_cache_seconds, negative_cache_seconds,
    stale_on_error_seconds, max_in_flight, time_limit_seconds, max_wait_seconds, revocation_check_seconds
);
read_names!(ClientAuthentication: "basic" => Basic, "post" => Post, "none" => None);
read_names!(IntrospectedTokens: "opaque" => Opaque, "all" => All);
