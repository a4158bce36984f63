//! The committed JSON Schema is current, and says what the code accepts.

use std::path::Path;

use mcp_bearer::settings::Settings;
use mcp_bearer::testing::TestIssuer;
use serde_json::{Value, json};

use crate::{ISSUER, mistakes, with};

const WRITE: &str = "MCP_BEARER_WRITE_SCHEMA";

#[test]
fn the_committed_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("settings.schema.json");
    let current = format!("{:#}\n", Settings::json_schema());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == current,
        "settings.schema.json is not current: run the test with {WRITE}=1, and commit the file"
    );
}

/// The tables with ranges: their definition in the schema, and a document with one member in that table.
fn tables() -> [(&'static str, InTable); 4] {
    [
        ("", |member| member),
        ("/$defs/IssuerSettings", |member| json!({ "issuers": [merged(json!({ "url": ISSUER }), member)] })),
        ("/$defs/IntrospectionSettings", |member| {
            let introspection = merged(json!({ "client_id": "rs", "client_secret": "s" }), member);
            json!({ "issuers": [{ "url": ISSUER, "introspection": introspection }] })
        }),
        ("/$defs/McpSettings", |member| {
            let largest = json!({ "max_body": 64 * 1024 * 1024 });
            json!({ "mcp": merged(largest, member) })
        }),
    ]
}

/// Puts a member into its table.
type InTable = fn(Value) -> Value;

fn merged(mut table: Value, member: Value) -> Value {
    table.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
    table
}

#[test]
fn the_ranges_are_those_of_the_code() {
    let schema = Settings::json_schema();
    let mut checked = 0;
    let saved = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schema-{}.json", std::process::id()));
    std::fs::write(&saved, TestIssuer::new(ISSUER).jwk_set().to_string()).unwrap();
    for (definition, document) in tables() {
        for (name, property) in schema.pointer(definition).unwrap()["properties"].as_object().unwrap() {
            let is_number =
                property["type"].as_array().is_some_and(|types| types[0] == "number" || types[0] == "integer");
            if !is_number {
                continue;
            }
            let found = |value: Value| {
                let mut member = json!({ name.as_str(): value });
                // It has an effect only with a file.
                if name == "max_seed_age_seconds" {
                    member["jwks_file"] = json!(saved);
                }
                mistakes(&with(document(member)))
            };
            let step = if property["type"][0] == "number" { json!(0.001) } else { json!(1) };
            let shifted = |bound: &Value, sign: f64| {
                let shifted = bound.as_f64().unwrap() + sign * step.as_f64().unwrap();
                if step.is_f64() { json!(shifted) } else { json!(shifted as i64) }
            };
            if name == "max_token_lifetime_seconds" {
                assert_eq!((found(json!(0)).len(), found(json!(0.001)).len()), (1, 0), "{name}");
                continue;
            }
            let (least, most) = (&property["minimum"], &property["maximum"]);
            assert!(least.is_number() && most.is_number(), "{name} does not have a range: {property}");
            for bound in [least, most] {
                let value = if step.is_f64() { bound.clone() } else { json!(bound.as_f64().unwrap() as i64) };
                assert_eq!(found(value), [""; 0], "{name} {bound}");
            }
            for value in [shifted(least, -1.0), shifted(most, 1.0)] {
                let found = found(value.clone());
                assert!(found.len() == 1 && found[0].contains(name.as_str()), "{name} {value}: {found:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn every_table_is_closed_and_every_field_is_described() {
    let schema = Settings::json_schema();
    let definitions = schema["$defs"].as_object().unwrap().iter().map(|(name, definition)| (name.as_str(), definition));
    let tables = definitions.chain([("Settings", &schema)]).filter(|(_, table)| table["type"] == "object");
    let mut seen = 0;
    for (name, table) in tables {
        assert_eq!(table["additionalProperties"], false, "{name}");
        assert!(table["description"].is_string(), "{name}");
        for (field, property) in table["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name}.{field}");
        }
        seen += 1;
    }
    assert!(seen > 8, "{seen}");
}
