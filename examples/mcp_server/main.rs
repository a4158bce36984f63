//! An MCP server that accepts only requests with an access token for it.
//!
//! `cargo run --example mcp_server` needs no configuration. Without `MCP_ISSUER`, it starts an authorization server for
//! development, prints a token, and shows how to connect a client. With `MCP_ISSUER`, it accepts the tokens of that
//! authorization server, and says if clients cannot register themselves there. `example.rs` describes the variables. `app.rs`
//! and `tools.rs` show the use of the crate.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints for its user")]
#![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "an example panics when it cannot continue")]

mod app;
mod development;
mod example;
mod greeting;
mod registration;
mod tools;

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use development::{AuthorizationServer, Configuration};
use example::Example;
use greeting::Greeting;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("mcp_bearer=debug,warn"));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(below) = cause {
                text = format!("{text}: {below}");
                cause = below.source();
            }
            eprintln!("mcp_server: {text}");
            Example::variables_for(&text).for_each(|line| eprintln!("mcp_server: {line}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut example = Example::from_environment()?;
    let listener =
        TcpListener::bind(example.bind).await.map_err(|error| format!("MCP_BIND={}: {error}", example.bind))?;
    let bound = listener.local_addr()?;
    let resource = example.resource(bound)?;
    let issuers = example.issuers();

    example.server.resource = Some(resource.clone());
    let development = if issuers.is_empty() { Some(start_development(&example, &resource).await?) } else { None };
    if let Some(development) = &development {
        example.use_development(development.url(), development.introspection_client());
    }
    let server = example.server.build().await?;

    let app = app::router(&server, &resource, bound, &example.server)?;
    let without_registration = registration::without_registration(&issuers).await;
    let greeting = Greeting {
        resource: &resource,
        issuers: &issuers,
        without_registration: &without_registration,
        accepts_dpop: example.accepts_dpop(),
        accepts_bearer: example.accepts_bearer(),
        development: development.as_ref(),
    };
    println!("{greeting}");
    axum::serve(listener, app).await?;
    Ok(())
}

async fn start_development(example: &Example, resource: &str) -> Result<AuthorizationServer, String> {
    let bind = example.development_bind;
    let configuration = Configuration {
        bind,
        resource: resource.to_owned(),
        default_scopes: example.server.required_scopes.clone(),
        scopes: example.all_scopes(),
        supports_dpop: example.accepts_dpop(),
    };
    let started = match example.development_is_opaque {
        true => AuthorizationServer::start_opaque(configuration).await,
        false => AuthorizationServer::start(configuration).await,
    };
    started.map_err(|error| {
        format!("MCP_DEV_AS_BIND={bind}: {error}; choose another address, or set MCP_ISSUER to an authorization server")
    })
}
