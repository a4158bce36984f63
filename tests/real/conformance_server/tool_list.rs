//! The list of tools.

use serde_json::{Value, json};

use crate::{content, conversation, input_required};

/// Tools that announce a change of a list.
pub(crate) const TRIGGERS: [(&str, &str); 2] = [
    ("test_trigger_tool_change", "Announces a change of the list of tools"),
    ("test_trigger_prompt_change", "Announces a change of the list of prompts"),
];
/// Tools whose schema the suite checks.
pub(crate) const SCHEMA: &str = "json_schema_2020_12_tool";
pub(crate) const HEADER: &str = "test_header_argument";

pub(crate) fn list() -> Value {
    let plain = content::TOOLS.iter().chain(&conversation::TOOLS).chain(&input_required::TOOLS).chain(&TRIGGERS);
    let nothing = json!({ "type": "object" });
    let mut tools: Vec<_> = plain.map(|(name, description)| tool(name, description, nothing.clone())).collect();
    tools.extend([
        tool("test_sampling", "Asks the model", object("prompt", json!({ "type": "string" }))),
        tool("test_elicitation", "Asks the user", object("message", json!({ "type": "string" }))),
        tool(SCHEMA, "Has a schema with many keywords", schema()),
        tool(
            HEADER,
            "Has an argument that is also in a header",
            object("region", json!({ "type": "string", "x-mcp-header": "Region" })),
        ),
    ]);
    json!({ "tools": tools })
}

fn tool(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "description": description, "inputSchema": schema })
}

/// The schema of one required argument.
fn object(argument: &str, schema: Value) -> Value {
    json!({ "type": "object", "properties": { argument: schema }, "required": [argument] })
}

/// The keywords that the suite expects.
fn schema() -> Value {
    let city = json!({ "city": { "type": "string" } });
    let phone = json!({ "required": ["phone"] });
    let email = json!({ "required": ["email"] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": { "$anchor": "address", "type": "object", "properties": city } },
        "properties": {
            "address": { "$ref": "#/$defs/address" },
            "by": { "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [phone, email] }],
        "if": { "properties": { "by": { "const": "phone" } }, "required": ["by"] },
        "then": phone,
        "else": email,
        "additionalProperties": false,
    })
}
