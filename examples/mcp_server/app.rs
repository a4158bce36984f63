//! Combines the MCP endpoint, the layers and the metadata routes.

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use mcp_bearer::settings::Settings;
use mcp_bearer::{McpLayer, ResourceServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use url::Url;

use crate::tools::Notes;

/// Builds the whole application: the protected MCP endpoint and the public metadata.
pub(crate) fn router(
    server: &ResourceServer,
    resource: &str,
    bound: SocketAddr,
    settings: &Settings,
) -> Result<Router, Box<dyn Error>> {
    let url = Url::parse(resource).ok();
    let path = url.as_ref().map_or("/mcp", |url| url.path());
    Ok(Router::new()
        .route_service(path, mcp(url.as_ref(), bound, settings.mcp.bind_sessions))
        // `route_layer`, not `layer`: a path that does not exist is then 404 and not 401, as clients expect.
        .route_layer(mcp_layer(server, settings)?)
        // Outside of the layer, so that a browser can read the challenge of a rejection.
        .layer(server.cors_layer())
        // Outermost: a page of another origin gets 403, for a preflight as well.
        .layer(settings.origin_layer(server)?)
        // Every page may read the metadata.
        .merge(server.metadata_router()))
}

/// A client without the scope learns which one to request before the tool runs.
fn mcp_layer(server: &ResourceServer, settings: &Settings) -> Result<McpLayer, Box<dyn Error>> {
    let scopes = settings.mcp_scopes().tool("add_note", ["write:notes"]);
    Ok(settings.set_up_mcp_layer(server.try_mcp_layer_for(&Notes::tool_router(), scopes)?)?)
}

/// Without sessions, every request is independent, and its response is one JSON message.
fn mcp(url: Option<&Url>, bound: SocketAddr, has_sessions: bool) -> StreamableHttpService<Notes, LocalSessionManager> {
    let notes = Notes::default();
    // rmcp only accepts requests with these host names, as a protection against DNS rebinding.
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), bound.ip().to_string()];
    let public_host = url.and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']).to_owned());
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts.into_iter().chain(public_host))
        .with_legacy_session_mode(has_sessions)
        .with_json_response(!has_sessions);
    StreamableHttpService::new(move || Ok(notes.clone()), Default::default(), config)
}
