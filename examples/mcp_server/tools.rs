//! The tools. Each receives the caller as a parameter; `app.rs` defines the scopes that a tool needs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mcp_bearer::AuthInfo;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, ContentBlock, Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde_json::{Value, json};

/// The notes of each user, in memory.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    by_owner: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

/// The arguments of `add_note`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NewNote {
    /// The text of the note.
    text: String,
}

#[tool_router(vis = "pub(crate)")]
impl Notes {
    #[tool(description = "Tells who you are to this server: subject, client, scopes, issuer and key of your token")]
    fn whoami(&self, auth: AuthInfo) -> CallToolResult {
        let mut who = json!({
            "subject": auth.subject(),
            "client_id": auth.client_id(),
            "scopes": auth.scopes().iter().collect::<Vec<_>>(),
            "issuer": auth.issuer(),
        });
        // A bearer token is not bound to a key.
        if let (Some(key), Value::Object(who)) = (auth.sender().dpop_key(), &mut who) {
            who.insert("dpop_key".into(), key.to_string().into());
        }
        answer(&who)
    }

    #[tool(description = "Lists your notes")]
    fn list_notes(&self, auth: AuthInfo) -> CallToolResult {
        let owner = owner(&auth);
        let notes = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner).get(&owner).cloned();
        answer(&json!(notes.unwrap_or_default()))
    }

    #[tool(description = "Adds a note; needs the scope write:notes")]
    fn add_note(
        &self,
        auth: AuthInfo,
        Parameters(NewNote { text }): Parameters<NewNote>,
    ) -> Result<CallToolResult, ErrorData> {
        if text.len() > MAX_NOTE {
            return Err(ErrorData::invalid_params(format!("a note has at most {MAX_NOTE} bytes"), None));
        }
        let mut by_owner = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = by_owner.entry(owner(&auth)).or_default();
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

/// Returns the owner of the caller's notes. A subject is only unique within its issuer. A client without a user has no
/// subject, so its client id is used.
fn owner(auth: &AuthInfo) -> String {
    let caller = auth.subject().or(auth.client_id()).unwrap_or_default();
    format!("{} {caller}", auth.issuer().unwrap_or_default())
}

fn answer(value: &Value) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(value.to_string())])
}

const MAX_NOTES: usize = 100;
const MAX_NOTE: usize = 4_000;
