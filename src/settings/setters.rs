//! The field of each setter, and messages about setters in the words of a file.

/// The fields of [`Settings`](super::Settings) for the setters of `ResourceServerBuilder`.
pub(super) const SERVER: &[(&str, &str)] = &[
    ("builder", "resource"),
    ("issuer", "issuers"),
    ("accept_audience", "audiences"),
    ("token_from", "token_from"),
    ("api_keys", "api_keys"),
    ("from_file", "api_keys.file"),
    ("header", "api_keys.header"),
    ("prefix", "api_keys.prefix"),
    ("sender_constraint", "sender_constraint"),
    ("dpop", "dpop"),
    ("algorithms", "dpop.algorithms"),
    ("max_age", "dpop.max_age_seconds"),
    ("require_nonces", "dpop.require_nonces"),
    ("nonce_key", "dpop.nonce_key_file"),
    ("nonce_lifetime", "dpop.nonce_lifetime_seconds"),
    ("max_proofs_per_key", "dpop.max_proofs_per_key"),
    ("max_proofs", "dpop.max_proofs"),
    ("path_behind_proxy", "dpop.path_behind_proxy"),
    ("client_certificate", "client_certificate"),
    ("client_certificate_from_connection", "client_certificate"),
    ("client_certificate_from_header", "client_certificate"),
    ("replicas_share_state", "replicas_share_state"),
    ("shared_state", "redis"),
    ("key_prefix", "redis.key_prefix"),
    ("timeout", "redis.timeout_seconds"),
    ("root_certificates", "redis.root_certificates_file"),
    ("share_introspection_results", "redis.result_key_file"),
    ("scopes_supported", "scopes_supported"),
    ("scope_implies", "scope_implies"),
    ("challenge_scope", "challenge_scopes"),
    ("initial_scopes", "initial_scopes"),
    ("metadata", "metadata"),
    ("serve_metadata_at_root", "serve_metadata_at_root"),
    ("metadata_path", "metadata_paths"),
    ("metadata_url", "metadata_url"),
    ("realm", "realm"),
    ("clock_skew", "clock_skew_seconds"),
    ("max_token_lifetime", "max_token_lifetime_seconds"),
    ("max_token_length", "max_token_length"),
    ("cache_verified_tokens", "cache_verified_tokens"),
    ("verification_timeout", "verification_timeout_seconds"),
    ("omit_claims_from_log", "omit_claims_from_log"),
    ("dangerously_allow_http", "dangerously_allow_http"),
    ("build_lazy", "lazy"),
];

/// The fields of [`IssuerSettings`](super::IssuerSettings) for the setters of `Issuer` and `Introspection`.
pub(super) const ISSUER: &[(&str, &str)] = &[
    ("discover", "url"),
    ("oidc", "discovery"),
    ("oauth", "discovery"),
    ("with_metadata", "metadata_file"),
    ("with_jwks", "fixed_jwks_file"),
    ("keycloak", "keycloak"),
    ("auth0", "auth0"),
    ("logto", "logto"),
    ("entra", "entra"),
    ("okta", "okta"),
    ("cognito", "cognito"),
    ("hydra", "hydra"),
    ("google_iap", "google_iap"),
    ("cloudflare_access", "cloudflare_access"),
    ("well_known_url", "well_known_url"),
    ("jwks_uri", "jwks_uri"),
    ("jwks_file", "jwks_file"),
    ("max_seed_age", "max_seed_age_seconds"),
    ("key_set_lifetime", "key_set_lifetime_seconds"),
    ("last_known_good", "last_known_good_seconds"),
    ("max_keys", "max_keys"),
    ("max_key_set_size", "max_key_set_size"),
    ("algorithms", "algorithms"),
    ("accept_audience", "audiences"),
    ("accept_client_id_as_audience", "client_id_audiences"),
    ("scope_claim", "scope_claims"),
    ("also_issued_as", "also_issued_as"),
    ("tenant_template", "tenant_template"),
    ("require_at_jwt", "require_at_jwt"),
    ("published", "published"),
    ("unpublished", "published"),
    ("introspect_all", "introspection"),
    ("introspect_opaque", "introspection"),
    ("introspection_endpoint", "introspection.endpoint"),
    ("revocation_check", "introspection.revocation_check_seconds"),
    ("positive_cache", "introspection.positive_cache_seconds"),
    ("negative_cache", "introspection.negative_cache_seconds"),
    ("stale_on_error", "introspection.stale_on_error_seconds"),
    ("max_in_flight", "introspection.max_in_flight"),
    ("time_limit", "introspection.time_limit_seconds"),
    ("max_wait", "introspection.max_wait_seconds"),
    ("client_id", "introspection.client_id"),
    ("basic", "introspection.client_secret"),
    ("post", "introspection.client_secret"),
    ("basic_from_file", "introspection.client_secret_file"),
    ("post_from_file", "introspection.client_secret_file"),
    ("bearer_from_file", "introspection.bearer_token_file"),
    ("none", "introspection.client_authentication"),
    ("private_key_jwt_from_file", "introspection.private_key_file"),
    ("dangerously_accept_clients_without_audience", "dangerously_accept_clients_without_audience"),
    ("dangerously_accept_missing_audience", "dangerously_accept_missing_audience"),
    ("dangerously_accept_missing_token_type", "dangerously_accept_missing_token_type"),
    ("dangerously_accept_id_token_claims", "dangerously_accept_id_token_claims"),
    ("dangerously_allow_http", "dangerously_allow_http"),
    ("dangerously_allow_http_introspection", "dangerously_allow_http_introspection"),
];

/// The fields for the setters of `McpScopes` and of the layers.
pub(super) const LAYERS: &[(&str, &str)] = &[
    ("required_scopes", "required_scopes"),
    ("any_scope", "any_scope"),
    ("allow_anonymous", "allow_anonymous"),
    ("allowed_origins", "allowed_origins"),
    ("require_dpop_nonce", "require_dpop_nonce"),
    ("sender_constrained", "mcp.sender_constrained"),
    ("tool", "mcp.tools"),
    ("any_tool", "mcp.any_tool"),
    ("prompt", "mcp.prompts"),
    ("any_prompt", "mcp.any_prompt"),
    ("resource", "mcp.resources"),
    ("any_resource", "mcp.any_resource"),
    ("method", "mcp.methods"),
    ("public", "mcp.public"),
    ("public_tools", "mcp.public_tools"),
    ("public_prompts", "mcp.public_prompts"),
    ("public_resources", "mcp.public_resources"),
    ("known_tools", "mcp.known_tools"),
    ("known_prompts", "mcp.known_prompts"),
    ("deny_unlisted", "mcp.deny_unlisted"),
    ("filter_lists", "mcp.filter_lists"),
    ("streams_may_outlive_token", "mcp.streams_may_outlive_token"),
    ("revalidate_streams", "mcp.revalidate_streams_seconds"),
    ("bind_sessions", "mcp.bind_sessions"),
    ("bind_sessions_with_key", "mcp.session_key"),
    ("max_body", "mcp.max_body"),
    ("max_anonymous_body", "mcp.max_anonymous_body"),
];

/// The field of a setter.
pub(super) fn field_of(setter: &str, fields: &[(&'static str, &'static str)]) -> Option<&'static str> {
    fields.iter().find(|(name, _)| *name == setter).map(|(_, field)| *field)
}

/// The field that a name of a setter or of a field in another table probably means.
pub(super) fn intended_field(name: &str) -> Option<&'static str> {
    let fields = || SERVER.iter().chain(ISSUER).chain(LAYERS);
    let of_setter = fields().find(|(setter, _)| *setter == name);
    let elsewhere = || fields().find(|(_, field)| field.rsplit('.').next() == Some(name));
    of_setter.or_else(elsewhere).map(|(_, field)| *field)
}

/// A message about setters, in the words of a file: `` `clock_skew` `` becomes `` `clock_skew_seconds` ``, and a call becomes an
/// assignment.
pub(super) fn in_words_of_a_file(message: &str, fields: &[(&'static str, &'static str)]) -> String {
    let mut words = String::new();
    for (at, part) in message.split('`').enumerate() {
        match at % 2 {
            0 => words.push_str(&part.replace("remove the call", "remove it").replace("call ", "set ")),
            _ => {
                words.push('`');
                words.push_str(&assignment(part, fields));
                words.push('`');
            }
        }
    }
    words
}

/// A setter, or a call of one, as a field: `accept_audience("a")` becomes `audiences = "a"`.
fn assignment(code: &str, fields: &[(&'static str, &'static str)]) -> String {
    let (path, arguments) = code.split_once('(').unwrap_or((code, ""));
    let name = path.rsplit("::").next().unwrap_or(path).trim_start_matches('.');
    let Some(field) = field_of(name, fields) else { return code.to_owned() };
    let field = field.rsplit('.').next().unwrap_or(field);
    match arguments.strip_suffix(')').unwrap_or(arguments) {
        "" => field.to_owned(),
        // The arguments of some presets are a table in the file, so the call stays as it is.
        arguments if arguments.contains("\", \"") => format!("{field}({arguments})"),
        argument => format!("{field} = {argument}"),
    }
}

#[cfg(test)]
#[cfg(feature = "schema")]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn each_field_of_the_tables_exists() {
        let schema = Settings::json_schema();
        let table = |name: &str| schema["$defs"][name]["properties"].as_object().unwrap();
        let root = schema["properties"].as_object().unwrap();
        for (_, field) in SERVER.iter().chain(LAYERS) {
            let exists = match field.split_once('.') {
                Some(("mcp", field)) => table("McpSettings").contains_key(field),
                Some(("api_keys", field)) => table("ApiKeySettings").contains_key(field),
                Some(("dpop", field)) => table("DpopSettings").contains_key(field),
                Some(("redis", field)) => table("RedisSettings").contains_key(field),
                _ => root.contains_key(*field),
            };
            assert!(exists, "{field}");
        }
        for (_, field) in ISSUER {
            let exists = match field.split_once('.') {
                Some(("introspection", field)) => table("IntrospectionSettings").contains_key(field),
                _ => table("IssuerSettings").contains_key(*field),
            };
            assert!(exists, "{field}");
        }
    }

    #[test]
    fn messages_about_setters_name_fields() {
        for (message, expected) in [
            ("`clock_skew` is 900 s", "`clock_skew_seconds` is 900 s"),
            ("call `accept_audience(\"a\")`, or remove the call", "set `audiences = \"a\"`, or remove it"),
            ("set `dangerously_allow_http()`", "set `dangerously_allow_http`"),
            ("`unknown(1)` and `other", "`unknown(1)` and `other`"),
        ] {
            assert_eq!(in_words_of_a_file(message, SERVER), expected);
        }
    }
}
