//! An MCP server that can do whatever the conformance suite asks for, behind the bearer layer or without it.
//!
//! Once it listens it prints one line of JSON, `{"url": "http://127.0.0.1:PORT/mcp", "token": "..."}`. With `--bare`
//! there is no layer and no token. With `--json` an answer of one message is JSON instead of an event stream, in the
//! revisions without sessions.
#![allow(clippy::print_stdout, reason = "a program talks to whoever started it")]

mod changes;
mod content;
mod conversation;
mod endpoint;
mod everything;
mod guard;
mod input_required;
mod media;
mod prompts;
mod request_state;
mod resources;
mod shape;
mod tool_list;

use std::error::Error;
use std::time::Duration;

use axum::Router;
use mcp_bearer::ResourceServer;
use mcp_bearer::testing::TestIssuer;
use serde_json::json;
use tokio::net::TcpListener;

use endpoint::Endpoint;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some(unknown) = arguments.iter().find(|argument| !["--bare", "--json"].contains(&argument.as_str())) {
        return Err(format!("{unknown} is no argument of this program: it knows --bare and --json").into());
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let endpoint = endpoint::endpoint(has("--json"));
    let (app, token) = if has("--bare") { (bare(endpoint), None) } else { guarded(endpoint, &url).await? };
    println!("{}", json!({ "url": url, "token": token }));
    axum::serve(listener, app).await?;
    Ok(())
}

fn bare(endpoint: Endpoint) -> Router {
    Router::new().route_service("/mcp", endpoint)
}

/// The same behind the layer, and a token that it accepts.
async fn guarded(endpoint: Endpoint, url: &str) -> Result<(Router, Option<String>), Box<dyn Error>> {
    let issuer = TestIssuer::new("https://auth.example.com");
    let server = ResourceServer::builder(url).issuer(issuer.issuer()).scopes_supported([guard::SCOPE]).build().await?;
    let token = issuer.token().audience(url).subject("alice").scope(guard::SCOPE).expires_in(LIFETIME).sign();
    Ok((guard::guarded(endpoint, &server), Some(token)))
}

/// Longer than any run of the suite takes.
const LIFETIME: Duration = Duration::from_secs(3600);
