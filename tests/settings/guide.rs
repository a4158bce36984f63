//! The chapter of the guide and the complete file are correct.

use mcp_bearer::api_key::ApiKey;
use mcp_bearer::settings::Settings;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{BuildErrorKind, Issuer};

use crate::options::fields;
use crate::secrets::{Folder, KEY};
use crate::{mistakes, toml};

const CHAPTER: &str = include_str!("../../src/guide/configuration.md");
const COMPLETE: &str = include_str!("../../examples/settings.toml");

/// The blocks of code in this language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    text.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The complete file, with its other files in a folder of the test.
fn complete(folder: &Folder) -> String {
    folder.file("introspection", "hush-hush");
    folder.file("session_key", KEY);
    folder.file(
        "api_keys.jsonl",
        format!("{}\n", ApiKey::generate().unwrap().stored_as("ci").scopes(["notes:read"]).to_line()),
    );
    folder.file("jwks.json", TestIssuer::new("https://offline.example.com").jwk_set().to_string());
    let metadata = r#"{"issuer": "https://file.example.com", "jwks_uri": "https://file.example.com/jwks"}"#;
    folder.file("metadata.json", metadata);
    let path = format!("{}/", folder.0.display());
    COMPLETE.replace("/run/secrets/", &path).replace("/etc/notes/", &path)
}

#[test]
fn the_complete_file_is_valid() {
    let folder = Folder::new("complete");
    let settings = toml(&complete(&folder));
    assert_eq!(mistakes(&settings), [""; 0]);
    let server = settings.builder().unwrap().build_lazy().unwrap();
    _ = settings.mcp_layer(&server).unwrap();
    _ = settings.bearer_layer(&server).unwrap();
    _ = settings.origin_layer(&server).unwrap();
}

#[test]
fn the_complete_file_names_every_field() {
    let is_named = |name: &str| {
        COMPLETE.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "))
                || line.strip_prefix('[').is_some_and(|table| table.trim_matches(['[', ']']).ends_with(name))
                || line.contains(&format!("{{ {name} = "))
                || line.contains(&format!(", {name} = "))
        })
    };
    // The text of a secret is in a separate file.
    let left_out = ["issuers.introspection.client_secret", "mcp.session_key"];
    let missing: Vec<_> = fields(&Settings::json_schema())
        .into_iter()
        .filter(|field| !left_out.contains(&field.as_str()) && !is_named(field.rsplit('.').next().unwrap()))
        .collect();
    assert!(missing.is_empty(), "examples/settings.toml does not have {missing:?}");
}

#[test]
fn the_commented_lines_of_the_complete_file_are_valid() {
    let folder = Folder::new("commented");
    let text = complete(&folder);
    let uncommented = |start: &str, end: &str| {
        let block = text.split(start).nth(1).unwrap().split(end).next().unwrap();
        block.lines().map(|line| line.trim_start_matches(['#', ' '])).collect::<Vec<_>>().join("\n")
    };
    let proxies = uncommented("each uses another header.", "# Several tenants");
    let hydra = uncommented("introspected at its admin port.", "# Proxies");
    for (at, issuer) in proxies.split("[[issuers]]").skip(1).chain(hydra.split("[[issuers]]").skip(1)).enumerate() {
        let settings = toml(&format!("resource = \"https://mcp.example.com/mcp\"\n[[issuers]]\n{issuer}"));
        assert_eq!(mistakes(&settings), [""; 0], "{at}");
        settings.builder().unwrap().build_lazy().unwrap();
    }
    let header = uncommented("proxy logs users in.", "# API keys");
    assert_eq!(mistakes(&toml(&format!("resource = \"https://mcp.example.com/mcp\"\n{header}"))), [""; 0]);
}

#[test]
fn the_error_in_the_chapter_is_that_of_its_file() {
    let files = blocks(CHAPTER, "toml");
    let [valid, wrong] = files.as_slice() else { panic!("{files:?}") };
    let error = toml(wrong).builder().unwrap_err();
    assert_eq!(format!("{error}\n"), blocks(CHAPTER, "text")[0]);
    let folder = Folder::new("chapter");
    folder.file("introspection", "hush-hush");
    let valid = valid.replace("/run/secrets", folder.0.to_str().unwrap());
    toml(&valid).builder().unwrap().build_lazy().unwrap();
}

#[test]
fn mistakes_that_code_may_repair_are_errors_of_the_build() {
    let none = toml("resource = \"https://mcp.example.com/mcp\"").builder().unwrap();
    assert_eq!(none.build_lazy().unwrap_err().kind(), BuildErrorKind::Issuer);
    let none = toml("resource = \"https://mcp.example.com/mcp\"").builder().unwrap();
    none.issuer(Issuer::discover("https://auth.example.com")).build_lazy().unwrap();
}
