//! A server that accepts only access tokens that are bound to a client certificate (RFC 8705), with axum and rustls.
//!
//! `cargo run --example mutual_tls` makes certificates and tokens for tests, and prints requests to try. `tls.rs` is the part to
//! copy: it accepts TLS connections, and passes the certificate of the client on to the layer.
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

mod tls;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use axum::Router;
use axum::middleware::map_request;
use axum::routing::get;
use mcp_bearer::sender::SenderConstraint;
use mcp_bearer::testing::{TestCertificate, TestIssuer};
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use tokio::net::TcpListener;

use crate::tls::{Peer, TlsListener, insert_certificate, server_config};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bind = env::var("MCP_BIND").unwrap_or_else(|_| "127.0.0.1:9400".to_owned());
    let listener = TcpListener::bind(&bind).await.map_err(|error| format!("MCP_BIND={bind}: {error}"))?;
    let address = listener.local_addr()?;
    let resource = format!("https://{address}/notes");

    let authority = TestCertificate::authority("authority.example");
    let issuer = TestIssuer::serve()?;
    let server = ResourceServer::builder(resource.as_str())
        .issuer(Issuer::discover(issuer.url()))
        .sender_constraint(SenderConstraint::Mtls)
        .client_certificate_from_connection()
        .build()
        .await?;
    let app = Router::new()
        .route("/notes", get(notes))
        .route_layer(server.bearer_layer())
        .merge(server.metadata_router())
        // The last layer is the outermost: the bearer layer reads what it inserts.
        .layer(map_request(insert_certificate));

    print_requests(&resource, &issuer, &authority, &certificate_directory(address.port())?)?;
    let own = authority.issue(&address.ip().to_string());
    let listener = TlsListener::new(listener, server_config(own.der(), own.key_der(), &[authority.der()])?);
    axum::serve(listener, app.into_make_service_with_connect_info::<Peer>()).await?;
    Ok(())
}

async fn notes(auth: AuthInfo) -> String {
    format!("the notes of {}\n", auth.subject().unwrap_or("a service"))
}

/// Prints requests with the certificate that the token is bound to, with another one, and without one.
fn print_requests(
    resource: &str,
    issuer: &TestIssuer,
    authority: &TestCertificate,
    directory: &Path,
) -> Result<(), Box<dyn Error>> {
    let write = |name: &str, pem: String| fs::write(directory.join(name), pem);
    let (client, other) = (authority.issue("client.example"), authority.issue("other.example"));
    write("authority.pem", authority.pem())?;
    write("client.pem", client.pem() + &client.key_pem())?;
    write("other.pem", other.pem() + &other.key_pem())?;

    let token = || issuer.token().audience(resource).subject("alice");
    let bound = token().bound_to_certificate(client.thumbprint()).sign();
    let bearer = token().sign();
    println!("listening on {resource}\n\ncd '{}'\n", directory.display());
    for (what, certificate, token) in [
        ("200, with the certificate that the token is bound to", "--cert client.pem ", &bound),
        ("401, with another certificate", "--cert other.pem ", &bound),
        ("401, without a certificate", "", &bound),
        ("401, with a token that is not bound to a certificate", "--cert client.pem ", &bearer),
    ] {
        println!(
            "# {what}\ncurl -si --cacert authority.pem {certificate}{resource} -H 'Authorization: Bearer {token}'\n"
        );
    }
    println!("ready");
    Ok(())
}

/// A directory beside this program, for the server at this port.
fn certificate_directory(port: u16) -> Result<PathBuf, Box<dyn Error>> {
    let program = env::current_exe()?;
    let directory = program.parent().unwrap_or(Path::new(".")).join(format!("mutual_tls_{port}"));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}
