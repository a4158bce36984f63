//! The configuration from a file: what it can hold, how mistakes are reported, and that it configures what code configures.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test that cannot go on says so"
)]

mod behaviour;
mod env;
mod formats;
mod guide;
mod mistakes;
mod options;
mod schema;
mod secrets;

use mcp_bearer::settings::Settings;
use serde_json::{Value, json};

const RESOURCE: &str = "https://mcp.example.com/mcp";
const ISSUER: &str = "https://auth.example.com";

/// The settings in a TOML document.
fn toml(text: &str) -> Settings {
    toml::from_str(text).unwrap()
}

/// The settings in a JSON document, after members are added to the smallest valid one.
fn with(members: Value) -> Settings {
    let mut document = json!({ "resource": RESOURCE, "issuers": [{ "url": ISSUER }] });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

/// The mistakes, one line for each.
fn mistakes(settings: &Settings) -> Vec<String> {
    match settings.builder() {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes().map(ToString::to_string).collect(),
    }
}
