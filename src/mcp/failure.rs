use http::StatusCode;
use serde_json::{Value, json};

use crate::bearer::{FailureTexts, Rejection, RejectionKind, RequestFailure};

/// Why the MCP layer rejects a request, if the reason is its body, its headers, its operation or its session.
///
/// The response does not have a challenge. Another access token helps only with [`Unreadable`](Self::Unreadable) and
/// [`UnknownSession`](Self::UnknownSession). A [`Rejection`] for one of these has the kind [`RejectionKind::Request`]. The two
/// can be compared:
///
/// ```
/// use mcp_bearer::Rejection;
/// use mcp_bearer::mcp::OperationFailure;
///
/// fn is_unknown_session(rejection: &Rejection) -> bool {
///     rejection.kind() == OperationFailure::UnknownSession.into()
/// }
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.label())]
pub enum OperationFailure {
    /// 413: the body is larger than the limit.
    TooLarge,
    /// 408: the body does not arrive in time.
    TooSlow,
    /// 400: the connection fails before the body is complete.
    Incomplete,
    /// 400: the body is ambiguous or is not a JSON-RPC message, and the access token does not satisfy every rule.
    Unreadable,
    /// 400, JSON-RPC error -32020: `Mcp-Method` or `Mcp-Name` contradicts the body (MCP 2026-07-28).
    HeaderMismatch,
    /// 403: no rule lists the tool, prompt or resource, and only listed ones may be used.
    Unlisted,
    /// 404: the session does not exist, or belongs to another caller.
    UnknownSession,
}

impl OperationFailure {
    /// All failures.
    pub const ALL: &[Self] = &[
        Self::TooLarge,
        Self::TooSlow,
        Self::Incomplete,
        Self::Unreadable,
        Self::HeaderMismatch,
        Self::Unlisted,
        Self::UnknownSession,
    ];

    /// The failure of a rejection by the MCP layer; `None` for any other rejection.
    #[must_use]
    pub fn from_rejection(rejection: &Rejection) -> Option<Self> {
        Self::ALL.iter().copied().find(|failure| rejection.kind() == (*failure).into())
    }

    /// The fixed sentence that the client reads.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.request_failure().description()
    }

    /// The stable label of the log's `cause` field.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.request_failure().label()
    }

    const fn request_failure(self) -> RequestFailure {
        let (status, texts) = match self {
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                &FailureTexts {
                    label: "too_large",
                    description: "The request body is too large",
                    summary: "body too large",
                    advice: "if the client needs such bodies, raise `McpLayer::max_body`",
                },
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                &FailureTexts {
                    label: "too_slow",
                    description: "The request body did not arrive in time",
                    summary: "body too slow",
                    advice: "check the network, and whether a proxy holds the body back: it must arrive within 30 s",
                },
            ),
            Self::Incomplete => (
                StatusCode::BAD_REQUEST,
                &FailureTexts {
                    label: "incomplete",
                    description: "The request body is incomplete",
                    summary: "body incomplete",
                    advice: "the connection failed before the body was complete: check the client and the proxies",
                },
            ),
            Self::Unreadable => (
                StatusCode::BAD_REQUEST,
                &FailureTexts {
                    label: "unreadable",
                    description: "The request body cannot be read with certainty",
                    summary: "ambiguous or malformed body",
                    advice: "send one JSON-RPC message in UTF-8, without a content coding, without repeated names and with \
                         canonical URIs; a token that has the scopes of every rule may send any body",
                },
            ),
            Self::HeaderMismatch => (
                StatusCode::BAD_REQUEST,
                &FailureTexts {
                    label: "header_mismatch",
                    description: "The headers Mcp-Method and Mcp-Name do not match the request body",
                    summary: "`Mcp-Method` or `Mcp-Name` contradicts the body",
                    advice: "the client, or a proxy, must send headers that repeat the body (MCP 2026-07-28), or none",
                },
            ),
            Self::Unlisted => (
                StatusCode::FORBIDDEN,
                &FailureTexts {
                    label: "unlisted",
                    description: "The operation is not offered",
                    summary: "operation without a rule",
                    advice: "write a rule for it in `McpScopes`, or leave out `deny_unlisted`",
                },
            ),
            Self::UnknownSession => (
                StatusCode::NOT_FOUND,
                &FailureTexts {
                    label: "unknown_session",
                    description: "Session not found",
                    summary: "unknown session",
                    advice: "the client must start a new session; if sessions must survive a restart or work on several \
                         machines, call `bind_sessions_with_key`",
                },
            ),
        };
        RequestFailure { status, texts, is_of_session: matches!(self, Self::UnknownSession) }
    }

    /// JSON-RPC 2.0, section 5.1, and what MCP adds to it.
    const fn json_rpc_code(self) -> i32 {
        match self {
            Self::TooLarge | Self::TooSlow | Self::Incomplete | Self::Unreadable => -32_600,
            Self::HeaderMismatch => -32_020,
            Self::Unlisted => -32_602,
            // The servers of the MCP SDKs use it.
            Self::UnknownSession => -32_001,
        }
    }
}

impl From<OperationFailure> for RejectionKind {
    fn from(failure: OperationFailure) -> Self {
        Self::Request(failure.request_failure())
    }
}

impl Rejection {
    /// Answers with a JSON-RPC error. `request_id` is the `id` of the JSON-RPC request, as JSON.
    pub(super) fn for_operation(failure: OperationFailure, request_id: Option<&str>) -> Self {
        Self::json_rpc_error(failure.into(), failure.json_rpc_code(), request_id)
    }

    /// Rejects a request with a forbidden `Origin`, as the servers of the MCP SDKs do.
    pub(crate) fn for_origin() -> Self {
        Self::json_rpc_error(RejectionKind::Origin, -32_000, None)
    }

    fn json_rpc_error(kind: RejectionKind, code: i32, request_id: Option<&str>) -> Self {
        let mut rejection = Self::new(kind);
        let id = request_id.map(|id| format!("\"id\":{id},")).unwrap_or_default();
        // JSON would escape none of the characters of a description.
        let error = format!("{{\"code\":{code},\"message\":\"{}\"}}", rejection.description());
        rejection.body = Some(format!("{{\"jsonrpc\":\"2.0\",{id}\"error\":{error}}}").into());
        rejection
    }

    /// The rejection as the result of a tool call, for the `result` member of the JSON-RPC response.
    ///
    /// ChatGPT ignores the status 401 or 403 of a tool call. It starts a login only if the result is an error and has the
    /// challenge in `_meta["mcp/www_authenticate"]`. It also needs an error code there. A missing token does not have a code in a
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_found_in_its_rejection() {
        for failure in OperationFailure::ALL.iter().copied() {
            assert_eq!(OperationFailure::from_rejection(&Rejection::new(failure.into())), Some(failure));
        }
        assert_eq!(OperationFailure::from_rejection(&Rejection::new(RejectionKind::Internal)), None);
    }

    #[test]
    fn the_body_is_json_with_the_description() {
        let failures = OperationFailure::ALL.iter();
        let rejections = failures.map(|failure| Rejection::for_operation(*failure, Some("\"a-1\"")));
        for rejection in rejections.chain([Rejection::for_origin()]) {
            let description = rejection.description();
            assert!(description.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'), "{description}");
            let body: Value = serde_json::from_slice(rejection.to_response().body()).unwrap();
            assert_eq!(body["error"]["message"], description);
        }
    }
}
