//! A REST service that accepts API keys beside access tokens.
//!
//! `cargo run --example api_keys` generates a key, writes its line to a file, and prints requests to try. Delete the line while
//! the program runs: within 5 seconds the key is rejected. With `NOTES_API_KEYS`, the program reads that file instead, as
//! `mcp-bearer key new --name ci --scope notes:read >> api_keys.jsonl` makes it.
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::error::Error;
use std::path::PathBuf;

use axum::Router;
use axum::routing::{get, post};
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, CredentialKind, Issuer, ResourceServer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bind = std::env::var("MCP_BIND").unwrap_or_else(|_| "127.0.0.1:9200".to_owned());
    let listener = TcpListener::bind(&bind).await.map_err(|error| format!("MCP_BIND={bind}: {error}"))?;
    let resource = format!("http://{}/notes", listener.local_addr()?);
    let (path, key) = match std::env::var_os("NOTES_API_KEYS") {
        Some(path) => (PathBuf::from(path), None),
        None => {
            let key = ApiKey::generate()?;
            let path = std::env::temp_dir().join(format!("notes_api_keys_{}.jsonl", std::process::id()));
            std::fs::write(&path, key.stored_as("ci-2027").identity("ci").scopes(["notes:read"]).to_line())?;
            (path, Some(key))
        }
    };

    // An authorization server for tests takes the place of a real one.
    let auth = TestIssuer::serve()?;
    let server = ResourceServer::builder(resource.as_str())
        .issuer(Issuer::discover(auth.url()))
        .scopes_supported(["notes:read", "notes:write"])
        .api_keys(ApiKeys::from_file(&path).header("x-api-key"))
        .build()
        .await?;
    let readers =
        Router::new().route("/notes", get(notes)).route_layer(server.bearer_layer().required_scopes(["notes:read"]));
    let writers =
        Router::new().route("/notes", post(notes)).route_layer(server.bearer_layer().required_scopes(["notes:write"]));
    let app = readers.merge(writers).merge(server.metadata_router());

    println!("listening on {resource}; the keys are in {}\n", path.display());
    if let Some(key) = &key {
        let token = auth.token().audience(&resource).subject("alice").scope("notes:read").sign();
        let (bearer, other) =
            (format!("Authorization: Bearer {}", key.expose()), format!("x-api-key: {}", key.expose()));
        for (what, call, header) in [
            ("200, an API key", "", bearer.as_str()),
            ("200, an API key in another header", "", &other),
            ("200, an access token", "", &format!("Authorization: Bearer {token}")),
            ("403, the key may not write", "-X POST ", &bearer),
            ("401, another key", "", &format!("Authorization: Bearer {}", ApiKey::generate()?.expose())),
        ] {
            println!("# {what}\ncurl -si {call}{resource} -H '{header}'\n");
        }
    }
    println!("ready");
    axum::serve(listener, app).await?;
    Ok(())
}

async fn notes(auth: AuthInfo) -> String {
    let caller = auth.subject().unwrap_or("nobody");
    match auth.kind() {
        CredentialKind::ApiKey => {
            format!("the program {caller} with the key {}\n", auth.api_key_name().unwrap_or_default())
        }
        _ => format!("the user {caller}\n"),
    }
}
