//! The resources.

use rmcp::ErrorData;
use serde_json::{Value, json};

use crate::media::png;

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";
/// The texts before and after the variable of the template.
const TEMPLATE: (&str, &str) = ("test://template/", "/data");

pub(crate) fn list() -> Value {
    json!({ "resources": [
        { "uri": TEXT, "name": "text", "description": "A text", "mimeType": "text/plain" },
        { "uri": BINARY, "name": "image", "description": "An image", "mimeType": "image/png" },
        { "uri": WATCHED, "name": "watched", "description": "A text to subscribe to", "mimeType": "text/plain" },
    ] })
}

pub(crate) fn templates() -> Value {
    let (before, after) = TEMPLATE;
    json!({ "resourceTemplates": [{
        "uriTemplate": format!("{before}{{id}}{after}"),
        "name": "data",
        "description": "Data with an id",
        "mimeType": "application/json",
    }] })
}

pub(crate) fn read(uri: &str) -> Result<Value, ErrorData> {
    let content = match uri {
        TEXT => json!({ "uri": uri, "mimeType": "text/plain", "text": "a text that never changes" }),
        BINARY => json!({ "uri": uri, "mimeType": "image/png", "blob": png() }),
        WATCHED => json!({ "uri": uri, "mimeType": "text/plain", "text": "a text that might change" }),
        _ => {
            let id = id_in(uri).ok_or_else(|| not_found(uri))?;
            json!({ "uri": uri, "mimeType": "application/json", "text": json!({ "id": id }).to_string() })
        }
    };
    Ok(json!({ "contents": [content] }))
}

/// Returns an error if the resource for a subscription does not exist.
pub(crate) fn exists(uri: &str) -> Result<(), ErrorData> {
    read(uri).map(drop)
}

fn id_in(uri: &str) -> Option<&str> {
    let (before, after) = TEMPLATE;
    uri.strip_prefix(before)?.strip_suffix(after)
}

fn not_found(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("the resource does not exist", Some(json!({ "uri": uri })))
}
