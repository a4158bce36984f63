use std::time::Duration;

use mcp_bearer::testing::TestIssuer;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::Program;

#[tokio::test]
async fn the_probes_show_when_the_authorization_server_becomes_available() {
    let issuer = TestIssuer::serve().unwrap();
    issuer.stop();
    let resource = "https://api.example.com";
    let any_port = [("MCP_BIND", "127.0.0.1:0"), ("MCP_PROBES_BIND", "127.0.0.1:0")];
    let variables = [&any_port[..], &[("MCP_ISSUER", issuer.url()), ("MCP_RESOURCE", resource)]].concat();
    let mut program = Program::start("kubernetes", &[], &variables);
    let printed = program.read_until("probes at").await;
    let [application, probes] = [0, 1].map(|line| printed[line].rsplit(' ').next().unwrap().to_owned());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let readiness = async || {
        let answer = http.get(format!("{probes}/readyz")).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };

    // The process is alive, and not ready.
    assert_eq!(http.get(format!("{probes}/healthz")).send().await.unwrap().status(), StatusCode::OK);
    let (status, health) = readiness().await;
    assert_eq!((status, &health["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &Value::Bool(false)));
    assert_eq!(health["issuers"][0]["issuer"], issuer.url());

    // Nobody sends a token. The background task finds the keys.
    issuer.restart().unwrap();
    let ready = async {
        loop {
            let (status, health) = readiness().await;
            if status == StatusCode::OK {
                return health;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let health = timeout(Duration::from_secs(70), ready).await.unwrap();
    assert_eq!((&health["ready"], &health["issuers"][0]["key_count"]), (&Value::Bool(true), &Value::from(1)));
    let token = issuer.token().audience(resource).subject("alice").sign();
    let answer = http.get(&application).bearer_auth(token).send().await.unwrap();
    assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, "hello, alice\n"));
    // The probes have their own port.
    assert_eq!(http.get(format!("{application}/readyz")).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_deployment_fits_the_program() {
    let (program, deployment) =
        (include_str!("../../examples/kubernetes/main.rs"), include_str!("../../examples/kubernetes/deployment.yaml"));
    for variable in ["MCP_ISSUER", "MCP_RESOURCE", "MCP_BIND", "MCP_PROBES_BIND"] {
        assert!(program.contains(&format!("setting(\"{variable}\"")), "{variable}");
        assert!(deployment.contains(&format!("name: {variable},")), "{variable}");
    }
    for path in ["/healthz", "/readyz"] {
        assert!(program.contains(&format!("route(\"{path}\"")), "{path}");
        assert!(deployment.contains(&format!("path: {path}, port: probes")), "{path}");
    }
}
