//! An MCP server for development without an authorization server.
//!
//! `cargo run --example development` prints its URL and a request to try. It accepts requests without a token from this machine
//! alone, as one identity with the scopes `mcp:tools` and `notes:read`.
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use mcp_bearer::{AuthInfo, DevelopmentIdentity, McpScopes, ResourceServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::net::TcpListener;

struct Tools;

#[tool_router]
impl Tools {
    #[tool(description = "Returns the kind and the subject of the caller")]
    fn whoami(&self, auth: AuthInfo) -> String {
        format!("{:?} {}", auth.kind(), auth.subject().unwrap_or_default())
    }

    #[tool(description = "Deletes a note; needs the scope notes:write, which the identity does not have")]
    fn delete_note(&self) {}
}

#[tool_handler]
impl ServerHandler for Tools {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let bind = std::env::var("MCP_BIND").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&bind).await.map_err(|error| format!("MCP_BIND={bind}: {error}"))?;
    let resource = format!("http://{}/mcp", listener.local_addr()?);

    let identity = DevelopmentIdentity::new("dev").scopes(["mcp:tools", "notes:read"]);
    let server = ResourceServer::builder(&*resource).dangerously_trust_everyone_on_loopback(identity).build().await?;
    println!("MCP server {resource}");
    println!(
        "curl {resource} -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d \
         '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"whoami\"}}}}'"
    );
    // The layer needs the address of the client.
    let app = app(&server).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn app(server: &ResourceServer) -> Router {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let mcp = StreamableHttpService::<_, LocalSessionManager>::new(|| Ok(Tools), Default::default(), config);
    let scopes = McpScopes::new().tool("delete_note", ["notes:write"]);
    Router::new()
        .route_service("/mcp", mcp)
        .route_layer(server.mcp_layer_for(&Tools::tool_router(), scopes).required_scopes(["mcp:tools"]))
        .merge(server.metadata_router())
}
