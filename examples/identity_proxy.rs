//! A server behind an identity-aware proxy: the proxy logs users in, and passes a JWT on in the header
//! `Cf-Access-Jwt-Assertion`.
//!
//! `cargo run --example identity_proxy` prints requests to try, with tokens of an authorization server for tests in place of a
//! proxy. Behind Cloudflare Access, set the public URL, the name of the team and the audience tag of the application:
//!
//! ```sh
//! MCP_RESOURCE=https://notes.example.com/notes MCP_ACCESS_TEAM=team MCP_ACCESS_TAG=32eafc76... \
//!   cargo run --example identity_proxy
//! ```
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::env;
use std::error::Error;

use axum::Router;
use axum::routing::get;
use mcp_bearer::issuer::providers;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use tokio::net::TcpListener;

const HEADER: &str = "cf-access-jwt-assertion";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bind = env::var("MCP_BIND").unwrap_or_else(|_| "127.0.0.1:9300".to_owned());
    let listener = TcpListener::bind(&bind).await.map_err(|error| format!("MCP_BIND={bind}: {error}"))?;
    let local = format!("http://{}/notes", listener.local_addr()?);
    let resource = env::var("MCP_RESOURCE").unwrap_or_else(|_| local.clone());

    let (issuer, proxy) = match (env::var("MCP_ACCESS_TEAM"), env::var("MCP_ACCESS_TAG")) {
        (Ok(team), Ok(tag)) => (providers::cloudflare_access(&team, &tag), None),
        (Err(_), Err(_)) => {
            let proxy = TestIssuer::serve()?;
            // Clients cannot log in there themselves, so the metadata does not name it.
            (Issuer::discover(proxy.url()).unpublished(), Some(proxy))
        }
        _ => return Err("set both MCP_ACCESS_TEAM and MCP_ACCESS_TAG, or neither".into()),
    };
    // `cloudflare_access` names the header too. Any other proxy needs `token_from`.
    let server = ResourceServer::builder(resource.as_str()).issuer(issuer).token_from(HEADER).build_lazy()?;
    let app =
        Router::new().route("/notes", get(notes)).route_layer(server.bearer_layer()).merge(server.metadata_router());

    println!("listening on {local}\n");
    if let Some(proxy) = &proxy {
        let token = proxy.token().audience(&resource).subject("alice").sign();
        let valid = format!("-H '{HEADER}: {token}'");
        for (what, headers) in [
            ("200, with the header of the proxy", valid.clone()),
            ("401, past the proxy", String::new()),
            ("400, with credentials in both headers", format!("{valid} -H 'Authorization: Bearer {token}'")),
            ("400, with the token in Authorization", format!("-H 'Authorization: Bearer {token}'")),
            ("401, with an invalid token", format!("-H '{HEADER}: garbage'")),
        ] {
            println!("# {what}\ncurl -si {local} {headers}\n");
        }
    }
    println!("ready");
    axum::serve(listener, app).await?;
    Ok(())
}

/// The token of a user has a subject. That of a program (Cloudflare: *Service Auth*) has none.
async fn notes(auth: AuthInfo) -> String {
    format!("the notes of {}\n", auth.subject().unwrap_or("a service"))
}
