//! All mistakes in stored keys are reported at once, and no key is printed.

use std::time::{Duration, SystemTime};

use mcp_bearer::api_key::{ApiKey, ApiKeys, StoredKey};
use mcp_bearer::{BuildError, BuildErrorKind, ResourceServer};

use super::file::KeyFile;
use crate::support::RESOURCE;

const DIGEST: &str = "f0e4c2f76c58916ec258f246851bea091d14d4247a2fc3e18694461b1816e13b";

fn error_of(keys: ApiKeys) -> BuildError {
    let builder = ResourceServer::builder(RESOURCE).scopes_supported(["notes:read", "notes:write"]);
    builder.scope_implies("notes:admin", ["notes:write"]).api_keys(keys).build_lazy().unwrap_err()
}

/// A line with this member in place of the one of the same name.
fn line(number: u64, member: &str) -> String {
    let members = [
        format!(r#""id":"mcpk_0123456789{number:02}""#),
        format!(r#""name":"key {number}""#),
        format!(r#""sha256":"{DIGEST}""#),
    ];
    let name = member.split(':').next().unwrap();
    let others = members.into_iter().filter(|other| other.split(':').next().unwrap() != name);
    let all: Vec<_> = others.chain((!member.is_empty()).then(|| member.to_owned())).collect();
    format!("{{{}}}", all.join(","))
}

#[test]
fn every_mistake_in_a_file_is_reported_at_once_with_its_line() {
    let key = ApiKey::generate().unwrap();
    let plain = format!(r#""sha256":"{}""#, key.expose());
    let rows: &[(&str, &str)] = &[
        ("", ""),
        (r#""name":"key 1""#, "the name \"key 1\" is used twice, first by line 1; choose another name"),
        (
            r#""id":"mcpk_012345678901""#,
            "the id \"mcpk_012345678901\" is used twice, first by line 1; remove one of the two",
        ),
        (r#""sha256":"abc""#, "`sha256` is not 64 hexadecimal digits"),
        (&plain, "an API key is written here in plain text; remove it, do not use this key any more"),
        (
            r#""scopes":["notes:raed"]"#,
            "the scope \"notes:raed\" is not one of `scopes_supported`; write \"notes:read\", or add it to `scopes_supported`. ",
        ),
        (r#""scopes":["two words"]"#, "\"two words\" is not a scope"),
        (r#""scopes":"notes:read""#, "`scopes` is not a list of strings; write [\"notes:read\", \"notes:write\"]"),
        (r#""expires":"31.01.2027""#, "the expiry \"31.01.2027\" is not a date; write it as \"2027-01-31\""),
        (r#""scope":["notes:read"]"#, "the field \"scope\" is unknown; write `scopes`"),
        (
            r#""colour":"red""#,
            "the field \"colour\" is unknown; use `id`, `name`, `sha256`, `identity`, `scopes`, `expires`",
        ),
        (r#""sha256":7"#, "`sha256` is not a string; write it in quotes"),
        (r#""sha256":null"#, "the field `sha256` is missing; the command `key new` prints a valid line"),
        (r#""name":"""#, "the name \"\" must have 1 to 64 characters"),
        (r#""identity":"a\nb""#, "the identity \"a\\nb\" must have 1 to 255 characters without control characters"),
        (
            r#""id":"acme_012345678901""#,
            "the id has the prefix \"acme\", and the accepted prefix is \"mcpk\"; use a key with that prefix, or set the prefix of the \
             keys (`ApiKeys::prefix`, or `--prefix` of the command)",
        ),
        (r#""id":"0123""#, "the id is not \"mcpk_\" and 12 letters and digits"),
        (r#""name":"x","name":"y""#, "the line is not a JSON object with unique names"),
        (r#""scopes":["notes:admin"]"#, ""),
    ];
    let mut file = KeyFile::new("# every mistake\n");
    // The comment is the first line.
    let lines: Vec<_> = (1..).zip(rows).map(|(number, (member, _))| line(number, member)).collect();
    file.write(&lines.join("\n"));
    let error = error_of(ApiKeys::from_file(file.path()));
    assert_eq!(error.kind(), BuildErrorKind::ApiKeys);
    let text = error.to_string();
    for (number, (_, expected)) in (1..).zip(rows) {
        let place = format!(" line {number}: ");
        assert_eq!(text.contains(&place), !expected.is_empty(), "line {number}: {text}");
        assert!(
            text.contains(&[&place, *expected].concat()) || expected.is_empty(),
            "line {number}: {expected}\n{text}"
        );
    }
    assert!(!text.contains(key.expose()) && text.contains(&file.path().display().to_string()), "{text}");
}

#[test]
fn a_line_that_is_only_a_secret_is_not_repeated() {
    let key = ApiKey::generate().unwrap();
    for secret in [key.expose(), "hunter2", "\"hunter2\"", "{\"hunter2\"}", "[\"hunter2\"]", "{\"id\":\"hunter2\"}x"] {
        let mut file = KeyFile::new("");
        file.write(secret);
        let error = error_of(ApiKeys::from_file(file.path()));
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("line 1: ") && !text.contains("hunter2") && !text.contains(key.expose()), "{text}");
        }
    }
}

#[test]
fn mistakes_in_code_name_the_key() {
    let key = ApiKey::generate().unwrap();
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let id = "mcpk_0123456789AB";
    for (stored, expected) in [
        (StoredKey::new("ci", id, "short"), "the key \"ci\": `sha256` is not 64 hexadecimal digits"),
        (StoredKey::new("ci", id, key.expose()), "an API key is written here in plain text"),
        (StoredKey::new("ci", key.expose(), DIGEST), "an API key is written here in plain text"),
        (StoredKey::new("ci", "mcpk_é", DIGEST), "the id is not \"mcpk_\" and 12 letters and digits"),
        (StoredKey::new("ci", id, DIGEST).expires_at(late), "the expiry is not between the years 1970 and 9999"),
        (StoredKey::new("ci", id, DIGEST).expires_at(early), "the expiry is not between the years 1970 and 9999"),
        (
            StoredKey::new("ci", id, DIGEST).scopes(["notes:delete"]),
            "the scope \"notes:delete\" is not one of `scopes_supported`; add it there, or remove it from the key",
        ),
    ] {
        let text = error_of(ApiKeys::new().key(stored)).to_string();
        assert!(text.contains(expected) && !text.contains(key.expose()), "{text}");
    }
    let twice = ApiKeys::new().key(key.stored_as("ci")).key(key.stored_as("ci"));
    let text = error_of(twice).to_string();
    assert!(
        text.contains("the name \"ci\" is used twice")
            && text.contains("is used twice, first by the key \"ci\"; remove"),
        "{text}"
    );
}

#[test]
fn a_prefix_that_cannot_be_used_and_a_missing_file_are_errors_with_a_repair() {
    let text = error_of(ApiKeys::new().prefix("Acme")).to_string();
    assert!(text.contains("the prefix \"Acme\"") && text.contains("lower-case letters"), "{text}");
    let text = error_of(ApiKeys::from_file("/does/not/exist")).to_string();
    assert!(text.contains("\"/does/not/exist\" cannot be read; check its path and its permissions"), "{text}");
    let mut file = KeyFile::new("");
    file.write_bytes(b"\xff\xfe");
    assert!(error_of(ApiKeys::from_file(file.path())).to_string().contains("it is not UTF-8"));
}

#[test]
fn without_scopes_supported_every_scope_is_accepted() {
    let keys = ApiKeys::new().key(StoredKey::new("ci", "mcpk_0123456789AB", DIGEST).scopes(["anything"]));
    assert!(ResourceServer::builder(RESOURCE).api_keys(keys).build_lazy().is_ok());
}
