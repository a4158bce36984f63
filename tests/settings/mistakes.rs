//! All mistakes are reported together, each with its path and its repair.

use mcp_bearer::settings::Settings;
use serde_json::{Value, json};

use crate::{ISSUER, RESOURCE, mistakes, toml, with};

#[test]
fn a_file_without_mistakes_has_none() {
    assert_eq!(mistakes(&with(json!({}))), [""; 0]);
    assert_eq!(mistakes(&with(json!({ "realm": null, "mcp": null }))), [""; 0]);
}

#[test]
fn each_mistake_has_its_path_and_its_repair() {
    let issuer = |members: Value| {
        let mut issuer = json!({ "url": ISSUER });
        issuer.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({ "issuers": [issuer] })
    };
    let introspection = |members: Value| {
        let mut table = json!({ "client_id": "rs", "client_secret": "hush-hush" });
        table.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        issuer(json!({ "introspection": table }))
    };
    let mut wrong = Vec::new();
    for (members, expected) in [
        // Fields that do not exist.
        (json!({ "isuers": [] }), "isuers: the field is unknown; write `issuers`, or remove it"),
        (json!({ "clock_skew": 5 }), "clock_skew: the field is unknown; write `clock_skew_seconds`, or remove it"),
        (json!({ "accept_audience": "a" }), "accept_audience: the field is unknown; write `audiences`, or remove it"),
        (json!({ "tools": {} }), "tools: the field is unknown; write `mcp.tools`, or remove it"),
        (
            issuer(json!({ "client_secret": "hush-hush" })),
            "issuers[0].client_secret: the field is unknown; write `introspection.client_secret`, or remove it",
        ),
        (json!({ "colour": "red" }), "colour: the field is unknown; remove it"),
        (json!({ "a b": 1 }), "\"a b\": the field is unknown; remove it"),
        (issuer(json!({ "uri": "x" })), "issuers[0].uri: the field is unknown; write `url`, or remove it"),
        (json!({ "mcp": { "tool": {} } }), "mcp.tool: the field is unknown; write `tools`, or remove it"),
        // Values of another type.
        (json!({ "resource": 5 }), "resource: 5 is a number; write a text in quotes"),
        (
            json!({ "resource": null }),
            "resource: the field is missing; write the URL of this server, as clients use it",
        ),
        (json!({ "clock_skew_seconds": "60" }), "clock_skew_seconds: \"60\" is a text; write a number, without quotes"),
        (
            json!({ "max_token_length": true }),
            "max_token_length: true is a boolean; write a whole number, without quotes",
        ),
        (json!({ "max_token_length": 1.5 }), "max_token_length: 1.5 is not a whole number from 0; write one"),
        (json!({ "cache_verified_tokens": -1 }), "cache_verified_tokens: -1 is not a whole number from 0; write one"),
        (json!({ "lazy": 1 }), "lazy: 1 is a number; write true or false, without quotes"),
        (
            json!({ "required_scopes": "mcp:tools" }),
            "required_scopes: \"mcp:tools\" is a text; write a list in brackets",
        ),
        (json!({ "required_scopes": ["a", 1] }), "required_scopes[1]: 1 is a number; write a text in quotes"),
        (
            json!({ "issuers": {} }),
            "issuers: the value is a table; write a list in brackets, in TOML `[[issuers]]` before each table",
        ),
        (
            json!({ "resorce": "https://mcp.example.com/mcp" }),
            "resorce: the field is unknown; write `resource`, or remove it",
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "introspection": { "client_id": "a", "client_secrt_file": "b" } }] }),
            "issuers[0].introspection.client_secrt_file: the field is unknown; write `client_secret_file`, or remove it",
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "introspection": { "bearer_token_fil": "b" } }] }),
            "issuers[0].introspection.bearer_token_fil: the field is unknown; write `bearer_token_file`, or remove it",
        ),
        (json!({ "issuers": [ISSUER] }), "issuers[0]: the value is a text; write a table"),
        (json!({ "mcp": [] }), "mcp: the value is a list; write a table"),
        (
            json!({ "mcp": { "tools": { "a b": "x" } } }),
            "mcp.tools.\"a b\": the value is a text; write a list in brackets",
        ),
        (
            issuer(json!({ "discovery": "openid" })),
            "issuers[0].discovery: \"openid\" is unknown; write \"any\" or \"oidc\" or \"oauth\"",
        ),
        (
            issuer(json!({ "algorithms": ["HS256"] })),
            "issuers[0].algorithms[0]: \"HS256\" is not an asymmetric signature algorithm: use one of RS256, RS384, RS512, PS256, \
             PS384, PS512, ES256, ES384, ES512, EdDSA",
        ),
        // A secret of another type is not shown.
        (
            introspection(json!({ "client_secret": 12_345_678 })),
            "issuers[0].introspection.client_secret: the value is a number; write a text in quotes",
        ),
        // Values out of range, with the text of the code, in the words of the file.
        (
            json!({ "clock_skew_seconds": 900 }),
            "clock_skew_seconds: `clock_skew_seconds` is 900 s; use between 0 s and 300 s",
        ),
        (json!({ "clock_skew_seconds": -1 }), "clock_skew_seconds: -1 is not a time; write a number of seconds from 0"),
        (
            json!({ "verification_timeout_seconds": 0.05 }),
            "verification_timeout_seconds: `verification_timeout_seconds` is 0.05 s; use between 0.1 s and 60 s",
        ),
        (
            json!({ "cache_verified_tokens": 1_000_001 }),
            "cache_verified_tokens: `cache_verified_tokens` is 1000001; use between 0 and 1000000",
        ),
        (json!({ "realm": "" }), "realm: the realm must have 1 to 256 printable ASCII characters"),
        (
            issuer(json!({ "key_set_lifetime_seconds": 1 })),
            "issuers[0].key_set_lifetime_seconds: `key_set_lifetime_seconds` is 1 s; use between 60 s and 86400 s",
        ),
        (
            introspection(json!({ "positive_cache_seconds": 301 })),
            "issuers[0].introspection.positive_cache_seconds: `positive_cache_seconds` is 301 s; use between 0 s and 300 s",
        ),
        (
            introspection(json!({ "max_in_flight": 0 })),
            "issuers[0].introspection.max_in_flight: `max_in_flight` is 0; use between 1 and 64",
        ),
        (
            json!({ "mcp": { "revalidate_streams_seconds": 0 } }),
            "mcp.revalidate_streams_seconds: streams are revalidated every 0 s; use between 1 s and 3600 s",
        ),
        (json!({ "mcp": { "max_body": 1 } }), "mcp.max_body: the largest body is 1 bytes: give 1024 to 67108864"),
        (
            json!({ "token_from": "cookie" }),
            "token_from: `token_from` names the header \"cookie\", which has another meaning, or is forwarded or logged as it is; name \
             the header that the proxy or the client puts the credentials into",
        ),
        // Sender-constrained tokens.
        (
            json!({ "sender_constraint": "always" }),
            "sender_constraint: \"always\" is unknown; write \"optional\" or \"required\" or \"dpop\" or \"mtls\"",
        ),
        (json!({ "dpop": {} }), "dpop: `dpop` needs `sender_constraint`; add it, or remove `dpop`"),
        (
            json!({ "sender_constraint": "dpop", "dpop": { "max_age_seconds": 5 } }),
            "dpop.max_age_seconds: `max_age_seconds` is 5 s; use between 10 s and 300 s",
        ),
        (
            json!({ "sender_constraint": "dpop", "dpop": { "algorithms": [] } }),
            "dpop.algorithms: `algorithms` is empty, so that each proof is rejected; name at least one, such as ES256",
        ),
        (
            json!({ "sender_constraint": "optional", "mcp": { "tools": { "a": [] }, "sender_constrained": ["tools.b"] } }),
            "mcp.sender_constrained[0]: \"tools.b\" is not a rule; write the place of a rule in `mcp`, such as `tools.pay` or `any_tool`",
        ),
        (
            json!({ "mcp": { "tools": { "a": [] }, "sender_constrained": ["tools.a"] } }),
            "mcp.sender_constrained: sender-constrained tokens are not accepted; write `sender_constraint = \"optional\"`, or remove the list",
        ),
        (
            json!({ "require_dpop_nonce": true }),
            "require_dpop_nonce: DPoP proofs are not accepted; write `sender_constraint = \"optional\"`, or remove `require_dpop_nonce`",
        ),
        // Identifiers, scopes and origins.
        (
            json!({ "resource": "htps://mcp.example.com" }),
            "resource: the resource \"htps://mcp.example.com\" has a scheme other than https: use https",
        ),
        (
            json!({ "resource": "http://mcp.example.com" }),
            "resource: the resource \"http://mcp.example.com\" has the scheme http, which is accepted only for loopback hosts: \
             use https, or set `dangerously_allow_http` for a host inside a private network",
        ),
        (
            issuer(json!({ "url": "auth.example.com" })),
            "issuers[0].url: the issuer \"auth.example.com\" is not an absolute URL: write it as https://host/path",
        ),
        (
            issuer(json!({ "url": "https://auth.example.com/.well-known/openid-configuration" })),
            "issuers[0].url: the issuer \"https://auth.example.com/.well-known/openid-configuration\" is the URL of a metadata \
             document; give the issuer, without `/.well-known/...`: `url = \"https://auth.example.com\"`, followed by \
             `well_known_url = \"https://auth.example.com/.well-known/openid-configuration\"` if the metadata is not at a \
             well-known URL of that issuer",
        ),
        (
            json!({ "issuers": [{ "auth0": "https://tenant.eu.auth0.com" }] }),
            "issuers[0].auth0: `auth0 = \"https://tenant.eu.auth0.com\"` needs the domain of the tenant alone: write \
             `auth0 = \"tenant.eu.auth0.com\"`",
        ),
        (
            json!({ "issuers": [{ "url": ISSUER }, { "url": ISSUER }] }),
            "issuers[1].url: the issuer \"https://auth.example.com\" is configured twice; remove one",
        ),
        (
            json!({ "issuers": [{}] }),
            "issuers[0].url: the authorization server is missing; write its issuer identifier, such as \
             \"https://auth.example.com\"",
        ),
        (
            json!({ "resource": null, "metadata_url": "https://mcp.example.com/metadata" }),
            "resource: the field is missing; write the URL of this server, as clients use it",
        ),
        (
            json!({ "issuers": [{ "require_at_jwt": true, "introspection": { "tokens": "all", "client_id": "a", "client_secret": "b" } }] }),
            "issuers[0].url: the authorization server is missing; write its issuer identifier, such as \
             \"https://auth.example.com\"",
        ),
        (
            issuer(json!({ "auth0": "tenant.eu.auth0.com" })),
            "issuers[0].auth0: `url` also says which authorization server it is; remove one",
        ),
        (
            json!({ "required_scopes": ["a", "b c"] }),
            "required_scopes[1]: \"b c\" is not a scope: use one or more printable ASCII characters without space, '\"' and '\\' \
             (RFC 6749, section 3.3)",
        ),
        (
            json!({ "allowed_origins": ["https://app.example.com/"] }),
            "allowed_origins[0]: the allowed origin \"https://app.example.com/\" ends with a slash: remove it, because an origin \
             does not have a path",
        ),
        (
            json!({ "scope_implies": { "a": ["a"] } }),
            "scope_implies: the scope \"a\" implies itself: remove one `scope_implies` rule of the circle",
        ),
        (
            json!({ "metadata": { "members": { "resource": "x" } } }),
            "metadata: the member \"resource\" follows from the configuration; remove it",
        ),
        // Settings that contradict each other.
        (
            issuer(
                json!({ "jwks_uri": "https://auth.example.com/jwks", "well_known_url": "https://auth.example.com/m" }),
            ),
            "issuers[0].well_known_url: `well_known_url` has no effect with the other settings of the issuer \
             \"https://auth.example.com\"; remove it, or what replaces it",
        ),
        (
            introspection(json!({ "tokens": "all", "revocation_check_seconds": 60 })),
            "issuers[0].introspection.revocation_check_seconds: it has no effect with `tokens = \"all\"`, which introspects every \
             token; remove one",
        ),
        (
            issuer(json!({ "audiences": ["api"], "client_id_audiences": ["api"] })),
            "issuers[0].client_id_audiences: `client_id_audiences = \"api\"` has no effect, because this audience is already \
             accepted by `audiences` or as the resource; remove one",
        ),
        (
            introspection(json!({ "client_id": "" })),
            "issuers[0].introspection.client_id: the client id is missing; write the one that the authorization server has, or \
             `client_authentication = \"none\"` if the endpoint needs no credentials",
        ),
        (
            introspection(json!({ "endpoint": "http://hydra:4445/admin/oauth2/introspect" })),
            "issuers[0].introspection.endpoint: the URL \"http://hydra:4445/admin/oauth2/introspect\" of the introspection endpoint \
             has the scheme http, which is accepted only for loopback hosts: use https, or set \
             `dangerously_allow_http_introspection` for a host inside a private network",
        ),
        (
            issuer(json!({ "dangerously_allow_http_introspection": true })),
            "issuers[0].dangerously_allow_http_introspection: `dangerously_allow_http_introspection` has no effect without \
             `endpoint`; set both, or remove it",
        ),
        (
            introspection(json!({ "client_authentication": "none" })),
            "issuers[0].introspection.client_authentication: `client_authentication = \"none\"` sends no credentials, so it \
             excludes `client_id`; remove one",
        ),
        (
            issuer(json!({ "introspection": { "client_id": "rs" } })),
            "issuers[0].introspection.client_secret: the client secret is missing; write `client_secret_file`, or \
             `private_key_file`",
        ),
        (
            json!({ "mcp": { "tools": { "ad_note": ["a"] }, "known_tools": ["add_note"] } }),
            "mcp.tools.ad_note: a rule is for the tool \"ad_note\", which the server does not have; write \"add_note\", or remove \
             the rule",
        ),
        (
            json!({ "mcp": { "tools": { "a": ["x"] }, "public_tools": ["a"] } }),
            "mcp: the tool \"a\" is public and needs scopes; remove one of the two settings",
        ),
        (
            json!({ "mcp": { "public": ["tools/call"] } }),
            "mcp.public[0]: the method \"tools/call\" cannot be public, because it has a target; name the public ones with \
             `public_tools`",
        ),
    ] {
        let found = mistakes(&with(members.clone()));
        if found != [expected] {
            wrong.push(format!("{members}\n  expected {expected}\n  found    {}", found.join("\n           ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_reported_together() {
    let settings = toml(
        r#"
            resource = "http://mcp.example.com/mcp"
            clock_skew_seconds = 900
            requird_scopes = ["mcp:tools"]
            allowed_origins = ["*", "https://app.example.com"]

            [[issuers]]
            url = "https://auth.example.com"
            max_keys = "100"
            max_key_set_size = 5
            jwks_uri = "file:///jwks"

            [[issuers]]
            url = "https://b.example.com"
            [issuers.introspection]
            client_id = "rs"
            client_secrt = "hush-hush"
            positive_cache_seconds = 900
            max_wait_seconds = 31

            [mcp]
            tools = { add_note = ["two words"], search = ["also two"] }
            max_body = 1
        "#,
    );
    let error = settings.builder().unwrap_err();
    let paths: Vec<_> = error.mistakes().map(|mistake| mistake.path()).collect();
    assert_eq!(
        paths,
        [
            "allowed_origins[0]",
            "clock_skew_seconds",
            "issuers[0].jwks_uri",
            "issuers[0].max_key_set_size",
            "issuers[0].max_keys",
            "issuers[1].introspection.client_secrt",
            "issuers[1].introspection.max_wait_seconds",
            "issuers[1].introspection.positive_cache_seconds",
            "mcp.max_body",
            "mcp.tools.add_note",
            "mcp.tools.search",
            "requird_scopes",
            "resource",
        ]
    );
    let text = error.to_string();
    assert!(text.starts_with("13 mistakes in the settings:\nallowed_origins[0]: "), "{text}");
    assert_eq!(text.lines().count(), 14);
    assert_eq!(format!("{error:?}"), text);
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn one_mistake_has_no_heading() {
    let error = with(json!({ "lazy": 1 })).builder().unwrap_err();
    assert_eq!(error.to_string(), "lazy: 1 is a number; write true or false, without quotes");
}

#[test]
fn a_repeated_field_is_a_mistake() {
    let settings: Settings =
        serde_json::from_str(&format!(r#"{{"resource": "{RESOURCE}", "realm": "a", "realm": "b"}}"#)).unwrap();
    assert_eq!(mistakes(&settings), ["realm: the field is given twice; remove one"]);
}

#[test]
fn a_document_that_is_not_a_table_is_one_mistake() {
    let settings: Settings = serde_json::from_str("[]").unwrap();
    assert_eq!(mistakes(&settings), ["the value is a list; write a table"]);
}

#[test]
fn a_message_stays_on_one_line_and_is_short() {
    let long = "x\n".repeat(10_000);
    for members in [
        json!({ "resource": long }),
        json!({ "lazy": long }),
        json!({ "mcp": { "tools": { long.as_str(): 1 } } }),
        json!({ long.as_str(): 1 }),
    ] {
        let found = mistakes(&with(members));
        assert_eq!(found.len(), 1);
        assert!(!found[0].contains('\n') && found[0].len() < 1_000, "{} characters", found[0].len());
    }
}

#[test]
fn code_can_repair_what_a_file_leaves_out() {
    let mut settings: Settings = serde_json::from_str("{}").unwrap();
    settings.resource = Some(RESOURCE.to_owned());
    assert_eq!(mistakes(&settings), [""; 0]);
}
