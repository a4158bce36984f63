//! The tools. Who calls them is in the request that rmcp hands over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use mcp_bearer::AuthInfo;
use rmcp::handler::server::common::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde_json::{Value, json};

/// Notes of each user, in memory.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    by_owner: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

/// What `add_note` takes.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NewNote {
    /// The note's text.
    text: String,
}

#[tool_router]
impl Notes {
    #[tool(description = "Tells who you are to this server: subject, client, scopes and issuer of your token")]
    fn whoami(&self, Extension(request): Extension<Parts>) -> Result<CallToolResult, ErrorData> {
        let auth = caller(&request)?;
        Ok(answer(&json!({
            "subject": auth.subject(),
            "client_id": auth.client_id(),
            "scopes": auth.scopes().iter().collect::<Vec<_>>(),
            "issuer": auth.issuer(),
        })))
    }

    #[tool(description = "Lists your notes")]
    fn list_notes(&self, Extension(request): Extension<Parts>) -> Result<CallToolResult, ErrorData> {
        let owner = owner(caller(&request)?);
        let notes = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner).get(&owner).cloned();
        Ok(answer(&json!(notes.unwrap_or_default())))
    }

    #[tool(description = "Adds a note; needs the scope write:notes")]
    fn add_note(
        &self,
        Extension(request): Extension<Parts>,
        Parameters(NewNote { text }): Parameters<NewNote>,
    ) -> Result<CallToolResult, ErrorData> {
        let auth = caller(&request)?;
        // By now the status is 200: what is refused here is refused in JSON-RPC.
        auth.require_scopes(["write:notes"]).map_err(|rejection| {
            let data = json!({ "error": rejection.error_code(), "scope": "write:notes" });
            ErrorData::new(FORBIDDEN, "add_note needs the scope write:notes: log in again and ask for it", Some(data))
        })?;
        if text.len() > MAX_NOTE {
            return Err(ErrorData::invalid_params(format!("a note has at most {MAX_NOTE} bytes"), None));
        }
        let mut by_owner = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = by_owner.entry(owner(auth)).or_default();
        if notes.len() >= MAX_NOTES {
            return Err(ErrorData::invalid_params(format!("there are {MAX_NOTES} notes already"), None));
        }
        notes.push(text);
        Ok(answer(&json!({ "notes": notes.len() })))
    }
}

#[tool_handler]
impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("notes", env!("CARGO_PKG_VERSION")))
            .with_instructions("Keeps notes. whoami tells who you are to this server.")
    }
}

/// What the bearer layer found out. It is there whenever the layer is.
fn caller(request: &Parts) -> Result<&AuthInfo, ErrorData> {
    request.extensions.get().ok_or_else(|| ErrorData::internal_error("no bearer layer guards this endpoint", None))
}

/// A subject is unique only within its issuer; a client that speaks for itself has none but its own id.
fn owner(auth: &AuthInfo) -> String {
    format!("{} {}", auth.issuer(), auth.subject().or(auth.client_id()).unwrap_or_default())
}

fn answer(value: &Value) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(value.to_string())])
}

/// An error code of this server's own (JSON-RPC 2.0, section 5.1: -32000 to -32099).
const FORBIDDEN: ErrorCode = ErrorCode(-32003);
const MAX_NOTES: usize = 100;
const MAX_NOTE: usize = 4_000;
