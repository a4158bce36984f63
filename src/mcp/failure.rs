use http::StatusCode;

use crate::bearer::{Rejection, RejectionKind, RequestFailure};

/// Why the MCP layer rejects a request, if no other access token would change that.
///
/// A [`Rejection`] for one of these has the kind [`RejectionKind::Request`]. The two can be compared:
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
    /// The failure of a rejection by the MCP layer; `None` for any other rejection.
    #[must_use]
    pub fn from_rejection(rejection: &Rejection) -> Option<Self> {
        ALL.into_iter().find(|failure| rejection.kind() == (*failure).into())
    }

    /// The fixed sentence that the client reads.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.parts().2
    }

    /// The stable label of the log's `cause` field.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.parts().1
    }

    /// JSON-RPC 2.0, section 5.1, and what MCP adds to it.
    pub(super) const fn json_rpc_code(self) -> i32 {
        self.parts().3
    }

    const fn parts(self) -> (StatusCode, &'static str, &'static str, i32) {
        match self {
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request body is too large", INVALID_REQUEST)
            }
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "too_slow", "The request body did not arrive in time", INVALID_REQUEST)
            }
            Self::Incomplete => {
                (StatusCode::BAD_REQUEST, "incomplete", "The request body is incomplete", INVALID_REQUEST)
            }
            Self::Unreadable => {
                let description = "The request body cannot be read with certainty";
                (StatusCode::BAD_REQUEST, "unreadable", description, INVALID_REQUEST)
            }
            Self::HeaderMismatch => {
                let description = "The headers Mcp-Method and Mcp-Name do not match the request body";
                (StatusCode::BAD_REQUEST, "header_mismatch", description, HEADER_MISMATCH)
            }
            Self::Unlisted => (StatusCode::FORBIDDEN, "unlisted", "The operation is not offered", INVALID_PARAMS),
            Self::UnknownSession => (StatusCode::NOT_FOUND, "unknown_session", "Session not found", SESSION_NOT_FOUND),
        }
    }
}

impl From<OperationFailure> for RejectionKind {
    fn from(failure: OperationFailure) -> Self {
        let (status, label, description, _) = failure.parts();
        Self::Request(RequestFailure { status, label, description })
    }
}

const ALL: [OperationFailure; 7] = [
    OperationFailure::TooLarge,
    OperationFailure::TooSlow,
    OperationFailure::Incomplete,
    OperationFailure::Unreadable,
    OperationFailure::HeaderMismatch,
    OperationFailure::Unlisted,
    OperationFailure::UnknownSession,
];
const INVALID_REQUEST: i32 = -32_600;
const INVALID_PARAMS: i32 = -32_602;
const HEADER_MISMATCH: i32 = -32_020;
/// The code that the servers of the MCP SDKs use.
const SESSION_NOT_FOUND: i32 = -32_001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_found_in_its_rejection() {
        for failure in ALL {
            assert_eq!(OperationFailure::from_rejection(&Rejection::new(failure.into())), Some(failure));
        }
        assert_eq!(OperationFailure::from_rejection(&Rejection::new(RejectionKind::Internal)), None);
    }
}
