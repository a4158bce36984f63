use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer};

use super::fields::{ApiKeySettings, IssuerSettings};
use super::mistake::Mistakes;
use super::node::Node;
use super::read::{Read, Reader, read_fields};
#[cfg(feature = "schema")]
use super::schema::{self, JsonSchema};
use super::secret::SecretText;
use super::sender_fields::{ClientCertificateSetting, DpopSettings, RedisSettings, SenderConstraintSetting};
use crate::jose::Algorithm;

/// The configuration of a resource server and its layers, from a file or from environment variables.
///
/// Every field has the default of the setter with the same name, except `resource`, which is required. Times are numbers of
/// seconds, and may have a fraction. An unknown field is a mistake. `null` means that the field is absent.
///
/// ```
/// # #[cfg(all(feature = "reqwest", feature = "aws-lc-rs"))] {
/// use mcp_bearer::settings::Settings;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = r#"
///     resource = "https://mcp.example.com/mcp"
///     required_scopes = ["mcp:tools"]
///
///     [[issuers]]
///     url = "https://auth.example.com"
/// "#;
/// let settings: Settings = toml::from_str(text)?;
/// let server = settings.builder()?.build_lazy()?;
/// let layer = settings.bearer_layer(&server)?;
/// # drop(layer);
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
///
/// The fields are public, so that code can change what a file says before [`builder`](Self::builder).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct Settings {
    /// The resource identifier: the URL of this server as clients use it. Required.
    pub resource: Option<String>,
    /// The authorization servers whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
    /// API keys beside access tokens.
    pub api_keys: Option<ApiKeySettings>,
    /// The header that has the token, in place of `Authorization`, for a proxy that logs users in.
    pub token_from: Option<String>,
    /// Accepts access tokens that are bound to a key of the client, or requires them. They are rejected by default.
    pub sender_constraint: Option<SenderConstraintSetting>,
    /// The settings of DPoP proofs.
    pub dpop: Option<DpopSettings>,
    /// Requires a nonce of this server in the DPoP proofs for these layers.
    pub require_dpop_nonce: bool,
    /// Where the client certificate of a request is.
    pub client_certificate: Option<ClientCertificateSetting>,
    /// The Redis or Valkey server with the state that replicas share. It needs the feature `redis`.
    pub redis: Option<RedisSettings>,
    /// Rejects a configuration in which replicas do not share the state that they need.
    pub replicas_share_state: bool,
    /// Further accepted audiences, for tokens of all issuers.
    pub audiences: Vec<String>,
    /// The scopes in the metadata, from which clients choose.
    pub scopes_supported: Vec<String>,
    /// The scopes that every request needs.
    pub required_scopes: Vec<String>,
    /// Scopes of which every request needs one. Challenges name the first.
    pub any_scope: Vec<String>,
    /// Accepts requests without an `Authorization` header. For MCP, only for public operations.
    pub allow_anonymous: bool,
    /// The origins of the web pages that may send requests, such as `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// For each scope, the scopes that it implies.
    pub scope_implies: BTreeMap<String, Vec<String>>,
    /// For each scope, its name in challenges and in the metadata, if clients must request it under another name.
    pub challenge_scopes: BTreeMap<String, String>,
    /// Scopes that the challenge of a request without a token names too, so that clients ask for them at their first login.
    pub initial_scopes: Vec<String>,
    /// Other members of the protected resource metadata.
    pub metadata: MetadataSettings,
    /// Serves the metadata at `/.well-known/oauth-protected-resource` as well.
    pub serve_metadata_at_root: bool,
    /// Further local paths of the metadata, for a proxy that changes paths.
    pub metadata_paths: Vec<String>,
    /// The URL of the metadata in challenges, for a gateway that does not forward the well-known URL.
    pub metadata_url: Option<String>,
    /// The realm of challenges: 1 to 256 printable ASCII characters.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub realm: Option<String>,
    /// The allowed difference between the clocks of this server and of its issuers: 0 to 300 s, 60 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 300)))]
    pub clock_skew_seconds: Option<f64>,
    /// Rejects tokens with a longer lifetime. Not set by default.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub max_token_lifetime_seconds: Option<f64>,
    /// The length of the longest accepted token: 1,024 to 65,536 bytes, 16,384 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 65536)))]
    pub max_token_length: Option<usize>,
    /// The number of verified JWTs in the cache: 0 to 1,000,000, 10,000 by default. 0 switches the cache off.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1000000)))]
    pub cache_verified_tokens: Option<usize>,
    /// How long a request waits for the key of its token: 0.1 to 60 s, 10 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.1, max = 60)))]
    pub verification_timeout_seconds: Option<f64>,
    /// Leaves what a token contains out of log lines.
    pub omit_claims_from_log: bool,
    /// Starts without waiting for the issuers.
    pub lazy: bool,
    /// The rules and the settings of the MCP layer.
    pub mcp: McpSettings,
    /// Accepts a resource identifier with plain http that is not a loopback address.
    pub dangerously_allow_http: bool,
    /// The mistake in the text that the settings were read from.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub(super) mistakes: Mistakes,
}

/// Members of the protected resource metadata (RFC 9728, section 2): see
/// [`ProtectedResourceMetadata`](crate::resource::ProtectedResourceMetadata).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct MetadataSettings {
    /// The name of the resource for end users.
    pub resource_name: Option<String>,
    /// The name in other languages, by language tag (BCP 47), such as `fr`.
    pub resource_name_in: BTreeMap<String, String>,
    /// The URL of a page for developers.
    pub resource_documentation: Option<String>,
    /// The URL of a page on how clients may use the data.
    pub resource_policy_uri: Option<String>,
    /// The URL of the terms of service.
    pub resource_tos_uri: Option<String>,
    /// The URL of the key set with which the resource signs its own responses.
    pub jwks_uri: Option<String>,
    /// The algorithms with which the resource signs its responses.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::algorithms"))]
    pub resource_signing_alg_values_supported: Vec<Algorithm>,
    /// The supported types of `authorization_details` (RFC 9396).
    pub authorization_details_types_supported: Vec<String>,
    /// Any other members.
    pub members: BTreeMap<String, serde_json::Value>,
}

/// The rules and the settings of the MCP layer: see [`McpScopes`](crate::McpScopes) and [`McpLayer`](crate::McpLayer).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct McpSettings {
    /// For each tool, the scopes that its calls need.
    pub tools: BTreeMap<String, Vec<String>>,
    /// The scopes for every tool that `tools` does not list.
    pub any_tool: Option<Vec<String>>,
    /// For each prompt, the scopes that it needs.
    pub prompts: BTreeMap<String, Vec<String>>,
    /// The scopes for every prompt that `prompts` does not list.
    pub any_prompt: Option<Vec<String>>,
    /// For each resource, by its URI or a URI template, the scopes that it needs.
    pub resources: BTreeMap<String, Vec<String>>,
    /// The scopes for every resource that no rule in `resources` matches.
    pub any_resource: Option<Vec<String>>,
    /// For each method, the scopes that it needs.
    pub methods: BTreeMap<String, Vec<String>>,
    /// The rules that also need a sender-constrained access token, each with its place in `mcp`: `tools.pay`, `any_tool`.
    pub sender_constrained: Vec<String>,
    /// The methods that need no token, if `allow_anonymous` is set.
    pub public: Vec<String>,
    /// The tools that need no token, if `allow_anonymous` is set.
    pub public_tools: Vec<String>,
    /// The prompts that need no token, if `allow_anonymous` is set.
    pub public_prompts: Vec<String>,
    /// The resources that need no token, if `allow_anonymous` is set.
    pub public_resources: Vec<String>,
    /// The names of all tools, to find rules for other names.
    pub known_tools: Option<Vec<String>>,
    /// The names of all prompts, to find rules for other names.
    pub known_prompts: Option<Vec<String>>,
    /// Rejects every tool, prompt and resource without a rule.
    pub deny_unlisted: bool,
    /// Removes from lists what the caller may not use.
    pub filter_lists: bool,
    /// Binds each session to the user that opened it.
    pub bind_sessions: bool,
    /// The file with the key that replicas share to bind sessions: 32 random bytes in Base64, as `openssl rand -base64 32` writes
    /// them.
    pub session_key_file: Option<PathBuf>,
    /// The same key as a text. Better use `session_key_file`.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::secret"))]
    pub session_key: Option<SecretText>,
    /// Lets responses continue after their access token has expired.
    pub streams_may_outlive_token: bool,
    /// How often the token of a streaming response is verified again: 1 to 3,600 s. Never by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600)))]
    pub revalidate_streams_seconds: Option<f64>,
    /// The largest request body: 1,024 to 67,108,864 bytes, 4,194,304 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 67108864)))]
    pub max_body: Option<usize>,
    /// The largest request body without a token: 1,024 bytes to `max_body`, 65,536 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 67108864)))]
    pub max_anonymous_body: Option<usize>,
}

#[cfg(feature = "schema")]
impl Settings {
    /// The JSON Schema of the settings, for editors and for checks before a deployment. The repository has it as
    /// `settings.schema.json`.
    ///
    /// ```
    /// let schema = mcp_bearer::settings::Settings::json_schema();
    /// assert_eq!(schema["properties"]["clock_skew_seconds"]["maximum"], 300);
    /// ```
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schema::schema_for::<Self>()
    }
}

/// Reads all fields, and keeps the mistakes for [`builder`](Settings::builder). It fails only if the text itself cannot be read.
impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reader = Reader::default();
        let settings = Self::read(Node::deserialize(deserializer)?, &mut reader).unwrap_or_default();
        Ok(Self { mistakes: reader.mistakes, ..settings })
    }
}

read_fields!(Settings:
    resource, issuers, api_keys, token_from, sender_constraint, dpop, require_dpop_nonce, client_certificate, redis, replicas_share_state,
    audiences, scopes_supported, required_scopes, any_scope, allow_anonymous, allowed_origins, scope_implies,
    challenge_scopes, initial_scopes, metadata, serve_metadata_at_root, metadata_paths, metadata_url, realm, clock_skew_seconds,
    max_token_lifetime_seconds, max_token_length, cache_verified_tokens, verification_timeout_seconds, omit_claims_from_log,
    lazy, mcp, dangerously_allow_http; mistakes
);
read_fields!(MetadataSettings:
    resource_name, resource_name_in, resource_documentation, resource_policy_uri, resource_tos_uri, jwks_uri,
    resource_signing_alg_values_supported, authorization_details_types_supported, members
);
read_fields!(McpSettings:
    tools, any_tool, prompts, any_prompt, resources, any_resource, methods, sender_constrained, public, public_tools, public_prompts,
    public_resources, known_tools, known_prompts, deny_unlisted, filter_lists, bind_sessions, session_key_file, session_key,
    streams_may_outlive_token, revalidate_streams_seconds, max_body, max_anonymous_body
);
