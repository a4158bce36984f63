//! The same settings in TOML, in JSON, and from several sources with figment and config.

use config::{Config, File, FileFormat};
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use mcp_bearer::settings::{IntrospectedTokens, Settings};
use serde::Deserialize;

use crate::mistakes;

const TOML: &str = r#"
    resource = "https://mcp.example.com/mcp"
    required_scopes = ["mcp:tools"]
    clock_skew_seconds = 30
    verification_timeout_seconds = 2.5
    cache_verified_tokens = 5000
    lazy = true
    scope_implies = { "notes:write" = ["notes:read"] }

    [[issuers]]
    url = "https://auth.example.com"
    algorithms = ["ES256"]

    [issuers.introspection]
    tokens = "all"
    client_id = "rs"
    client_secret = "hush-hush"

    [mcp.tools]
    addNote = ["notes:write"]

    [metadata.members]
    "https://example.com/extension" = { list = [1, 2.5, true, "text"] }
"#;

const JSON: &str = r#"{
    "resource": "https://mcp.example.com/mcp",
    "required_scopes": ["mcp:tools"],
    "clock_skew_seconds": 30,
    "verification_timeout_seconds": 2.5,
    "cache_verified_tokens": 5000,
    "lazy": true,
    "scope_implies": {"notes:write": ["notes:read"]},
    "issuers": [
        {
            "url": "https://auth.example.com",
            "algorithms": ["ES256"],
            "introspection": {"tokens": "all", "client_id": "rs", "client_secret": "hush-hush"}
        }
    ],
    "mcp": {"tools": {"addNote": ["notes:write"]}},
    "metadata": {"members": {"https://example.com/extension": {"list": [1, 2.5, true, "text"]}}}
}"#;

/// Whether the settings are those of the documents above. `algorithms` contradicts `tokens`, which shows that both were read.
#[track_caller]
fn check(settings: &Settings) {
    assert_eq!(settings.resource.as_deref(), Some("https://mcp.example.com/mcp"));
    assert_eq!(settings.required_scopes, ["mcp:tools"]);
    assert_eq!((settings.clock_skew_seconds, settings.verification_timeout_seconds), (Some(30.0), Some(2.5)));
    assert_eq!((settings.cache_verified_tokens, settings.lazy), (Some(5000), true));
    assert_eq!(settings.scope_implies["notes:write"], ["notes:read"]);
    assert_eq!(settings.mcp.tools["addNote"], ["notes:write"]);
    let list = serde_json::json!({ "list": [1, 2.5, true, "text"] });
    assert_eq!(settings.metadata.members["https://example.com/extension"], list);
    let introspection = settings.issuers[0].introspection.as_ref().unwrap();
    assert_eq!(introspection.tokens, IntrospectedTokens::All);
    assert_eq!(introspection.client_id.as_deref(), Some("rs"));
    let found = mistakes(settings);
    assert!(found.len() == 1 && found[0].starts_with("issuers[0].algorithms: `algorithms` has no effect"), "{found:?}");
}

#[test]
fn toml_holds_all_settings() {
    check(&toml::from_str(TOML).unwrap());
}

#[test]
fn json_holds_all_settings() {
    check(&serde_json::from_str(JSON).unwrap());
    check(&serde_json::from_value(serde_json::from_str(JSON).unwrap()).unwrap());
}

#[test]
fn figment_merges_several_sources() {
    let figment = Figment::from(Serialized::default("clock_skew_seconds", 300)).merge(Toml::string(TOML));
    check(&figment.extract().unwrap());
    let wrong = figment.merge(("clock_skew", 5)).merge(("lazy", "yes")).extract().unwrap();
    let found = mistakes(&wrong);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "clock_skew: the field is unknown; write `clock_skew_seconds`, or remove it");
    assert_eq!(found[2], "lazy: \"yes\" is a text; write true or false, without quotes");
}

#[test]
fn config_merges_several_sources() {
    let builder = Config::builder().set_default("clock_skew_seconds", 300).unwrap();
    let builder = builder.add_source(File::from_str(TOML, FileFormat::Toml));
    check(&builder.clone().build().unwrap().try_deserialize().unwrap());
    let wrong = builder.set_override("lazy", "yes").unwrap().build().unwrap().try_deserialize().unwrap();
    assert_eq!(mistakes(&wrong)[1], "lazy: \"yes\" is a text; write true or false, without quotes");
}

#[test]
fn an_application_has_the_settings_in_its_own_configuration() {
    #[derive(Deserialize)]
    struct Application {
        port: u16,
        auth: Settings,
    }
    let text = r#"
        port = 8000
        [auth]
        resource = "https://mcp.example.com/mcp"
        [[auth.issuers]]
        url = "https://auth.example.com"
    "#;
    let application: Application = toml::from_str(text).unwrap();
    assert_eq!(application.port, 8000);
    application.auth.builder().unwrap().build_lazy().unwrap();
}
