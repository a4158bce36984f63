//! The example behind an identity-aware proxy, called as its output says.

use crate::support::{Program, run};

#[tokio::test]
async fn each_printed_request_has_its_printed_status() {
    let mut program = Program::start("identity_proxy", &[], &[("MCP_BIND", "127.0.0.1:0")]);
    let printed = program.read_until("ready").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut bodies = Vec::new();
    for lines in printed.windows(2).filter(|lines| lines[0].starts_with("# ")) {
        let url = lines[1].split_whitespace().find(|word| word.starts_with("http")).unwrap();
        // Each header is in single quotes.
        let headers = lines[1].split('\'').skip(1).step_by(2).map(|header| header.split_once(": ").unwrap());
        let request = headers.fold(http.get(url), |request, (name, value)| request.header(name, value));
        let answer = request.send().await.unwrap();
        assert!(lines[0].starts_with(&format!("# {},", answer.status().as_str())), "{}: {lines:?}", answer.status());
        bodies.push(answer.text().await.unwrap());
    }
    assert_eq!(bodies.len(), 5);
    assert_eq!(bodies[0], "the notes of alice\n");
}

#[tokio::test]
async fn an_incomplete_configuration_is_an_error() {
    for (variables, expected) in [
        (&[("MCP_ACCESS_TEAM", "team")][..], "set both MCP_ACCESS_TEAM and MCP_ACCESS_TAG"),
        (
            &[("MCP_ACCESS_TEAM", "https://team.cloudflareaccess.com"), ("MCP_ACCESS_TAG", "32eafc76")],
            "write `providers::",
        ),
    ] {
        let variables = [&[("MCP_BIND", "127.0.0.1:0")][..], variables].concat();
        let (succeeded, _, stderr) = run("identity_proxy", &[], &variables).await;
        assert!(!succeeded && stderr.contains(expected), "{variables:?}: {stderr}");
    }
}
