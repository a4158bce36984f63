//! The committed JSON Schema is current, and says what the code accepts.

use std::path::Path;

use mcp_bearer::settings::Settings;

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
