use std::fmt;
use std::time::Duration;

use crate::development::AuthorizationServer;

/// The text that the program prints when the server listens.
pub(crate) struct Greeting<'a> {
    pub(crate) resource: &'a str,
    pub(crate) issuers: &'a [String],
    /// The issuers at which clients cannot register themselves.
    pub(crate) without_registration: &'a [String],
    pub(crate) accepts_dpop: bool,
    pub(crate) accepts_bearer: bool,
    pub(crate) development: Option<&'a AuthorizationServer>,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.resource;
        writeln!(f, "MCP server             {resource}")?;
        match (self.accepts_dpop, self.accepts_bearer) {
            (true, true) => writeln!(f, "DPoP                   optional: bearer tokens are accepted too")?,
            (true, false) => writeln!(f, "DPoP                   required: bearer tokens are rejected")?,
            (false, _) => {}
        }
        for issuer in self.issuers {
            writeln!(f, "Authorization server   {issuer}")?;
        }
        if let Some(development) = self.development {
            writeln!(
                f,
                "Authorization server   {} (for development only: it does not check passwords)",
                development.url()
            )?;
            if self.accepts_bearer {
                let token = development.ready_token("curl", TOKEN_LIFETIME);
                writeln!(f, "\nA token, valid for {} hours:\n\n{token}", TOKEN_LIFETIME.as_secs() / 3600)?;
                writeln!(f, "\nUse it:\n\n{}", curl(resource, &token))?;
            }
        }
        for issuer in self.without_registration {
            writeln!(f, "\nClients cannot register themselves at {issuer}.")?;
            writeln!(f, "Create a public client there. Configure its client id in each MCP client, for example:\n")?;
            writeln!(
                f,
                "Claude Code     claude mcp add --transport http --client-id CLIENT_ID --callback-port 8080 notes {resource}"
            )?;
            writeln!(f, "                Its redirect URI is http://localhost:8080/callback")?;
        }
        if !self.issuers.is_empty() && self.issuers.len() == self.without_registration.len() {
            return Ok(());
        }
        let client = if self.accepts_bearer { "a client" } else { "a client that supports DPoP" };
        writeln!(f, "\nConnect {client}, which then asks you to log in:\n")?;
        writeln!(f, "MCP Inspector   npx @modelcontextprotocol/inspector --transport http --server-url {resource}")?;
        writeln!(f, "Claude Code     claude mcp add --transport http notes {resource}    then /mcp")?;
        writeln!(
            f,
            "VS Code         code --add-mcp '{{\"name\":\"notes\",\"type\":\"http\",\"url\":\"{resource}\"}}'"
        )?;
        let option = if self.accepts_dpop { "--dpop " } else { "" };
        writeln!(f, "From here       cargo run --example mcp_client -- {option}{resource}")
    }
}

/// The server does not keep sessions, so a single tool call works without initialization.
fn curl(resource: &str, token: &str) -> String {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}"#;
    format!(
        "curl -sS '{resource}' -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
         -H 'Accept: application/json, text/event-stream' -d '{call}'"
    )
}

/// A working day.
const TOKEN_LIFETIME: Duration = Duration::from_secs(8 * 3600);
