//! The layers under test.

use std::time::Duration;

use axum::Router;
use mcp_bearer::ResourceServer;
use mcp_bearer::mcp::{McpLayer, McpScopes};

use crate::endpoint::Endpoint;

/// The scope that a token needs.
pub(crate) const SCOPE: &str = "mcp:tools";

/// Uses all features of the layer, with rules that the token satisfies.
fn mcp_layer(server: &ResourceServer) -> McpLayer {
    let scopes = McpScopes::new()
        .tool("test_simple_text", [SCOPE])
        .any_tool([SCOPE])
        .any_prompt([SCOPE])
        .any_resource([SCOPE])
        .resource("test://template/{id}/data", [SCOPE])
        .method("completion/complete", [SCOPE]);
    let layer = server.mcp_layer(scopes).required_scopes([SCOPE]);
    layer.filter_lists().bind_sessions().revalidate_streams(Duration::from_secs(1))
}

/// Builds the protected `endpoint` and the public metadata.
pub(crate) fn guarded(endpoint: Endpoint, server: &ResourceServer) -> Router {
    Router::new()
        .route_service("/mcp", endpoint)
        .route_layer(mcp_layer(server))
        .merge(server.metadata_router())
        .layer(server.cors_layer())
}
