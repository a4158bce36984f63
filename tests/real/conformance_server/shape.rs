//! Converts JSON messages into types of rmcp.

use rmcp::ErrorData;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Converts `message` into a type of rmcp.
pub(crate) fn shape<T: DeserializeOwned>(message: Value) -> Result<T, ErrorData> {
    serde_json::from_value(message).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// Converts a result, which is marked as complete by default. rmcp removes that mark for revisions that do not know it.
pub(crate) fn result<T: DeserializeOwned>(mut message: Value) -> Result<T, ErrorData> {
    if let Some(members) = message.as_object_mut() {
        members.entry("resultType").or_insert_with(|| "complete".into());
    }
    shape(message)
}
