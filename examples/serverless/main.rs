//! A resource server that starts often, as on Cloud Run or AWS Lambda: its first request does not wait for the authorization
//! server.
//!
//! The key set of the issuer is a file in the image, which the build of the image saves: see `Dockerfile`. The server verifies
//! tokens with it at once, and fetches the current key set in the background.
//!
//! ```sh
//! curl -fsS -o jwks.json https://auth.example.com/jwks
//! MCP_ISSUER=https://auth.example.com MCP_RESOURCE=https://api.example.com MCP_JWKS_FILE=jwks.json \
//!   cargo run --example serverless
//! ```
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::error::Error;

use axum::Router;
use axum::routing::get;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = Issuer::discover(std::env::var("MCP_ISSUER")?).jwks_file(std::env::var("MCP_JWKS_FILE")?);
    // With the file, this does not wait for the authorization server.
    let server = ResourceServer::builder(std::env::var("MCP_RESOURCE")?).issuer(issuer).build().await?;

    let app = Router::new()
        .route("/", get(|auth: AuthInfo| async move { format!("hello, {}\n", auth.subject().unwrap_or("service")) }))
        .route_layer(server.bearer_layer())
        .merge(server.metadata_router());
    // Platforms such as Cloud Run set the port.
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    println!("application at http://127.0.0.1:{}", listener.local_addr()?.port());
    axum::serve(listener, app).await?;
    Ok(())
}
