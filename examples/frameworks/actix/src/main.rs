//! Runs the server. The environment variable `ISSUER` has the URL of the authorization server.

use std::env;
use std::error::Error;

use actix_example::{cors, routes};
use actix_web::{App, HttpServer};
use mcp_bearer::{Issuer, ResourceServer};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = env::var("ISSUER").map_err(|_| "set ISSUER to the URL of your authorization server")?;
    let server = ResourceServer::builder("http://127.0.0.1:3000/notes")
        .issuer(Issuer::discover(issuer))
        .scopes_supported(["notes:read", "notes:write", "notes:admin"])
        .build()
        .await?;
    let routes = routes(&server);
    println!("listening on http://127.0.0.1:3000/notes");
    // The middleware that is added last is the outermost.
    let app = move || App::new().configure(routes.clone()).wrap(cors());
    HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?;
    Ok(())
}
