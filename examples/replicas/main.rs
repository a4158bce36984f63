//! One of several servers that share their state in Redis: used DPoP proofs and revoked tokens.
//!
//! `run` starts Redis, HAProxy and two replicas of this program. Then it starts the program as a client, which shows that a
//! proof that one replica has accepted is rejected by the other, and that a token that is revoked at one replica is rejected by
//! both.
#![allow(clippy::print_stdout, reason = "the program prints for its user")]
#![allow(clippy::disallowed_methods, reason = "an application asks the system for the time")]
#![allow(clippy::arithmetic_side_effects, reason = "the numbers are small")]

mod client;

use std::error::Error;
use std::future::IntoFuture as _;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use mcp_bearer::sender::{Dpop, NonceKey, SenderConstraint};
use mcp_bearer::shared::RedisState;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer, Revocation};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("client") {
        return client::run(&setting("RESOURCE", RESOURCE), &setting("ISSUER", ISSUER)).await;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("mcp_bearer=info,warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();

    // A client gets a nonce of one replica and sends it to another, so both need the same key.
    let nonce_key = NonceKey::parse(&std::fs::read_to_string(setting("NONCE_KEY_FILE", "nonce_key"))?)?;
    let server = ResourceServer::builder(setting("RESOURCE", RESOURCE))
        .issuer(Issuer::discover(setting("ISSUER", ISSUER)))
        .sender_constraint(SenderConstraint::Required)
        .dpop(Dpop::new().require_nonces().nonce_key(nonce_key))
        .shared_state(RedisState::new(setting("REDIS_URL", "redis://127.0.0.1:9320")))
        // Without the shared state, each replica would accept a proof once.
        .replicas_share_state()
        .build_lazy()?;

    let application = TcpListener::bind(setting("BIND", "127.0.0.1:9301")).await?;
    let internal = TcpListener::bind(setting("INTERNAL_BIND", "127.0.0.1:9311")).await?;
    println!("application at http://{}", application.local_addr()?);
    println!("internal endpoints at http://{}", internal.local_addr()?);

    let serve_application = axum::serve(application, protected(&server, setting("REPLICA", "a"))).into_future();
    let serve_internal = axum::serve(internal, internal_endpoints(server)).into_future();
    tokio::select! {
        ended = serve_application => Ok(ended?),
        ended = serve_internal => Ok(ended?),
    }
}

fn protected(server: &ResourceServer, replica: String) -> Router {
    let hello =
        async move |auth: AuthInfo| format!("hello, {}, from replica {replica}\n", auth.subject().unwrap_or("nobody"));
    Router::new().route("/hello", get(hello)).route_layer(server.bearer_layer()).merge(server.metadata_router())
}

/// Endpoints without authentication, on a listener that only the balancer and an operator can reach.
fn internal_endpoints(server: ResourceServer) -> Router {
    Router::new().route("/readyz", get(readiness)).route("/revoke", post(revoke)).with_state(server)
}

async fn readiness(State(server): State<ResourceServer>) -> StatusCode {
    if server.health().is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Revokes the token in the body at all replicas.
async fn revoke(State(server): State<ResourceServer>, token: String) -> (StatusCode, String) {
    // Longer than the lifetime of each token.
    let until = SystemTime::now() + Duration::from_secs(24 * 3600);
    match server.revoke(Revocation::token(token), until).await {
        Ok(()) => (StatusCode::OK, "revoked\n".to_owned()),
        // This replica rejects the token, and the others may not. The operator has to try again.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

fn setting(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

/// The address of the balancer, which is the one that clients use.
const RESOURCE: &str = "http://127.0.0.1:9300/hello";
const ISSUER: &str = "http://127.0.0.1:9309";
