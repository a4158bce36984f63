//! An authorization server and a resource server that work, and what the operator tells the doctor about them.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{Issuer, ResourceServer, ResourceServerBuilder};
use tokio::net::TcpListener;

use crate::program::{Run, run_with_stdin};

/// A deployment on loopback. Every field can be changed into a fault before [`examine`](Self::examine).
pub(crate) struct Deployment {
    pub(crate) issuer: Arc<TestIssuer>,
    /// The scheme, host and port of the resource server.
    pub(crate) origin: String,
    listener: TcpListener,
    pub(crate) given_issuer: String,
    pub(crate) given_resource: String,
    /// The configuration of the resource server.
    pub(crate) configured_issuer: Issuer,
    pub(crate) configured_resource: String,
    /// More settings of the resource server.
    pub(crate) configure: fn(ResourceServerBuilder) -> ResourceServerBuilder,
    pub(crate) app: fn(&ResourceServer) -> Router,
    pub(crate) more_arguments: Vec<String>,
    /// The bytes that the program reads from stdin.
    pub(crate) stdin: Vec<u8>,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let issuer = Arc::new(TestIssuer::serve().unwrap());
        issuer.set_metadata_member("scopes_supported", vec!["mcp:tools"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let resource = format!("{origin}/mcp");
        Self {
            given_issuer: issuer.url().to_owned(),
            given_resource: resource.clone(),
            configured_issuer: Issuer::discover(issuer.url()),
            configured_resource: resource,
            configure: |builder| builder,
            app: working,
            more_arguments: Vec::new(),
            stdin: Vec::new(),
            issuer,
            origin,
            listener,
        }
    }

    /// Starts the resource server, and runs the doctor with `format` as an additional argument.
    pub(crate) async fn examine(self, format: &[&str]) -> Run {
        let server = ResourceServer::builder(self.configured_resource.as_str()).issuer(self.configured_issuer);
        let server = (self.configure)(server.scopes_supported(["mcp:tools"])).build_lazy().unwrap();
        let (app, listener) = ((self.app)(&server), self.listener);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let more = self.more_arguments.iter().map(String::as_str);
        let arguments = ["doctor", "--issuer", &self.given_issuer, "--resource", &self.given_resource];
        let arguments: Vec<_> = arguments.into_iter().chain(more).chain(format.iter().copied()).collect();
        let run = run_with_stdin(&arguments, &self.stdin).await;
        serving.abort();
        run
    }
}

/// The application of the guide.
pub(crate) fn working(server: &ResourceServer) -> Router {
    endpoint()
        .route_layer(server.bearer_layer().required_scopes(["mcp:tools"]))
        .layer(server.cors_layer())
        .merge(server.metadata_router())
}

/// An endpoint without a layer.
pub(crate) fn endpoint() -> Router {
    Router::new().route("/mcp", any(|| async { "{}" }))
}
