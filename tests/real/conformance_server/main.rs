//! An MCP server with all features that the conformance suite tests, with or without the layer.
//!
//! When the program listens, it prints one line of JSON, `{"url": "http://127.0.0.1:PORT/mcp", "token": "..."}`. With
//! `--bare`, it uses no layer and no token. With `--json`, a response with one message is JSON instead of an event
//! stream, in the revisions without sessions.
#![allow(clippy::print_stdout, reason = "the program prints its URL for the tests")]

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
        return Err(format!("{unknown} is not an argument of this program: use --bare or --json").into());
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

/// Returns the endpoint behind the layer, and a token that the layer accepts.
async fn guarded(endpoint: Endpoint, url: &str) -> Result<(Router, Option<String>), Box<dyn Error>> {
    let issuer = TestIssuer::new("https://auth.example.com");
    let server = ResourceServer::builder(url).issuer(issuer.issuer()).scopes_supported([guard::SCOPE]).build().await?;
    let token = issuer.token().audience(url).subject("alice").scope(guard::SCOPE).expires_in(LIFETIME).sign();
    Ok((guard::guarded(endpoint, &server), Some(token)))
}

/// Longer than a run of the suite.
const LIFETIME: Duration = Duration::from_secs(3600);
