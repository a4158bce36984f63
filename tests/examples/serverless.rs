use std::fs;
use std::path::Path;
use std::time::Duration;

use mcp_bearer::testing::{Endpoint, TestIssuer};
use tokio::time::{sleep, timeout};

use crate::support::{Program, run};

#[tokio::test]
async fn the_first_request_does_not_wait_for_the_authorization_server() {
    let issuer = TestIssuer::serve().unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("serverless-{}.json", std::process::id()));
    fs::write(&path, issuer.jwk_set().to_string()).unwrap();
    issuer.stop();
    let (resource, file) = ("https://api.example.com", path.to_str().unwrap());
    let variables =
        |file| [("PORT", "0"), ("MCP_ISSUER", issuer.url()), ("MCP_RESOURCE", resource), ("MCP_JWKS_FILE", file)];
    let mut program = Program::start("serverless", &[], &variables(file));
    let printed = program.read_until("application at").await;
    let application = printed.last().unwrap().rsplit(' ').next().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = issuer.token().audience(resource).subject("alice").sign();
    let answer = http.get(application).bearer_auth(&token).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "hello, alice\n"));

    // The key set is fetched when the authorization server is available, without a request.
    issuer.restart().unwrap();
    let fetched = async {
        while issuer.requests(Endpoint::KeySet) == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(70), fetched).await.unwrap();

    let (succeeded, _, stderr) = run("serverless", &[], &variables("/missing/jwks.json")).await;
    assert!(!succeeded && stderr.contains("the key set file \"/missing/jwks.json\" cannot be read"), "{stderr}");
}
