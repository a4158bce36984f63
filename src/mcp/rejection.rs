//! Rejections in JSON-RPC and as the results of tool calls.

use bytes::Bytes;
use serde_json::{Value, json};

use super::OperationFailure;
use crate::bearer::{Rejection, RejectionKind};

impl Rejection {
    /// Rejects an operation, whatever the access token. `request_id` is the `id` of the JSON-RPC request, as JSON.
    pub(super) fn for_operation(failure: OperationFailure, request_id: Option<&str>) -> Self {
        let rejection = Self::new(failure.into());
        let body = json_rpc_error(failure.json_rpc_code(), rejection.description(), request_id);
        rejection.with_body(body)
    }

    /// Rejects a request with a forbidden `Origin`, as the servers of the MCP SDKs do.
    pub(crate) fn for_origin() -> Self {
        let rejection = Self::new(RejectionKind::Origin);
        let body = json_rpc_error(FORBIDDEN_ORIGIN, rejection.description(), None);
        rejection.with_body(body)
    }

    /// The rejection as the result of a tool call, for the `result` member of the JSON-RPC response.
    ///
    /// ChatGPT ignores the status 401 or 403 of a tool call. It starts a login only if the result is an error and has the
    /// challenge in `_meta["mcp/www_authenticate"]`. It also needs an error code there. A missing token has no code in a
    /// header (RFC 6750, section 3.1), and is an `invalid_token` here.
    ///
    /// ```
    /// use mcp_bearer::AuthInfo;
    /// use serde_json::{Value, json};
    ///
    /// fn delete_note(auth: &AuthInfo) -> Value {
    ///     if let Err(rejection) = auth.require_scopes(["notes:write"]) {
    ///         return rejection.to_tool_result();
    ///     }
    ///     json!({ "content": [{ "type": "text", "text": "deleted" }] })
    /// }
    /// ```
    #[must_use]
    pub fn to_tool_result(&self) -> Value {
        let challenge = self.challenge_with(Some(self.error_code().unwrap_or("invalid_token")));
        let challenge = challenge.as_ref().and_then(|challenge| challenge.to_str().ok());
        let mut result = json!({ "content": [{ "type": "text", "text": self.description() }], "isError": true });
        if let (Some(challenge), Some(result)) = (challenge, result.as_object_mut()) {
            result.insert("_meta".to_owned(), json!({ "mcp/www_authenticate": [challenge] }));
        }
        result
    }
}

/// JSON would escape none of the characters of `message`.
fn json_rpc_error(code: i32, message: &str, request_id: Option<&str>) -> Bytes {
    let id = request_id.map(|id| format!("\"id\":{id},")).unwrap_or_default();
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",{id}\"error\":{{\"code\":{code},\"message\":\"{message}\"}}}}"))
}

/// One of the codes that a server may define (JSON-RPC 2.0, section 5.1).
const FORBIDDEN_ORIGIN: i32 = -32_000;
