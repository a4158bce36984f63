//! The caller of a request in the handlers of an [rmcp](https://docs.rs/rmcp) server. This is the only file that names rmcp.
//!
//! A tool or a prompt can have an [`AuthInfo`] parameter. Other handlers get it from the request context by
//! [`RequestContextExt`], as in the [guide](crate::guide::mcp_servers).
//!
//! ```
//! use mcp_bearer::AuthInfo;
//! use rmcp::{ErrorData, tool, tool_router};
//!
//! #[derive(Clone)]
//! struct Notes;
//!
//! #[tool_router]
//! impl Notes {
//!     #[tool(description = "Deletes all notes")]
//!     fn delete_notes(&self, auth: AuthInfo) -> Result<String, ErrorData> {
//!         auth.require_scopes(["notes:write"])?;
//!         Ok("deleted".to_owned())
//!     }
//! }
//! ```

use ::rmcp::ErrorData;
use ::rmcp::handler::server::common::{AsRequestContext, FromContextPart};
use ::rmcp::model::{CallToolResult, ContentBlock, ErrorCode};
use ::rmcp::service::{RequestContext, RoleServer};
use http::request::Parts;
use serde_json::json;

use crate::bearer::{AuthInfo, Rejection, RejectionKind, log};

/// Returns the caller from rmcp's request context.
pub trait RequestContextExt {
    /// The caller of the request.
    ///
    /// # Errors
    /// A rejection with a challenge if the request does not have an access token. An internal error if no layer covers the
    /// endpoint, or if the transport is not HTTP. The `?` operator converts it to an [`ErrorData`], and
    /// [`CallToolResult::from`] to the result of a tool.
    fn auth_info(&self) -> Result<&AuthInfo, Rejection>;

    /// The caller of the request. `None` if the layer accepted the request without an access token.
    ///
    /// # Errors
    /// An internal error if no layer covers the endpoint, or if the transport is not HTTP. A forgotten layer must not make
    /// every request anonymous.
    fn optional_auth_info(&self) -> Result<Option<&AuthInfo>, Rejection>;
}

impl RequestContextExt for RequestContext<RoleServer> {
    fn auth_info(&self) -> Result<&AuthInfo, Rejection> {
        AuthInfo::from_parts(parts(self)?)
    }

    fn optional_auth_info(&self) -> Result<Option<&AuthInfo>, Rejection> {
        AuthInfo::optional_from_parts(parts(self)?)
    }
}

/// The HTTP request of a context.
fn parts(context: &RequestContext<RoleServer>) -> Result<&Parts, Rejection> {
    context.extensions.get::<Parts>().ok_or_else(|| {
        log::misconfigured_outside(
            "no_http",
            None,
            "rmcp has no HTTP request for this call: `AuthInfo` needs its streamable HTTP transport",
        );
        Rejection::new(RejectionKind::Internal)
    })
}

/// The caller of the request, as a parameter of a tool or a prompt.
impl<C: AsRequestContext> FromContextPart<C> for AuthInfo {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Ok(context.as_request_context().auth_info()?.clone())
    }
}

/// A handler rejects a request with a JSON-RPC error, because the HTTP status is 200 already.
impl From<Rejection> for ErrorData {
    fn from(rejection: Rejection) -> Self {
        let challenge = rejection.challenge();
        let challenge = challenge.as_ref().and_then(|challenge| challenge.to_str().ok());
        let data = json!({ "error": rejection.error_code(), "www_authenticate": challenge });
        let code = if challenge.is_some() { FORBIDDEN } else { ErrorCode::INTERNAL_ERROR };
        Self::new(code, rejection.description(), Some(data))
    }
}

/// For clients that start a login only at the result of a tool: see [`Rejection::to_tool_result`].
impl From<Rejection> for CallToolResult {
    fn from(rejection: Rejection) -> Self {
        serde_json::from_value(rejection.to_tool_result())
            .unwrap_or_else(|_| Self::error(vec![ContentBlock::text(rejection.description())]))
    }
}

/// One of the codes that a server may define: -32000 to -32099 (JSON-RPC 2.0, section 5.1).
const FORBIDDEN: ErrorCode = ErrorCode(-32_003);
