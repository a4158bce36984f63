//! Rules for tools and prompts that do not exist: an error where the names are known, else a warning.

use axum::response::{IntoResponse as _, Response};
use http::header;
use mcp_bearer::BuildErrorKind::Setting;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use serde_json::{Value, json};
use tracing::Level;

use super::server::{McpServer, tools};
use crate::capture::Capture;
use crate::support::Fixture;

const NAMES: [&str; 3] = ["add_note", "list_notes", "search"];

#[test]
fn a_rule_for_a_name_that_is_not_known_fails_at_build() {
    let server = Fixture::cold().server;
    let new = McpScopes::new;
    for (scopes, sentence) in [
        (
            new().tool("ad_note", ["a"]).known_tools(NAMES),
            r#"a rule is for the tool "ad_note", which the server does not have; write "add_note", or remove the rule"#,
        ),
        (new().known_tools(NAMES).public_tools(["serach"]), r#"write "search", or remove the rule"#),
        (
            new().tool("delete_everything", ["a"]).known_tools(NAMES),
            r#"the tool "delete_everything", which the server does not have; correct the name, or remove the rule"#,
        ),
        (new().tool("x", ["a"]).known_tools([""; 0]), r#"the tool "x", which the server does not have"#),
        (
            new().prompt("sumary", ["a"]).known_prompts(["summary"]),
            r#"the prompt "sumary", which the server does not have"#,
        ),
        (new().prompt("add_note", ["a"]).known_tools(NAMES).known_prompts(["summary"]), r#"the prompt "add_note""#),
    ] {
        let error = server.try_mcp_layer(scopes).unwrap_err();
        assert_eq!(error.kind(), Setting, "{error}");
        assert!(error.to_string().contains(sentence), "{error}");
    }
    let scopes = new().tool("add_note", ["a"]).public_tools(["search"]).prompt("summary", ["a"]).any_tool(["b"]);
    let _ = server.mcp_layer(scopes.known_tools(NAMES).known_prompts(["summary"]));
}

#[test]
fn known_tools_without_a_rule_are_logged_once() {
    let server = Fixture::cold().server;
    let capture = Capture::of_this_thread();
    let new = || McpScopes::new().tool("add_note", ["a"]).known_tools(NAMES);
    for (scopes, expected) in [
        (new(), Some("names=\"list_notes, search\"")),
        (new().public_tools(["search"]), Some("names=\"list_notes\"")),
        (new().known_prompts(["summary"]).any_tool(["a"]), Some("kind=\"prompt\" names=\"summary\"")),
        (new().any_tool(["a"]), None),
        (new().deny_unlisted(), None),
        (new().method("tools/call", ["a"]), None),
        (new().tool("list_notes", ["a"]).tool("search", ["a"]), None),
        (McpScopes::new().tool("add_note", ["a"]), None),
    ] {
        capture.take();
        let _ = server.mcp_layer(scopes).filter_lists();
        let lines = capture.take();
        let lines: Vec<_> = lines.iter().filter(|(_, line)| line.contains("without a rule")).collect();
        match expected {
            None => assert!(lines.is_empty(), "{lines:?}"),
            Some(names) => {
                let [(Level::INFO, line)] = lines.as_slice() else { panic!("{lines:?}") };
                assert!(line.contains(names), "{names}: {line}");
            }
        }
    }
}

/// A server with this response to every request, as JSON or as an event.
fn listing(layer: McpLayer, response: &Value, events: bool) -> McpServer {
    let (content_type, body) = match events {
        true => ("text/event-stream", format!("data: {response}\n\n")),
        false => ("application/json", response.to_string()),
    };
    McpServer::with(tools(layer), move |_| -> Response {
        ([(header::CONTENT_TYPE, content_type)], body.clone()).into_response()
    })
}

fn list(names: &[&str]) -> Value {
    let tools: Vec<_> = names.iter().map(|name| json!({ "name": name, "inputSchema": {} })).collect();
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools } })
}

fn request(params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params })
}

/// The warnings about rules for tools that do not exist.
fn warnings(capture: &Capture) -> Vec<String> {
    let lines = capture.take().into_iter().filter(|(_, line)| line.contains("not in the list of tools"));
    lines.inspect(|(level, line)| assert_eq!(*level, Level::WARN, "{line}")).map(|(_, line)| line).collect()
}

#[tokio::test(start_paused = true)]
async fn a_complete_list_without_the_tool_of_a_rule_is_a_warning_once() {
    let fixture = Fixture::new().await;
    let capture = Capture::of_this_thread();
    let token = fixture.token_for("mcp:tools");
    for (events, is_filtered) in [(false, true), (true, true), (false, false), (true, false)] {
        let scopes = McpScopes::new().tool("ad_note", ["a"]).tool("search", ["b"]).public_tools(["zzz"]);
        let layer = fixture.server.mcp_layer(scopes);
        let layer = if is_filtered { layer.filter_lists() } else { layer };
        let server = listing(layer, &list(&NAMES), events);
        capture.take();
        for _ in 0..3 {
            let answer = server.call(&token, &request(&json!({}))).await;
            assert_eq!(answer.status, 200);
            // A list that is not filtered is passed on as it is.
            assert!(is_filtered || answer.body.contains(&list(&NAMES).to_string()), "{}", answer.body);
        }
        let mut lines = warnings(&capture);
        lines.sort_unstable();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("rule=\"ad_note\" closest=add_note"), "{lines:?}");
        assert!(lines[1].contains("rule=\"zzz\"") && !lines[1].contains("closest"), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_warning_follows_from_a_list_that_may_have_more_tools() {
    let fixture = Fixture::new().await;
    let capture = Capture::of_this_thread();
    let token = fixture.token_for("mcp:tools");
    let layer = || fixture.server.mcp_layer(McpScopes::new().tool("ad_note", ["a"]));
    let complete = list(&NAMES);
    let mut more = complete.clone();
    more["result"]["nextCursor"] = "2".into();
    let (first, second) = (json!({}), json!({ "cursor": "2" }));
    let known = fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["a"]).known_tools(NAMES));
    for (name, layer, response, params) in [
        ("another page follows", layer().filter_lists(), &more, &first),
        ("a later page", layer().filter_lists(), &complete, &second),
        ("an empty list", layer().filter_lists(), &list(&[]), &first),
        ("an error", layer().filter_lists(), &json!({ "error": { "code": 1 } }), &first),
        ("another page follows, unfiltered", layer(), &more, &first),
        ("a later page, unfiltered", layer(), &complete, &second),
        ("the tools are known", known.filter_lists(), &list(&["search"]), &first),
    ] {
        let server = listing(layer, response, false);
        capture.take();
        server.call(&token, &request(params)).await;
        assert_eq!(warnings(&capture), [""; 0], "{name}");
    }
    // A later list that is complete is compared.
    let server = listing(layer().filter_lists(), &complete, false);
    let escaped = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"\u0063ursor":"2"}}"#;
    for (body, count) in [(escaped.to_owned(), 0), (request(&second).to_string(), 0), (request(&first).to_string(), 1)]
    {
        server.post(&token, &[], body).await;
        assert_eq!(warnings(&capture).len(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_list_that_is_not_filtered_is_passed_on_and_not_compared() {
    let fixture = Fixture::new().await;
    let capture = Capture::of_this_thread();
    let token = fixture.token_for("mcp:tools");
    let layer = || fixture.server.mcp_layer(McpScopes::new().tool("ad_note", ["a"]));
    for (length, expected) in [(1_000_000, 1), (1_100_000, 0)] {
        let mut long = list(&NAMES);
        long["result"]["tools"][0]["description"] = "x".repeat(length).into();
        let server = listing(layer(), &long, false);
        capture.take();
        let answer = server.call(&token, &request(&json!({}))).await;
        let expected_body = long.to_string();
        assert!(answer.status == 200 && answer.body == expected_body, "{length}");
        assert_eq!(warnings(&capture).len(), expected, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_lists_of_tools_are_read_to_find_their_names() {
    let fixture = Fixture::new().await;
    let capture = Capture::of_this_thread();
    let token = fixture.token_for("mcp:tools");
    let server = listing(fixture.server.mcp_layer(McpScopes::new().tool("ad_note", ["a"])), &list(&NAMES), false);
    capture.take();
    let prompts = json!({ "jsonrpc": "2.0", "id": 1, "method": "prompts/list", "params": {} });
    for _ in 0..20 {
        assert_eq!(server.call(&token, &prompts).await.status, 200);
    }
    assert_eq!(warnings(&capture), Vec::<String>::new());
    assert_eq!(server.call(&token, &request(&json!({}))).await.status, 200);
    assert_eq!(warnings(&capture).len(), 1);
}
