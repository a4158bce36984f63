//! Tools that respond at once, each with a different kind of content.

use serde_json::{Value, json};

use crate::media::{audio, image};

pub(crate) const TOOLS: [(&str, &str); 6] = [
    ("test_simple_text", "Returns a text"),
    ("test_image_content", "Returns an image"),
    ("test_audio_content", "Returns a sound"),
    ("test_embedded_resource", "Returns a resource"),
    ("test_multiple_content_types", "Returns a text, an image and a resource"),
    ("test_error_handling", "Returns an error"),
];

/// Returns the result of a tool of this module, or `None` for another tool.
pub(crate) fn answer(tool: &str) -> Option<Value> {
    let content = match tool {
        "test_simple_text" => json!([text("nothing but text")]),
        "test_image_content" => json!([image()]),
        "test_audio_content" => json!([audio()]),
        "test_embedded_resource" => json!([resource("test://embedded-resource", "text/plain", "a resource inside")]),
        "test_multiple_content_types" => json!([
            text("text, image and resource"),
            image(),
            resource("test://mixed-content-resource", "application/json", r#"{"answer":42}"#),
        ]),
        "test_error_handling" => return Some(json!({ "content": [text("failed, as expected")], "isError": true })),
        _ => return None,
    };
    Some(json!({ "content": content }))
}

/// A result with one text.
pub(crate) fn only(words: &str) -> Value {
    json!({ "content": [text(words)] })
}

pub(crate) fn text(words: &str) -> Value {
    json!({ "type": "text", "text": words })
}

pub(crate) fn resource(uri: &str, media_type: &str, words: &str) -> Value {
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media_type, "text": words } })
}
