//! Runs the server. The environment variable `ISSUER` has the URL of the authorization server.

use std::env;
use std::error::Error;

use mcp_bearer::{Issuer, ResourceServer};
use poem::Server;
use poem::listener::TcpListener;
use poem_example::app;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = env::var("ISSUER").map_err(|_| "set ISSUER to the URL of your authorization server")?;
    let server = ResourceServer::builder("http://127.0.0.1:3000/notes")
        .issuer(Issuer::discover(issuer))
        .scopes_supported(["notes:read", "notes:write", "notes:admin"])
        .build()
        .await?;
    println!("listening on http://127.0.0.1:3000/notes");
    Server::new(TcpListener::bind("127.0.0.1:3000")).run(app(&server)).await?;
    Ok(())
}
