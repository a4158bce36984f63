//! Every option of the code has a field: the setters are read from the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A type with options.
struct Options {
    name: &'static str,
    /// The file with its setters.
    file: &'static str,
    /// The tables of the settings that have a field for each setter: with the same name, or with `s` or `_seconds` after it.
    tables: &'static [&'static str],
    /// The setters whose field has another name, with that field.
    renamed: &'static [(&'static str, &'static str)],
    /// The setters that only code can call, with the reason.
    code_only: &'static [(&'static str, &'static str)],
}

const OPTIONS: &[Options] = &[
    Options {
        name: "ResourceServerBuilder",
        file: "server/builder.rs",
        tables: &[""],
        renamed: &[("builder", "resource"), ("accept_audience", "audiences"), ("build_lazy", "lazy")],
        code_only: &[
            ("route_opaque", "it is a function"),
            ("clock", "it is an object of the program"),
            ("observer", "it is an object of the program"),
            ("build", "it is the end of the configuration"),
        ],
    },
    Options {
        name: "ApiKeys",
        file: "api_key/keys.rs",
        tables: &["api_keys."],
        renamed: &[("from_file", "api_keys.file")],
        code_only: &[
            ("new", "it does not take an argument"),
            ("from_store", "it is an object of the program"),
            ("store_limits", "they are for an object of the program"),
            ("key", "the file has the keys, and is read again when it changes"),
        ],
    },
    Options {
        name: "ResourceServerBuilder",
        file: "server/credentials.rs",
        tables: &[""],
        renamed: &[],
        code_only: &[(
            "dangerously_trust_everyone_on_loopback",
            "the program must add the address of the client, and a file is copied to production too easily",
        )],
    },
    Options {
        name: "ResourceServerBuilder",
        file: "server/scopes.rs",
        tables: &[""],
        renamed: &[("challenge_scope", "challenge_scopes")],
        code_only: &[],
    },
    Options {
        name: "ResourceServerBuilder",
        file: "server/sender.rs",
        tables: &[""],
        renamed: &[
            ("client_certificate_from_connection", "client_certificate"),
            ("client_certificate_from_header", "client_certificate"),
        ],
        code_only: &[],
    },
    Options {
        name: "RedisState",
        file: "shared/settings.rs",
        tables: &["redis."],
        renamed: &[
            ("new", "redis.url"),
            ("root_certificates", "redis.root_certificates_file"),
            ("share_introspection_results", "redis.result_key_file"),
        ],
        code_only: &[],
    },
    Options {
        name: "ResourceServerBuilder",
        file: "server/shared.rs",
        tables: &[""],
        renamed: &[("shared_state", "redis")],
        code_only: &[],
    },
    Options {
        name: "Dpop",
        file: "sender/settings.rs",
        tables: &["dpop."],
        renamed: &[("nonce_key", "dpop.nonce_key_file")],
        code_only: &[("new", "it does not take an argument"), ("replay_store", "it is an object of the program")],
    },
    Options {
        name: "Issuer",
        file: "issuer/config.rs",
        tables: &["issuers."],
        renamed: &[
            ("discover", "issuers.url"),
            ("oidc", "issuers.discovery"),
            ("oauth", "issuers.discovery"),
            ("with_metadata", "issuers.metadata_file"),
            ("with_jwks", "issuers.fixed_jwks_file"),
        ],
        code_only: &[
            ("with_key_source", "it is an object of the program"),
            ("map_metadata", "it is a function"),
            ("http_client", "it is an object of the program"),
        ],
    },
    Options {
        name: "Issuer",
        file: "issuer/introspected.rs",
        tables: &["issuers."],
        renamed: &[
            ("introspect_all", "issuers.introspection.tokens"),
            ("introspect_opaque", "issuers.introspection.tokens"),
            ("introspection_endpoint", "issuers.introspection.endpoint"),
            ("revocation_check", "issuers.introspection.revocation_check_seconds"),
        ],
        code_only: &[],
    },
    Options {
        name: "Issuer",
        file: "issuer/accepted_tokens.rs",
        tables: &["issuers."],
        renamed: &[
            ("accept_audience", "issuers.audiences"),
            ("accept_client_id_as_audience", "issuers.client_id_audiences"),
        ],
        code_only: &[],
    },
    Options {
        name: "Issuer",
        file: "issuer/own_verifier.rs",
        tables: &["issuers."],
        renamed: &[("unpublished", "issuers.published")],
        code_only: &[
            ("with_verifier", "it is an object of the program"),
            ("verifier_limits", "they are for an object of the program"),
        ],
    },
    Options {
        name: "Issuer",
        file: "issuer/seed.rs",
        tables: &["issuers."],
        renamed: &[],
        code_only: &[("jwks_seed", "it is a value of the program")],
    },
    Options { name: "providers", file: "issuer/providers.rs", tables: &["issuers."], renamed: &[], code_only: &[] },
    Options {
        name: "Introspection",
        file: "introspection/settings.rs",
        tables: &["issuers.introspection."],
        renamed: &[],
        code_only: &[("new", "it takes the client credentials")],
    },
    Options {
        name: "ClientCredentials",
        file: "introspection/credentials.rs",
        tables: &["issuers.introspection."],
        renamed: &[
            ("basic", "issuers.introspection.client_secret"),
            ("post", "issuers.introspection.client_authentication"),
            ("basic_from_file", "issuers.introspection.client_secret_file"),
            ("post_from_file", "issuers.introspection.client_authentication"),
            ("private_key_jwt", "issuers.introspection.private_key_file"),
            ("private_key_jwt_from_file", "issuers.introspection.private_key_file"),
            ("bearer_from_file", "issuers.introspection.bearer_token_file"),
            ("none", "issuers.introspection.client_authentication"),
        ],
        code_only: &[
            ("basic_from", "it is a function"),
            ("post_from", "it is a function"),
            ("bearer", "it is a function"),
        ],
    },
    Options {
        name: "PrivateKey",
        file: "jose/private_key.rs",
        tables: &[],
        renamed: &[
            ("from_pkcs8_pem", "issuers.introspection.private_key_algorithm"),
            ("key_id", "issuers.introspection.private_key_id"),
        ],
        code_only: &[],
    },
    Options {
        name: "ProtectedResourceMetadata",
        file: "resource/metadata.rs",
        tables: &["metadata."],
        renamed: &[],
        code_only: &[],
    },
    Options {
        name: "McpScopes",
        file: "mcp/scopes/mcp_scopes.rs",
        tables: &["mcp."],
        renamed: &[],
        code_only: &[("new", "it does not take an argument")],
    },
    Options {
        name: "McpLayer",
        file: "mcp/layer.rs",
        tables: &["mcp.", ""],
        renamed: &[("bind_sessions_with_key", "mcp.session_key")],
        code_only: &[("on_rejection", "it is a function")],
    },
    Options {
        name: "BearerAuthLayer",
        file: "bearer/layer.rs",
        tables: &[""],
        renamed: &[],
        code_only: &[("on_rejection", "it is a function")],
    },
];

#[test]
fn every_option_of_the_code_has_a_field() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let fields = fields(&mcp_bearer::settings::Settings::json_schema());
    let mut problems = Vec::new();
    for Options { name, file, tables, renamed, code_only } in OPTIONS {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        let setters = setters(&text);
        assert!(!setters.is_empty(), "{file}");
        for (listed, _) in renamed.iter().chain(*code_only).filter(|(setter, _)| !setters.contains(setter)) {
            problems.push(format!("{name} does not have `{listed}`: remove it from the table"));
        }
        for setter in setters {
            let field = renamed.iter().find(|(name, _)| *name == setter).map(|(_, field)| (*field).to_owned());
            let names = [setter.to_owned(), format!("{setter}s"), format!("{setter}_seconds")];
            let same = tables.iter().flat_map(|table| names.iter().map(move |name| format!("{table}{name}")));
            let has_field = field.into_iter().chain(same).any(|field| fields.contains(&field));
            if has_field == code_only.iter().any(|(name, _)| *name == setter) {
                problems.push(format!("{name}::{setter} needs a field in `Settings`, or a reason in this table"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_guide_names_every_option_that_only_code_can_set() {
    let chapter = include_str!("../../src/guide/configuration.md");
    let table = chapter.split("# What only code can set").nth(1).unwrap().split("\nThe builder takes").next().unwrap();
    let options =
        OPTIONS.iter().flat_map(|options| options.code_only.iter().map(|(setter, _)| (options.name, *setter)));
    // These do not set an option, or not one that a server may have.
    let left_out = ["new", "build"];
    let missing: Vec<_> = options
        .filter(|(name, setter)| !left_out.contains(setter) && !table.contains(&format!("::{name}::{setter})")))
        .collect();
    // The layers share a setter.
    assert_eq!(missing, [("McpLayer", "on_rejection")]);
}

/// The public methods and functions in a file that set something: not those that return an error instead of a panic, and not those
/// that read.
fn setters(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let starts = ["    pub fn ", "    pub const fn ", "    pub async fn ", "\npub fn "];
    let named = starts.iter().flat_map(|start| code.split(start).skip(1));
    let setting = named.filter(|rest| !rest.split(')').next().unwrap().contains("&self"));
    setting.map(|rest| rest.split(['(', '<']).next().unwrap()).filter(|name| !name.starts_with("try_")).collect()
}

/// The paths of all fields in the schema, without the numbers of lists.
pub(crate) fn fields(schema: &serde_json::Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(schema, schema, "", &mut found);
    assert!(found.len() > 80, "{found:?}");
    found
}

fn collect(root: &serde_json::Value, schema: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        return collect(root, root.pointer(target.trim_start_matches('#')).unwrap(), path, found);
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten().chain([&schema["items"]]) {
        if inner.is_object() {
            collect(root, inner, path, found);
        }
    }
    let properties: BTreeMap<_, _> = schema["properties"].as_object().into_iter().flatten().collect();
    for (name, property) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(root, property, &path, found);
        found.insert(path);
    }
}

#[test]
fn every_field_has_an_effect() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/settings");
    let files = ["build.rs", "introspection.rs", "issuer.rs", "layers.rs", "sender.rs"];
    let code: String = files.iter().map(|file| std::fs::read_to_string(folder.join(file)).unwrap()).collect();
    let words: BTreeSet<_> = code.split(|c: char| !c.is_alphanumeric() && !"_.".contains(c)).collect();
    let is_read = |name: &str| words.iter().any(|word| word.split('.').skip(1).any(|part| part == name));
    let unused: Vec<_> = fields(&mcp_bearer::settings::Settings::json_schema())
        .into_iter()
        .filter(|field| !is_read(field.rsplit('.').next().unwrap()))
        .collect();
    assert!(unused.is_empty(), "no code reads {unused:?}");
}
