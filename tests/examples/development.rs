//! The server without an authorization server.

use serde_json::{Value, json};

use crate::support::{Program, run};

#[tokio::test]
async fn requests_of_this_machine_have_the_development_identity() {
    let mut program = Program::start("development", &[], &[("MCP_BIND", "127.0.0.1:0")]);
    let printed = program.read_until("curl").await;
    let resource = printed[0].strip_prefix("MCP server ").unwrap();
    let curl = printed.last().unwrap();
    let message = curl.split('\'').nth(5).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |body: String, headers: &[(&str, &str)]| {
        let request = http.post(resource).header("content-type", "application/json").body(body);
        let request = request.header("accept", "application/json, text/event-stream");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    };
    let answer: Value = send(message.to_owned(), &[]).await.json().await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "Development dev", "{answer}");

    let delete = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_note"}});
    assert_eq!(send(delete.to_string(), &[]).await.status(), 403);
    for (name, value, status) in [
        ("host", "evil.example", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "http://localhost:6274", 200),
        ("x-forwarded-for", "127.0.0.1", 403),
        ("authorization", "Bearer made-up", 401),
    ] {
        assert_eq!(send(message.to_owned(), &[(name, value)]).await.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_is_an_error() {
    let (succeeded, _, stderr) = run("development", &[], &[("MCP_BIND", "0.0.0.0:0")]).await;
    assert!(!succeeded && stderr.contains("is accepted only for loopback hosts"), "{stderr}");
}
