//! A REST service with scopes for each route, and two protected resources in one process.
//!
//! `cargo run --example rest_scopes` prints tokens and requests to try. `/notes` and `/files` are separate resources: a
//! token for one is not valid for the other. They share one [`Issuer`], so discovery and the key cache are shared too.
//! With `MCP_ISSUER`, the service accepts tokens of that authorization server instead of a test issuer.
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::error::Error;
use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::Path;
use axum::routing::{delete, get, post};
use mcp_bearer::bearer::Rejection;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, BuildError, Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bind = std::env::var("MCP_BIND").unwrap_or_else(|_| "127.0.0.1:9100".to_owned());
    let listener = TcpListener::bind(&bind).await.map_err(|error| format!("MCP_BIND={bind}: {error}"))?;
    let origin = format!("http://{}", listener.local_addr()?);

    let (issuer, test_issuer) = match std::env::var("MCP_ISSUER") {
        Ok(url) => (Issuer::discover(url), None),
        Err(_) => {
            let test_issuer = TestIssuer::serve()?;
            (Issuer::discover(test_issuer.url()), Some(test_issuer))
        }
    };
    let app = app(&origin, &issuer).await?;
    if let Some(test_issuer) = &test_issuer {
        print_calls(&origin, test_issuer, listener.local_addr()?);
    }
    axum::serve(listener, app).await?;
    Ok(())
}

/// Two protected resources, and public routes.
async fn app(origin: &str, issuer: &Issuer) -> Result<Router, BuildError> {
    let notes = ResourceServer::builder(format!("{origin}/notes"))
        .issuer(issuer.clone())
        .scopes_supported(["notes:read", "notes:write"])
        // A token that may write may also read.
        .scope_implies("notes:write", ["notes:read"])
        .build()
        .await?;
    let files = ResourceServer::builder(format!("{origin}/files"))
        .issuer(issuer.clone())
        .scopes_supported(["files:read", "files:admin"])
        .build()
        .await?;
    Ok(Router::new()
        .route("/health", get(health))
        .merge(notes_routes(&notes))
        .merge(files_routes(&files))
        .merge(notes.metadata_router())
        .merge(files.metadata_router()))
}

/// Uses one layer for each kind of access.
fn notes_routes(notes: &ResourceServer) -> Router {
    let readers = Router::new()
        .route("/notes", get(list_notes))
        .route_layer(notes.bearer_layer().required_scopes(["notes:read"]));
    let writers = Router::new()
        .route("/notes", post(add_note))
        .route_layer(notes.bearer_layer().required_scopes(["notes:write"]));
    let page = Router::new().route("/notes/about", get(about)).route_layer(notes.bearer_layer().allow_anonymous());
    // axum merges the two methods of the same path, each with its own layer.
    readers.merge(writers).merge(page)
}

/// Uses one layer for all routes, and a handler that requires one more scope.
fn files_routes(files: &ResourceServer) -> Router {
    let layer = files.bearer_layer().any_scope(["files:read", "files:admin"]);
    Router::new().route("/files/{name}", get(read_file)).route("/files/{name}", delete(delete_file)).route_layer(layer)
}

async fn health() -> &'static str {
    "healthy\n"
}

async fn list_notes(auth: AuthInfo) -> Json<Value> {
    Json(json!({ "owner": auth.subject(), "notes": [] }))
}

async fn add_note(auth: AuthInfo, note: String) -> Json<Value> {
    Json(json!({ "owner": auth.subject(), "added": note }))
}

/// Responds with and without a token. Invalid credentials are still rejected.
async fn about(auth: Option<AuthInfo>) -> String {
    let who = auth.as_ref().and_then(AuthInfo::subject).unwrap_or("anonymous user");
    format!("Hello {who}: notes are short texts.\n")
}

async fn read_file(auth: AuthInfo, Path(name): Path<String>) -> Json<Value> {
    Json(json!({ "file": name, "reader": auth.subject() }))
}

/// Only some of the accepted tokens may delete a file.
async fn delete_file(auth: AuthInfo, Path(name): Path<String>) -> Result<Json<Value>, Rejection> {
    auth.require_scopes(["files:admin"])?;
    Ok(Json(json!({ "deleted": name })))
}

fn print_calls(origin: &str, issuer: &TestIssuer, address: SocketAddr) {
    let token = |resource: &str, scope: &str| {
        let lifetime = std::time::Duration::from_secs(3600);
        issuer.token().audience(&format!("{origin}/{resource}")).scope(scope).expires_in(lifetime).sign()
    };
    println!("listening on {address}; the tokens are valid for one hour\n");
    for (what, call, token) in [
        ("200, public", format!("{origin}/health"), None),
        ("401", format!("{origin}/notes"), None),
        ("200", format!("{origin}/notes"), Some(token("notes", "notes:read"))),
        ("403", format!("-d hello {origin}/notes"), Some(token("notes", "notes:read"))),
        ("200", format!("-d hello {origin}/notes"), Some(token("notes", "notes:write"))),
        ("200, a broad scope implies a narrow one", format!("{origin}/notes"), Some(token("notes", "notes:write"))),
        ("401, a token for the other resource", format!("{origin}/files/a"), Some(token("notes", "files:read"))),
        ("200", format!("{origin}/files/a"), Some(token("files", "files:read"))),
        ("403, rejected by the handler", format!("-X DELETE {origin}/files/a"), Some(token("files", "files:read"))),
        ("200, files:admin", format!("-X DELETE {origin}/files/a"), Some(token("files", "files:admin"))),
    ] {
        let header = token.map(|token| format!(" -H 'Authorization: Bearer {token}'")).unwrap_or_default();
        println!("# {what}\ncurl -si {call}{header}\n");
    }
}
