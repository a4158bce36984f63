//! The development authorization server of the example `mcp_server`.
#![allow(dead_code, unused_imports, reason = "the modules are parts of a program")]
#![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "the program allows them too")]

use mcp_bearer::Issuer;

use crate::deployment::Deployment;
use development::{AuthorizationServer, Configuration};

#[path = "../../examples/mcp_server/development/mod.rs"]
mod development;

async fn behind_the_development_server() -> (Deployment, AuthorizationServer) {
    let mut deployment = Deployment::new().await;
    let configuration = Configuration {
        bind: "127.0.0.1:0".parse().unwrap(),
        resource: deployment.given_resource.clone(),
        default_scopes: vec!["mcp:tools".to_owned()],
        scopes: vec!["mcp:tools".to_owned()],
        supports_dpop: false,
    };
    let server = AuthorizationServer::start(configuration).await.unwrap();
    deployment.given_issuer = server.url().to_owned();
    deployment.configured_issuer = Issuer::discover(server.url());
    (deployment, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_server_has_no_fault() {
    let (deployment, _server) = behind_the_development_server().await;
    let run = deployment.examine(&[]).await;
    assert_eq!(run.exit_status, 0, "{}", run.stdout);
    assert!(run.stdout.contains("dynamic client registration at "), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_of_the_development_server_is_the_first_cause() {
    let (mut deployment, server) = behind_the_development_server().await;
    deployment.given_issuer = deployment.given_issuer.replace("127.0.0.1", "localhost");
    let run = deployment.examine(&[]).await;
    assert_eq!(run.exit_status, 1, "{}", run.stdout);
    assert!(run.stdout.contains("\n1. fault issuer.identity"), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("Issuer::discover(\"{}\")", server.url())), "{}", run.stdout);
}
