//! Messages written down as the wire has them.

use rmcp::ErrorData;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `message` as a type of rmcp.
pub(crate) fn shape<T: DeserializeOwned>(message: Value) -> Result<T, ErrorData> {
    serde_json::from_value(message).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// The same for a result, which is complete if it says nothing else. rmcp drops that word where a revision does not
/// know it.
pub(crate) fn result<T: DeserializeOwned>(mut message: Value) -> Result<T, ErrorData> {
    if let Some(members) = message.as_object_mut() {
        members.entry("resultType").or_insert_with(|| "complete".into());
    }
    shape(message)
}
