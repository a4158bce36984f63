//! Access tokens in a SQLite database: [`TokenTable`] makes and verifies them, and [`app`] is a server that accepts them.

mod token_table;

use axum::Router;
use axum::routing::get;
use mcp_bearer::introspection::LookupLimits;
use mcp_bearer::verify::TokenVerifier;
use mcp_bearer::{AuthInfo, BuildError, Issuer, ResourceServer};

pub use token_table::{MAX_CONNECTIONS, TokenTable};

/// The scope that the notes need.
pub const SCOPE: &str = "notes:read";

/// A resource server that accepts the tokens of `verifier`, with these limits.
///
/// # Errors
/// A limit that is out of range.
pub async fn server(verifier: impl TokenVerifier, limits: LookupLimits) -> Result<ResourceServer, BuildError> {
    let issuer = Issuer::with_verifier("urn:example:tokens", verifier).verifier_limits(limits);
    ResourceServer::builder("http://127.0.0.1:3000/notes").issuer(issuer).scopes_supported([SCOPE]).build().await
}

/// At most one call for each connection to the database. All other limits are the defaults.
#[must_use]
pub const fn limits() -> LookupLimits {
    LookupLimits::new().max_in_flight(MAX_CONNECTIONS)
}

/// The notes, which need an access token, and the metadata document.
pub fn app(server: &ResourceServer) -> Router {
    Router::new()
        .route("/notes", get(list_notes))
        .route_layer(server.bearer_layer().required_scopes([SCOPE]))
        .merge(server.metadata_router())
}

async fn list_notes(auth: AuthInfo) -> String {
    format!("the notes of {}", auth.subject().unwrap_or("a service"))
}
