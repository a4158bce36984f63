//! JSON Schemas, and those of types that do not have one.

use schemars::{Schema, SchemaGenerator, json_schema};

pub(super) use schemars::JsonSchema;

/// The schema of a type.
pub(super) fn schema_for<T: JsonSchema>() -> serde_json::Value {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

pub(super) fn secret(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "writeOnly": true })
}

pub(super) fn algorithm(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": NAMES })
}

pub(super) fn algorithms(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["array", "null"], "items": { "enum": NAMES } })
}

const NAMES: [&str; 10] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
