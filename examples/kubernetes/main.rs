//! A resource server with the probes of Kubernetes on a separate port.
//!
//! `/healthz` is for the liveness probe. It never depends on an authorization server: a restart would not repair that.
//! `/readyz` is for the readiness probe. It answers 200 or 503, with [`ResourceServer::health`] as JSON. `deployment.yaml` has
//! both probes.
//!
//! The program starts with [`build_lazy`](mcp_bearer::ResourceServerBuilder::build_lazy). So it also starts while the
//! authorization server is down, and becomes ready when that is available, without any request.
//!
//! ```sh
//! MCP_ISSUER=https://auth.example.com MCP_RESOURCE=https://api.example.com cargo run --example kubernetes
//! ```
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::error::Error;
use std::future::IntoFuture as _;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use mcp_bearer::server::Health;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = setting("MCP_ISSUER", "http://127.0.0.1:9000");
    let server = ResourceServer::builder(setting("MCP_RESOURCE", "http://127.0.0.1:8080"))
        .issuer(Issuer::discover(issuer))
        .build_lazy()?;

    let application = TcpListener::bind(setting("MCP_BIND", "127.0.0.1:8080")).await?;
    let probed = TcpListener::bind(setting("MCP_PROBES_BIND", "127.0.0.1:8081")).await?;
    println!("application at http://{}", application.local_addr()?);
    println!("probes at http://{}", probed.local_addr()?);

    let serve_probes = axum::serve(probed, probes(server.clone())).into_future();
    let serve_application = axum::serve(application, protected(&server)).with_graceful_shutdown(shutdown());
    // The probes are answered until the last request of the application has ended.
    tokio::select! {
        ended = serve_application => Ok(ended?),
        ended = serve_probes => Ok(ended?),
    }
}

fn protected(server: &ResourceServer) -> Router {
    Router::new()
        .route("/", get(|auth: AuthInfo| async move { format!("hello, {}\n", auth.subject().unwrap_or("service")) }))
        .route_layer(server.bearer_layer())
        .merge(server.metadata_router())
}

fn probes(server: ResourceServer) -> Router {
    Router::new().route("/healthz", get(|| async { "alive\n" })).route("/readyz", get(readiness)).with_state(server)
}

async fn readiness(State(server): State<ResourceServer>) -> (StatusCode, Json<Health>) {
    let health = server.health();
    let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

/// Waits for the signal with which Kubernetes ends a pod. The first process of a container ignores it by default.
async fn shutdown() {
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        terminated.recv().await;
        return;
    }
    // Without a signal handler, the process runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn setting(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}
