//! The environment variables, and the fields that they set.

/// One variable.
pub(super) struct Variable {
    /// The name after the prefix.
    pub(super) name: &'static str,
    /// The field. `issuers.` means the issuers in `ISSUER`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Secret,
    /// Texts that are separated by commas.
    List,
    /// Texts that are separated by commas or spaces.
    Words,
    /// `1`, `true`, `0` or `false`.
    Switch,
    Number,
    /// A switch between the words `all` and `opaque`.
    All,
}

const fn variable(name: &'static str, path: &'static str, kind: Kind) -> Variable {
    Variable { name, path, kind }
}

/// All variables. A name that ends in `_FILE` after the name of another one is the file for it.
pub(super) const VARIABLES: &[Variable] = &[
    variable("RESOURCE", "resource", Kind::Text),
    variable("AUDIENCE", "audiences", Kind::List),
    variable("TOKEN_FROM", "token_from", Kind::Text),
    variable("SENDER_CONSTRAINT", "sender_constraint", Kind::Text),
    variable("DPOP_ALGORITHMS", "dpop.algorithms", Kind::Words),
    variable("DPOP_MAX_AGE_SECONDS", "dpop.max_age_seconds", Kind::Number),
    variable("DPOP_REQUIRE_NONCES", "dpop.require_nonces", Kind::Switch),
    variable("DPOP_NONCE_KEY_FILE", "dpop.nonce_key_file", Kind::Text),
    variable("DPOP_NONCE_LIFETIME_SECONDS", "dpop.nonce_lifetime_seconds", Kind::Number),
    variable("DPOP_MAX_PROOFS_PER_KEY", "dpop.max_proofs_per_key", Kind::Number),
    variable("DPOP_MAX_PROOFS", "dpop.max_proofs", Kind::Number),
    variable("REQUIRE_DPOP_NONCE", "require_dpop_nonce", Kind::Switch),
    variable("CLIENT_CERTIFICATE", "client_certificate", Kind::Text),
    variable("REDIS_URL", "redis.url", Kind::Secret),
    variable("REDIS_URL_FILE", "redis.url_file", Kind::Text),
    variable("REDIS_KEY_PREFIX", "redis.key_prefix", Kind::Text),
    variable("REDIS_TIMEOUT_SECONDS", "redis.timeout_seconds", Kind::Number),
    variable("REDIS_ROOT_CERTIFICATES_FILE", "redis.root_certificates_file", Kind::Text),
    variable("REDIS_RESULT_KEY_FILE", "redis.result_key_file", Kind::Text),
    variable("REPLICAS_SHARE_STATE", "replicas_share_state", Kind::Switch),
    variable("SCOPES_SUPPORTED", "scopes_supported", Kind::Words),
    variable("INITIAL_SCOPES", "initial_scopes", Kind::Words),
    variable("REQUIRED_SCOPES", "required_scopes", Kind::Words),
    variable("ANY_SCOPE", "any_scope", Kind::Words),
    variable("ALLOW_ANONYMOUS", "allow_anonymous", Kind::Switch),
    variable("ALLOWED_ORIGINS", "allowed_origins", Kind::Words),
    variable("API_KEYS_FILE", "api_keys.file", Kind::Text),
    variable("API_KEYS_HEADER", "api_keys.header", Kind::Text),
    variable("API_KEYS_PREFIX", "api_keys.prefix", Kind::Text),
    variable("RESOURCE_NAME", "metadata.resource_name", Kind::Text),
    variable("RESOURCE_DOCUMENTATION", "metadata.resource_documentation", Kind::Text),
    variable("SERVE_METADATA_AT_ROOT", "serve_metadata_at_root", Kind::Switch),
    variable("METADATA_PATHS", "metadata_paths", Kind::List),
    variable("METADATA_URL", "metadata_url", Kind::Text),
    variable("REALM", "realm", Kind::Text),
    variable("CLOCK_SKEW_SECONDS", "clock_skew_seconds", Kind::Number),
    variable("MAX_TOKEN_LIFETIME_SECONDS", "max_token_lifetime_seconds", Kind::Number),
    variable("MAX_TOKEN_LENGTH", "max_token_length", Kind::Number),
    variable("CACHE_VERIFIED_TOKENS", "cache_verified_tokens", Kind::Number),
    variable("VERIFICATION_TIMEOUT_SECONDS", "verification_timeout_seconds", Kind::Number),
    variable("OMIT_CLAIMS_FROM_LOG", "omit_claims_from_log", Kind::Switch),
    variable("LAZY", "lazy", Kind::Switch),
    variable("DANGEROUSLY_ALLOW_HTTP", "dangerously_allow_http", Kind::Switch),
    variable("ISSUER", "issuers.url", Kind::List),
    variable("ISSUER_DISCOVERY", "issuers.discovery", Kind::Text),
    variable("ISSUER_WELL_KNOWN_URL", "issuers.well_known_url", Kind::Text),
    variable("ISSUER_JWKS_URI", "issuers.jwks_uri", Kind::Text),
    variable("ISSUER_JWKS_FILE", "issuers.jwks_file", Kind::Text),
    variable("ISSUER_MAX_SEED_AGE_SECONDS", "issuers.max_seed_age_seconds", Kind::Number),
    variable("ISSUER_FIXED_JWKS_FILE", "issuers.fixed_jwks_file", Kind::Text),
    variable("ISSUER_KEY_SET_LIFETIME_SECONDS", "issuers.key_set_lifetime_seconds", Kind::Number),
    variable("ISSUER_LAST_KNOWN_GOOD_SECONDS", "issuers.last_known_good_seconds", Kind::Number),
    variable("ISSUER_ALGORITHMS", "issuers.algorithms", Kind::Words),
    variable("ISSUER_CLIENT_ID_AUDIENCES", "issuers.client_id_audiences", Kind::List),
    variable("ISSUER_SCOPE_CLAIMS", "issuers.scope_claims", Kind::List),
    variable("ISSUER_ALSO_ISSUED_AS", "issuers.also_issued_as", Kind::List),
    variable("ISSUER_REQUIRE_AT_JWT", "issuers.require_at_jwt", Kind::Switch),
    variable("ISSUER_DANGEROUSLY_ALLOW_HTTP", "issuers.dangerously_allow_http", Kind::Switch),
    variable("INTROSPECT_ALL", "issuers.introspection.tokens", Kind::All),
    variable("INTROSPECTION_ENDPOINT", "issuers.introspection.endpoint", Kind::Text),
    variable("INTROSPECTION_DANGEROUSLY_ALLOW_HTTP", "issuers.dangerously_allow_http_introspection", Kind::Switch),
    variable("INTROSPECTION_CLIENT_ID", "issuers.introspection.client_id", Kind::Text),
    variable("INTROSPECTION_CLIENT_SECRET", "issuers.introspection.client_secret", Kind::Secret),
    variable("INTROSPECTION_CLIENT_SECRET_FILE", "issuers.introspection.client_secret_file", Kind::Text),
    variable("INTROSPECTION_CLIENT_AUTHENTICATION", "issuers.introspection.client_authentication", Kind::Text),
    variable("INTROSPECTION_BEARER_TOKEN_FILE", "issuers.introspection.bearer_token_file", Kind::Text),
    variable("INTROSPECTION_PRIVATE_KEY_FILE", "issuers.introspection.private_key_file", Kind::Text),
    variable("INTROSPECTION_PRIVATE_KEY_ALGORITHM", "issuers.introspection.private_key_algorithm", Kind::Text),
    variable("INTROSPECTION_PRIVATE_KEY_ID", "issuers.introspection.private_key_id", Kind::Text),
    variable("INTROSPECTION_CACHE_SECONDS", "issuers.introspection.positive_cache_seconds", Kind::Number),
    variable("INTROSPECTION_NEGATIVE_CACHE_SECONDS", "issuers.introspection.negative_cache_seconds", Kind::Number),
    variable("INTROSPECTION_STALE_ON_ERROR_SECONDS", "issuers.introspection.stale_on_error_seconds", Kind::Number),
    variable("INTROSPECTION_MAX_IN_FLIGHT", "issuers.introspection.max_in_flight", Kind::Number),
    variable("INTROSPECTION_TIME_LIMIT_SECONDS", "issuers.introspection.time_limit_seconds", Kind::Number),
    variable("INTROSPECTION_MAX_WAIT_SECONDS", "issuers.introspection.max_wait_seconds", Kind::Number),
    variable("REVOCATION_CHECK_SECONDS", "issuers.introspection.revocation_check_seconds", Kind::Number),
    variable("ANY_TOOL", "mcp.any_tool", Kind::Words),
    variable("ANY_PROMPT", "mcp.any_prompt", Kind::Words),
    variable("ANY_RESOURCE", "mcp.any_resource", Kind::Words),
    variable("SENDER_CONSTRAINED", "mcp.sender_constrained", Kind::List),
    variable("DENY_UNLISTED", "mcp.deny_unlisted", Kind::Switch),
    variable("FILTER_LISTS", "mcp.filter_lists", Kind::Switch),
    variable("BIND_SESSIONS", "mcp.bind_sessions", Kind::Switch),
    variable("SESSION_KEY", "mcp.session_key", Kind::Secret),
    variable("SESSION_KEY_FILE", "mcp.session_key_file", Kind::Text),
    variable("STREAMS_MAY_OUTLIVE_TOKEN", "mcp.streams_may_outlive_token", Kind::Switch),
    variable("REVALIDATE_STREAMS_SECONDS", "mcp.revalidate_streams_seconds", Kind::Number),
    variable("MAX_BODY", "mcp.max_body", Kind::Number),
    variable("MAX_ANONYMOUS_BODY", "mcp.max_anonymous_body", Kind::Number),
];
