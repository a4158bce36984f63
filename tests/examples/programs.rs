use mcp_bearer::testing::TestIssuer;
use serde_json::json;

use crate::support::{Program, Server, run};

#[tokio::test]
async fn the_client_logs_in_and_calls_a_tool() {
    let server = Server::start().await;
    let (succeeded, stdout, stderr) = run("mcp_client", &["--approve", &server.resource], &[]).await;
    assert!(succeeded, "{stdout}{stderr}");
    assert!(stdout.contains("tools: add_note, list_notes, whoami\n"), "{stdout}");
    assert!(stdout.contains("\"scopes\":[\"mcp:tools\"],\"subject\":\"alice\""), "{stdout}");
}

#[tokio::test]
async fn the_printed_curl_line_calls_whoami() {
    let server = Server::start().await;
    let answer = send_printed_curl(&server).await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    let expected = json!({
        "subject": "alice", "client_id": "curl", "scopes": ["mcp:tools", "write:notes"], "issuer": server.issuer,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), expected);
}

#[tokio::test]
async fn add_note_needs_a_scope_and_each_user_has_separate_notes() {
    let server = Server::start().await;
    let narrow = server.service_token("mcp:tools").await;
    let rejected = server.post(&narrow, "add_note", json!({ "text": "x" })).await;
    assert_eq!(rejected.status(), 403);
    let challenge = rejected.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"mcp:tools write:notes\"")
    );

    assert_eq!(server.call_json(&server.token, "add_note", json!({ "text": "milk" })).await, json!({ "notes": 1 }));
    assert_eq!(server.call_json(&server.token, "list_notes", json!({})).await, json!(["milk"]));
    assert_eq!(server.call_json(&narrow, "list_notes", json!({})).await, json!([]));
}

#[tokio::test]
async fn a_request_without_a_token_gets_a_challenge_that_browsers_can_read() {
    let server = Server::start().await;
    for method in [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::DELETE] {
        let request = server.http.request(method, &server.resource).header("origin", "http://localhost:6274");
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 401);
        assert!(header("www-authenticate").contains("scope=\"mcp:tools\""));
        assert!(header("access-control-expose-headers").contains("www-authenticate"));
    }
    let unknown = server.resource.replace("/mcp", "/.well-known/nothing");
    assert_eq!(server.http.get(unknown).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_page_of_another_origin_is_rejected_before_anything_else() {
    let server = Server::start().await;
    let send = async |method: reqwest::Method, url: &str, origin: &str| {
        let request = server.http.request(method, url).bearer_auth(&server.token).header("origin", origin);
        request.header("access-control-request-method", "POST").send().await.unwrap().status().as_u16()
    };
    for (origin, is_allowed) in [
        ("http://localhost:6274", true),
        ("http://127.0.0.1:80", true),
        ("http://evil.example", false),
        ("http://localhost.evil.example:9000", false),
        ("null", false),
    ] {
        for method in [reqwest::Method::POST, reqwest::Method::GET, reqwest::Method::DELETE, reqwest::Method::OPTIONS] {
            let status = send(method.clone(), &server.resource, origin).await;
            assert_eq!(status != 403, is_allowed, "{method} {origin}: {status}");
        }
        let metadata = server.resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
        assert_eq!(send(reqwest::Method::GET, &metadata, origin).await, 200);
    }
}

#[tokio::test]
async fn a_configured_issuer_and_audience_are_accepted() {
    let server = Server::start().await;
    let mut program = Program::start(
        "mcp_server",
        &[],
        &[
            ("MCP_BIND", "127.0.0.1:0"),
            ("MCP_ISSUER", &server.issuer),
            ("MCP_AUDIENCE", &server.resource),
            ("MCP_REQUIRED_SCOPES", "write:notes"),
            ("MCP_LAZY", "1"),
        ],
    );
    let printed = program.read_until("From here").await;
    assert!(printed.iter().all(|line| !line.starts_with("eyJ")), "{printed:#?}");
    let resource = printed[0].split_whitespace().nth(2).unwrap();
    let narrow = server.service_token("mcp:tools").await;
    // A GET passes the layer, but is not a valid MCP request, so rmcp responds with 405.
    for (token, status) in [(&server.token, 405), (&narrow, 403)] {
        assert_eq!(server.http.get(resource).bearer_auth(token).send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn an_invalid_setting_gives_a_short_error() {
    for (set, expected) in [
        (&[("MCP_BIND", "nowhere")][..], "MCP_BIND=nowhere is not an address"),
        (&[("MCP_BIND", "0.0.0.0:0")], "set MCP_RESOURCE"),
        (
            &[("MCP_DPOP", "always")],
            "MCP_DPOP=always is neither optional nor required: write one of them, or unset the variable",
        ),
        (
            &[("MCP_DPOP", "required"), ("MCP_SENDER_CONSTRAINT", "mtls")],
            "MCP_DPOP=required and MCP_SENDER_CONSTRAINT=mtls are both set: unset one of them",
        ),
        (&[("MCP_LAZY", "perhaps")], "MCP_LAZY: \"perhaps\" is neither 1 nor 0"),
        (&[("MCP_INTROSPECTION_CLIENT_ID", "notes")], "is set without MCP_ISSUER"),
        (&[("MCP_RESOURCE", "https://h/mcp#f")], "has a fragment"),
        (&[("MCP_ISSUER", "auth.example.com")], "is not an absolute URL"),
        (&[("MCP_REQUIRED_SCOPES", "caf\u{e9}")], "is not a scope"),
        (&[("MCP_DEV_AS_BIND", "0.0.0.0:0")], "listens on loopback only"),
        (&[("MCP_ALLOWED_ORIGINS", "https://app.example.com/")], "an origin does not have a path"),
    ] {
        let variables = [&[("MCP_BIND", "127.0.0.1:0"), ("MCP_DEV_AS_BIND", "127.0.0.1:0")], set].concat();
        let (succeeded, _, stderr) = run("mcp_server", &[], &variables).await;
        assert!(!succeeded && stderr.contains(expected), "{set:?}: {stderr}");
        // The required scopes are scopes of the metadata too, so a wrong one is two mistakes under a heading.
        let lines = if set[0].0 == "MCP_REQUIRED_SCOPES" { 3 } else { 1 };
        assert_eq!(stderr.lines().count(), lines, "{set:?}: {stderr}");
    }
}

#[tokio::test]
async fn each_rest_call_has_the_status_printed_above_it() {
    let mut program = Program::start("rest_scopes", &[], &[("MCP_BIND", "127.0.0.1:0")]);
    let mut printed = program.read_until("# 200, files:admin").await;
    printed.extend(program.read_until("curl").await);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut calls = 0;
    for [comment, call] in printed.windows(2).map(|pair| [&pair[0], &pair[1]]) {
        let (Some(comment), Some(call)) = (comment.strip_prefix("# "), call.strip_prefix("curl ")) else { continue };
        let words = shell_words(call);
        let after = |option: &str| words.iter().skip_while(|word| *word != option).nth(1);
        let method = after("-X").map_or("GET", String::as_str).parse().unwrap();
        let url = words.iter().find(|word| word.starts_with("http")).unwrap();
        let mut request = match after("-d") {
            Some(body) => http.post(url).body(body.clone()),
            None => http.request(method, url),
        };
        if let Some((name, value)) = after("-H").and_then(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        let status = request.send().await.unwrap().status();
        assert!(comment.starts_with(status.as_str()), "{comment}: {status}");
        calls += 1;
    }
    assert_eq!(calls, 10);
}

/// Sends the request of the printed curl line and returns the response.
pub(crate) async fn send_printed_curl(server: &Server) -> serde_json::Value {
    let words = shell_words(&server.curl);
    let mut request = server.http.post(words.iter().find(|word| word.starts_with("http")).unwrap());
    for [option, value] in words.windows(2).map(|pair| [&pair[0], &pair[1]]) {
        if option == "-H" {
            let (name, value) = value.split_once(": ").unwrap();
            request = request.header(name, value);
        } else if option == "-d" {
            request = request.body(value.clone());
        }
    }
    request.send().await.unwrap().json().await.unwrap()
}

/// Splits a line into words as a shell does, with single quotes only.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, piece) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(piece.to_owned());
        } else {
            words.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[tokio::test]
async fn the_server_says_where_clients_need_a_configured_client_id() {
    const COMMANDS: [&str; 4] = ["MCP Inspector", "Claude Code", "VS Code", "From here"];
    for (registers, accepts_documents, expected) in
        [(true, None, true), (false, Some(true), true), (false, None, false)]
    {
        let issuer = TestIssuer::serve().unwrap();
        if !registers {
            issuer.set_metadata_member("registration_endpoint", serde_json::Value::Null);
        }
        if let Some(accepts) = accepts_documents {
            issuer.set_metadata_member("client_id_metadata_document_supported", accepts);
        }
        let variables = [("MCP_BIND", "127.0.0.1:0"), ("MCP_ISSUER", issuer.url())];
        let mut program = Program::start("mcp_server", &[], &variables);
        let last = if expected { "From here" } else { "                Its redirect URI" };
        let printed = program.read_until(last).await;

        let note = format!("Clients cannot register themselves at {}.", issuer.url());
        assert_eq!(printed.contains(&note), !expected, "{printed:#?}");
        let has = |start: &str| printed.iter().any(|line| line.starts_with(start));
        assert_eq!(has("Connect a client, which then asks you to log in:"), expected, "{printed:#?}");
        let commands: Vec<_> = COMMANDS.into_iter().filter(|command| has(command)).collect();
        assert_eq!(commands, if expected { &COMMANDS[..] } else { &["Claude Code"] }, "{printed:#?}");
        assert_eq!(printed.iter().any(|line| line.contains("--client-id CLIENT_ID")), !expected);
    }
}

#[tokio::test]
async fn of_two_issuers_the_one_without_registration_is_named() {
    let (open, closed) = (TestIssuer::serve().unwrap(), TestIssuer::serve().unwrap());
    closed.set_metadata_member("registration_endpoint", serde_json::Value::Null);
    let issuers = format!("{},{}", open.url(), closed.url());
    let mut program =
        Program::start("mcp_server", &[], &[("MCP_BIND", "127.0.0.1:0"), ("MCP_ISSUER", issuers.as_str())]);
    let printed = program.read_until("From here").await;
    let notes: Vec<_> = printed.iter().filter(|line| line.starts_with("Clients cannot register")).collect();
    assert_eq!(notes, [&format!("Clients cannot register themselves at {}.", closed.url())]);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_not_said_to_refuse_registration() {
    let variables = [("MCP_BIND", "127.0.0.1:0"), ("MCP_ISSUER", "http://127.0.0.1:1"), ("MCP_LAZY", "1")];
    let mut program = Program::start("mcp_server", &[], &variables);
    let printed = program.read_until("From here").await;
    assert!(printed.iter().all(|line| !line.starts_with("Clients cannot register")), "{printed:#?}");
}
