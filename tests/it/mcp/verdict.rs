//! The outcome of a request as a short text for tables.

use bytes::Bytes;
use http::StatusCode;

use super::server::McpServer;
use crate::support::{Answer, METADATA_URL};

impl McpServer {
    /// Sends a POST request. Returns `OK` if the unchanged body reached the handler once. Otherwise it asserts that
    /// nothing reached the handler, and returns the [`verdict`].
    pub async fn outcome(&self, token: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> String {
        let body = body.into();
        let answer = self.post(token, headers, body.clone()).await;
        let reached = self.take_reached();
        let shown = String::from_utf8_lossy(&body);
        if answer.status != StatusCode::OK {
            assert!(reached.is_empty(), "rejected with {}, but the handler was called: {shown:.200}", answer.status);
            return verdict(&answer);
        }
        assert_eq!(reached.len(), 1, "{shown:.200}");
        assert!(reached[0].body == body, "the body was changed: {shown:.200}");
        "OK".to_owned()
    }
}

/// The status of a rejection, followed by the error code and the scopes of its challenge. An error code that follows
/// from the status is omitted. Without a challenge, it is followed by the code and the id of the JSON-RPC error.
pub fn verdict(answer: &Answer) -> String {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let status = answer.status.as_u16();
    if answer.challenge().is_some() {
        assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(METADATA_URL));
        let scope = answer.parameter("scope").unwrap_or_default();
        return match (status, answer.error().as_deref()) {
            (401, None) | (403, Some("insufficient_scope")) => format!("{status} {scope}"),
            (_, error) => format!("{status} {} {scope}", error.unwrap_or("no error")),
        };
    }
    let json = answer.json();
    if status == 500 {
        return format!("{status} {}", json["error"].as_str().unwrap());
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(json["jsonrpc"], "2.0");
    assert!(json["error"]["message"].is_string());
    let id = json.get("id").map(|id| format!(" {id}")).unwrap_or_default();
    format!("{status} {}{id}", json["error"]["code"])
}
