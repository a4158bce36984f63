//! How the pieces go together.

use std::net::SocketAddr;

use axum::Router;
use mcp_bearer::{BuildError, ResourceServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use url::Url;

use crate::tools::Notes;

/// The whole application: the MCP endpoint behind the bearer layer, and the metadata in front of it.
pub(crate) fn router(
    server: &ResourceServer,
    resource: &str,
    bound: SocketAddr,
    required_scopes: &[String],
) -> Result<Router, BuildError> {
    let url = Url::parse(resource).ok();
    let path = url.as_ref().map_or("/mcp", |url| url.path());
    let mut layer = server.bearer_layer();
    if !required_scopes.is_empty() {
        layer = layer.required_scopes(required_scopes)?;
    }
    Ok(Router::new()
        .route_service(path, mcp(url.as_ref(), bound))
        // `route_layer`, not `layer`: a path that does not exist is then 404 and not 401, which clients look for.
        .route_layer(layer)
        .merge(server.metadata_router())
        // Outermost, so that a browser can read the challenge of a refusal.
        .layer(server.cors_layer()))
}

/// Every request stands for itself: a session would outlive the token that opened it.
fn mcp(url: Option<&Url>, bound: SocketAddr) -> StreamableHttpService<Notes, LocalSessionManager> {
    let notes = Notes::default();
    // rmcp answers only under the names that it is told (against DNS rebinding).
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), bound.ip().to_string()];
    let public_host = url.and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']).to_owned());
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts.into_iter().chain(public_host))
        .with_legacy_session_mode(false)
        .with_json_response(true);
    StreamableHttpService::new(move || Ok(notes.clone()), Default::default(), config)
}
