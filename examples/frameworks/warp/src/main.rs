//! Runs the server. The environment variable `ISSUER` has the URL of the authorization server.

use std::env;
use std::error::Error;

use mcp_bearer::{Issuer, ResourceServer};
use warp_example::routes;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = env::var("ISSUER").map_err(|_| "set ISSUER to the URL of your authorization server")?;
    let server = ResourceServer::builder("http://127.0.0.1:3000/notes")
        .issuer(Issuer::discover(issuer))
        .scopes_supported(["notes:read", "notes:write"])
        .build()
        .await?;
    println!("listening on http://127.0.0.1:3000/notes");
    warp::serve(routes(&server)).run(([127, 0, 0, 1], 3000)).await;
    Ok(())
}
