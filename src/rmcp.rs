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
use ::rmcp::handler::server::router::tool::ToolRouter;
use ::rmcp::model::{CallToolResult, ContentBlock, ErrorCode};
use ::rmcp::service::{RequestContext, RoleServer};
use http::request::Parts;
use serde_json::json;

use crate::bearer::{AuthInfo, Rejection, RejectionKind, log};
use crate::error::{BuildError, valid_or_panic};
use crate::mcp::{McpLayer, McpScopes};
use crate::server::ResourceServer;

impl ResourceServer {
    /// [`mcp_layer`](Self::mcp_layer) for an rmcp server with these tools. It finds rules for tools that do not exist.
    ///
    /// Tools without a rule are logged once, at `info`, unless [`any_tool`](McpScopes::any_tool) or
    /// [`deny_unlisted`](McpScopes::deny_unlisted) covers them. For prompts, give
    /// [`known_prompts`](McpScopes::known_prompts) the names of the prompt router.
    ///
    /// ```
    /// use mcp_bearer::{McpLayer, McpScopes, ResourceServer};
    /// use rmcp::handler::server::router::prompt::PromptRouter;
    /// use rmcp::model::{PromptMessage, Role};
    /// use rmcp::{prompt, prompt_router, tool, tool_router};
    ///
    /// struct Notes;
    ///
    /// #[tool_router]
    /// impl Notes {
    ///     #[tool(description = "Adds a note")]
    ///     fn add_note(&self) {}
    /// }
    ///
    /// #[prompt_router]
    /// impl Notes {
    ///     #[prompt(description = "Sums up the notes")]
    ///     async fn summary(&self) -> Vec<PromptMessage> {
    ///         vec![PromptMessage::new_text(Role::User, "Sum up my notes")]
    ///     }
    /// }
    ///
    /// fn layer(server: &ResourceServer) -> McpLayer {
    ///     let prompts: PromptRouter<Notes> = Notes::prompt_router();
    ///     let scopes = McpScopes::new()
    ///         .tool("add_note", ["notes:write"])
    ///         .prompt("summary", ["notes:read"])
    ///         .known_prompts(prompts.list_all().into_iter().map(|prompt| prompt.name));
    ///     server.mcp_layer_for(&Notes::tool_router(), scopes)
    /// }
    /// # use mcp_bearer::testing::TestIssuer;
    /// # let auth = TestIssuer::new("https://auth.example.com");
    /// # let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer());
    /// # let _ = layer(&server.build_lazy().unwrap());
    /// ```
    ///
    /// # Panics
    /// If a rule is for a tool that `tools` does not have, and where `mcp_layer` panics.
    /// [`try_mcp_layer_for`](Self::try_mcp_layer_for) returns an error instead.
    #[track_caller]
    pub fn mcp_layer_for<S>(&self, tools: &ToolRouter<S>, scopes: McpScopes) -> McpLayer {
        valid_or_panic(self.try_mcp_layer_for(tools, scopes))
    }

    /// [`mcp_layer_for`](Self::mcp_layer_for) for rules from a configuration.
    ///
    /// # Errors
    /// [`BuildErrorKind::Scope`](crate::BuildErrorKind::Scope) or [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting)
    /// where `mcp_layer_for` panics.
    pub fn try_mcp_layer_for<S>(&self, tools: &ToolRouter<S>, scopes: McpScopes) -> Result<McpLayer, BuildError> {
        // A disabled tool exists, and may be enabled later.
        let mut names: Vec<_> = tools.map.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        self.try_mcp_layer(scopes.known_tools(names))
    }
}

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
