//! An MCP server that accepts only requests with an access token for it.
//!
//! `cargo run --example mcp_server` needs no configuration. Without `MCP_ISSUER`, it starts an authorization server for
//! development, prints a token, and shows how to connect a client. With `MCP_ISSUER`, it accepts the tokens of that
//! authorization server. `settings.rs` describes the variables. `app.rs` and `tools.rs` show the use of the crate.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints for its user")]
#![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "an example panics when it cannot continue")]

mod app;
mod development;
mod greeting;
mod settings;
mod tools;

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;

use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::{Issuer, ResourceServer};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use development::{AuthorizationServer, Configuration};
use greeting::Greeting;
use settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("mcp_bearer=debug,warn"));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("mcp_server: {error}");
            let mut cause = error.source();
            while let Some(below) = cause {
                eprint!(": {below}");
                cause = below.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    let listener =
        TcpListener::bind(settings.bind).await.map_err(|error| format!("MCP_BIND={}: {error}", settings.bind))?;
    let bound = listener.local_addr()?;
    let resource = settings.resource(bound)?;

    let development =
        if settings.issuers.is_empty() { Some(start_development(&settings, &resource).await?) } else { None };
    let own_issuer = development.iter().map(AuthorizationServer::url);
    let issuers = settings.issuers.iter().map(String::as_str).chain(own_issuer);

    let mut builder = ResourceServer::builder(resource.as_str())
        .scopes_supported(settings.scopes_supported.iter().cloned())
        .metadata(|metadata| metadata.resource_name("Notes, an example of mcp-bearer"));
    if let Some(skew) = settings.clock_skew {
        builder = builder.clock_skew(skew);
    }
    // Only the first issuer introspects, because an opaque token does not name its issuer.
    let mut introspection = introspection(&settings, development.as_ref());
    for issuer in issuers.map(Issuer::discover) {
        builder = builder.issuer(match introspection.take() {
            None => issuer,
            Some(introspection) if settings.introspects_all => issuer.introspect_all(introspection),
            Some(introspection) => issuer.introspect_opaque(introspection),
        });
    }
    for audience in &settings.audiences {
        builder = builder.accept_audience(audience.as_str());
    }
    let server = if settings.is_lazy { builder.build_lazy()? } else { builder.build().await? };

    let app = app::router(&server, &resource, bound, &settings)?;
    let greeting = Greeting { resource: &resource, issuers: &settings.issuers, development: development.as_ref() };
    println!("{greeting}");
    axum::serve(listener, app).await?;
    Ok(())
}

/// Returns the introspection settings, if the server introspects tokens.
fn introspection(settings: &Settings, development: Option<&AuthorizationServer>) -> Option<Introspection> {
    let configured = settings.introspection.as_ref().map(|client| (client.id.as_str(), client.secret.as_str()));
    let asks_own = settings.development_is_opaque || settings.introspects_all;
    let own = development.filter(|_| asks_own).map(AuthorizationServer::introspection_client);
    let (id, secret) = configured.or(own)?;
    let introspection = Introspection::new(ClientCredentials::basic(id, secret));
    Some(match settings.introspection_cache {
        None => introspection,
        Some(time) => introspection.positive_cache(time),
    })
}

async fn start_development(settings: &Settings, resource: &str) -> Result<AuthorizationServer, String> {
    let bind = settings.development_bind;
    let configuration = Configuration {
        bind,
        resource: resource.to_owned(),
        default_scopes: settings.required_scopes.clone(),
        scopes: settings.all_scopes(),
    };
    let started = match settings.development_is_opaque {
        true => AuthorizationServer::start_opaque(configuration).await,
        false => AuthorizationServer::start(configuration).await,
    };
    started.map_err(|error| {
        format!("MCP_DEV_AS_BIND={bind}: {error}; choose another address, or set MCP_ISSUER to an authorization server")
    })
}
