//! Combines the MCP endpoint, the layers and the metadata routes.

use std::net::SocketAddr;

use axum::Router;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use mcp_bearer::{BuildError, ResourceServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use url::Url;

use crate::settings::Settings;
use crate::tools::Notes;

/// Builds the whole application: the protected MCP endpoint and the public metadata.
pub(crate) fn router(
    server: &ResourceServer,
    resource: &str,
    bound: SocketAddr,
    settings: &Settings,
) -> Result<Router, BuildError> {
    let url = Url::parse(resource).ok();
    let path = url.as_ref().map_or("/mcp", |url| url.path());
    Ok(Router::new()
        .route_service(path, mcp(url.as_ref(), bound, settings.binds_sessions))
        // `route_layer`, not `layer`: a path that does not exist is then 404 and not 401, as clients expect.
        .route_layer(mcp_layer(server, settings)?)
        // Outside of the layer, so that a browser can read the challenge of a rejection.
        .layer(server.cors_layer())
        // Outermost: a page of another origin gets 403, for a preflight as well.
        .layer(server.try_allowed_origins(&settings.allowed_origins)?)
        // Every page may read the metadata.
        .merge(server.metadata_router()))
}

/// A client without the scope learns which one to request before the tool runs.
fn mcp_layer(server: &ResourceServer, settings: &Settings) -> Result<McpLayer, BuildError> {
    let scopes = McpScopes::new().tool("add_note", ["write:notes"]);
    let mut layer = server.mcp_layer_for(&Notes::tool_router(), scopes);
    if !settings.required_scopes.is_empty() {
        layer = layer.try_required_scopes(&settings.required_scopes)?;
    }
    if settings.filters_lists {
        layer = layer.filter_lists();
    }
    if settings.binds_sessions {
        layer = layer.try_bind_sessions()?;
    }
    if let Some(interval) = settings.stream_revalidation {
        layer = layer.try_revalidate_streams(interval)?;
    }
    Ok(layer)
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
