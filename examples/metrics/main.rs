//! A resource server with a page of metrics for Prometheus.
//!
//! The page has its own listener, on loopback by default. It needs no token, because Prometheus would need a client at the
//! authorization server, and the metrics would be missing during an outage of that. Let only Prometheus reach the port: the
//! page names the resource and the issuers, and shows the load.
//!
//! `alerts.yaml` has rules for Prometheus, and `grafana-dashboard.json` is a dashboard to import.
//!
//! ```sh
//! MCP_ISSUER=https://auth.example.com MCP_RESOURCE=https://api.example.com cargo run --example metrics --features metrics
//! curl http://127.0.0.1:9464/metrics
//! ```
#![allow(clippy::print_stdout, reason = "the program prints for its user")]

use std::error::Error;
use std::future::IntoFuture as _;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::time::interval;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Before the server is built, because the server then describes its metrics and starts to fetch keys.
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(VERIFICATION.to_owned()), &VERIFICATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Prefix("mcp_bearer_".to_owned()), &REQUEST_BUCKETS)?
        .install_recorder()?;

    let server = ResourceServer::builder(setting("MCP_RESOURCE", "http://127.0.0.1:8080"))
        .issuer(Issuer::discover(setting("MCP_ISSUER", "http://127.0.0.1:9000")))
        .build_lazy()?;

    let application = TcpListener::bind(setting("MCP_BIND", "127.0.0.1:8080")).await?;
    let page = TcpListener::bind(setting("MCP_METRICS_BIND", "127.0.0.1:9464")).await?;
    println!("application at http://{}", application.local_addr()?);
    println!("metrics at http://{}/metrics", page.local_addr()?);

    tokio::spawn(keep_small(metrics.clone()));
    let serve_page = axum::serve(page, page_of(metrics)).into_future();
    tokio::select! {
        ended = axum::serve(application, protected(&server)) => Ok(ended?),
        ended = serve_page => Ok(ended?),
    }
}

fn protected(server: &ResourceServer) -> Router {
    Router::new()
        .route("/", get(|auth: AuthInfo| async move { format!("hello, {}\n", auth.subject().unwrap_or("service")) }))
        .route_layer(server.bearer_layer())
        .merge(server.metadata_router())
}

fn page_of(metrics: PrometheusHandle) -> Router {
    let page = async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render());
    Router::new().route("/metrics", get(page))
}

/// The recorder keeps each measured duration until the next scrape. If nobody scrapes, this adds them to the buckets.
async fn keep_small(metrics: PrometheusHandle) {
    let mut times = interval(Duration::from_secs(5));
    loop {
        times.tick().await;
        metrics.run_upkeep();
    }
}

fn setting(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

const VERIFICATION: &str = "mcp_bearer_verification_duration_seconds";
/// In seconds. A cached token takes microseconds, a signature check less than a millisecond, and introspection a request.
const VERIFICATION_BUCKETS: [f64; 12] =
    [0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];
/// In seconds, for requests to an authorization server.
const REQUEST_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
