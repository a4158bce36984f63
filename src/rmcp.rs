//! Who calls, in the handlers of an [rmcp](https://docs.rs/rmcp) server: the only file that names that crate.
//!
//! A tool or a prompt takes an [`AuthInfo`] as a parameter. Handlers that get the request context ask it:
//!
//! ```
//! use mcp_bearer::AuthInfo;
//! use mcp_bearer::rmcp::RequestContextExt as _;
//! use rmcp::handler::server::wrapper::Parameters;
//! use rmcp::model::{ListToolsResult, PaginatedRequestParams};
//! use rmcp::service::{RequestContext, RoleServer};
//! use rmcp::{ErrorData, ServerHandler, tool, tool_router};
//!
//! #[derive(Clone)]
//! struct Notes;
//!
//! #[tool_router]
//! impl Notes {
//!     #[tool(description = "Tells who you are")]
//!     fn whoami(&self, auth: AuthInfo) -> String {
//!         auth.subject().unwrap_or("service").to_owned()
//!     }
//!
//!     #[tool(description = "Forgets everything")]
//!     fn forget(&self, auth: AuthInfo) -> Result<String, ErrorData> {
//!         auth.require_scopes(["notes:write"])?;
//!         Ok("forgotten".to_owned())
//!     }
//! }
//!
//! impl ServerHandler for Notes {
//!     async fn list_tools(
//!         &self,
//!         _: Option<PaginatedRequestParams>,
//!         context: RequestContext<RoleServer>,
//!     ) -> Result<ListToolsResult, ErrorData> {
//!         let all = Self::tool_router().list_all();
//!         let usable = context.auth_info()?.has_scope("notes:write");
//!         Ok(ListToolsResult::with_all_items(if usable { all } else { Vec::new() }))
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

/// Asks rmcp's request context who calls.
pub trait RequestContextExt {
    /// Who makes the request.
    ///
    /// # Errors
    /// The bearer layer's challenge if the request came without a token; an internal error if no layer has seen it, as with
    /// a transport that is not HTTP. A `?` makes an [`ErrorData`] of it, [`CallToolResult::from`] the result of a tool.
    fn auth_info(&self) -> Result<&AuthInfo, Rejection>;

    /// The caller of the request, or `None` where the bearer layer allows anonymous requests and this is one.
    ///
    /// # Errors
    /// An internal error if no layer has seen the request, as with a transport that is not HTTP: a tool must not take
    /// everybody for anonymous because a layer was forgotten.
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

/// The HTTP request that a context is for.
fn parts(context: &RequestContext<RoleServer>) -> Result<&Parts, Rejection> {
    context.extensions.get::<Parts>().ok_or_else(|| {
        log::misconfigured_outside(
            "no_http",
            None,
            "rmcp has no HTTP request here: `AuthInfo` comes with its streamable HTTP transport only",
        );
        Rejection::new(RejectionKind::Internal)
    })
}

/// Who makes the request, as a parameter of a tool or a prompt.
impl<C: AsRequestContext> FromContextPart<C> for AuthInfo {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Ok(context.as_request_context().auth_info()?.clone())
    }
}

/// By now the status is 200: what a handler refuses is refused in JSON-RPC.
impl From<Rejection> for ErrorData {
    fn from(rejection: Rejection) -> Self {
        let challenge = rejection.challenge();
        let challenge = challenge.as_ref().and_then(|challenge| challenge.to_str().ok());
        let data = json!({ "error": rejection.error_code(), "www_authenticate": challenge });
        let code = if challenge.is_some() { FORBIDDEN } else { ErrorCode::INTERNAL_ERROR };
        Self::new(code, rejection.description(), Some(data))
    }
}

/// For clients that start a login only at such a result: see [`Rejection::to_tool_result`].
impl From<Rejection> for CallToolResult {
    fn from(rejection: Rejection) -> Self {
        serde_json::from_value(rejection.to_tool_result())
            .unwrap_or_else(|_| Self::error(vec![ContentBlock::text(rejection.description())]))
    }
}

/// One of the codes that servers may give a meaning of their own (JSON-RPC 2.0, section 5.1: -32000 to -32099).
const FORBIDDEN: ErrorCode = ErrorCode(-32_003);
