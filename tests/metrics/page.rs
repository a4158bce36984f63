//! The example `metrics`, as a process.

use std::time::Duration;

use mcp_bearer::testing::TestIssuer;
use reqwest::StatusCode;
use tokio::time::{sleep, timeout};

use crate::exporter::Page;
use crate::programs::Program;
use crate::table;

#[tokio::test]
async fn the_page_shows_accepted_and_rejected_requests() {
    let issuer = TestIssuer::serve().unwrap();
    let resource = "https://api.example.com";
    let any_port = [("MCP_BIND", "127.0.0.1:0"), ("MCP_METRICS_BIND", "127.0.0.1:0")];
    let variables = [&any_port[..], &[("MCP_ISSUER", issuer.url()), ("MCP_RESOURCE", resource)]].concat();
    let mut program = Program::start("metrics", &[], &variables);
    let printed = program.read_until("metrics at").await;
    let [application, metrics] = [0, 1].map(|line| printed[line].rsplit(' ').next().unwrap().to_owned());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = async || {
        let response = http.get(&metrics).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Page::parse(&response.text().await.unwrap())
    };
    let keys_fetched = async {
        while page().await.value("mcp_bearer_key_set_keys", &[("issuer", issuer.url())]) != Some(1.0) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), keys_fetched).await.unwrap();

    let valid = issuer.token().audience(resource).subject("alice").sign();
    let other = issuer.token().audience("https://other.example.com").sign();
    for (token, status) in [(&valid, StatusCode::OK), (&valid, StatusCode::OK), (&other, StatusCode::UNAUTHORIZED)] {
        assert_eq!(http.get(&application).bearer_auth(token).send().await.unwrap().status(), status);
    }
    let page = page().await;
    let count = |name: &str, labels: &[(&str, &str)]| {
        page.value(name, &[&[("resource", resource)], labels].concat()).unwrap_or_default()
    };
    assert_eq!(count("mcp_bearer_tokens_accepted_total", &[]), 2.0);
    assert_eq!(count("mcp_bearer_requests_rejected_total", &[("cause", "audience")]), 1.0);
    let buckets =
        |bound| count("mcp_bearer_verification_duration_seconds_bucket", &[("result", "accepted"), ("le", bound)]);
    assert_eq!((buckets("+Inf"), buckets("10")), (2.0, 2.0));
    let table = table::metrics();
    for (name, kind) in &page.types {
        assert_eq!(table.get(name).map(|row| &row.kind), Some(kind), "{name}");
    }
    // The page is not on the port of the application.
    assert_eq!(http.get(format!("{application}/metrics")).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}
