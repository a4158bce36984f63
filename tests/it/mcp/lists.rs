//! Filtered lists: they contain only what the client may use.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::iter;
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use mcp_bearer::ResourceServer;
use mcp_bearer::mcp::McpScopes;

use super::server::{McpServer, tools};
use super::stream::EVENTS;
use crate::support::{Fixture, RESOURCE};

const JSON: &str = "application/json";
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
/// Tools with number formats and escapes that must not change.
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add_note","z":1.50},{"name":"free","a":"\u00e9\/","n":1E2} , {"title":"é","name":"\u0066ree2"}],"nextCursor":"7","ttlMs":100}}"#;
/// The same list for a client that may not call `add_note`.
const FEWER_TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private","tools":[{"name":"free","a":"\u00e9\/","n":1E2},{"title":"é","name":"\u0066ree2"}],"nextCursor":"7","ttlMs":100}}"#;

fn rules() -> McpScopes {
    McpScopes::new()
        .tool("add_note", ["notes:write"])
        .prompt("summary", ["notes:read"])
        .resource("notes://{id}", ["notes:read"])
}

/// A server with filtered lists whose response consists of these frames.
fn answering(fixture: &Fixture, scopes: McpScopes, content_type: &'static str, frames: Vec<Bytes>) -> McpServer {
    let layer = fixture.server.mcp_layer(scopes).filter_lists();
    McpServer::with(tools(layer).allow_anonymous(), move |_| response(content_type, frames.clone()))
}

fn response(content_type: &'static str, frames: Vec<Bytes>) -> Response<Body> {
    let frames = frames.into_iter().map(|data| Ok::<_, std::convert::Infallible>(Frame::data(data)));
    let response = Response::builder().header(header::CONTENT_TYPE, content_type);
    response.body(Body::new(StreamBody::new(iter(frames)))).unwrap()
}

/// The response that a client with these scopes gets in place of `answer` to a request for a list.
async fn seen(fixture: &Fixture, rules: McpScopes, scopes: &str, content_type: &'static str, answer: &str) -> String {
    let server = answering(fixture, rules, content_type, vec![Bytes::copy_from_slice(answer.as_bytes())]);
    let token = if scopes.is_empty() { String::new() } else { fixture.token_for(scopes) };
    server.post(&token, &[], LIST).await.body
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

#[tokio::test(start_paused = true)]
async fn a_list_contains_what_the_client_may_use_and_is_private() {
    let fixture = Fixture::new().await;
    let cases = [
        ("mcp:tools", "tools", r#"{"name":"add_note"},{"name":"free"}"#, r#"{"name":"free"}"#),
        (
            "mcp:tools notes:write",
            "tools",
            r#"{"name":"add_note"}, {"name":"free"}"#,
            r#"{"name":"add_note"}, {"name":"free"}"#,
        ),
        ("mcp:tools", "prompts", r#"{"name":"summary"},{"name":"other"}"#, r#"{"name":"other"}"#),
        ("mcp:tools notes:read", "prompts", r#"{"name":"summary"}"#, r#"{"name":"summary"}"#),
        // Tools, prompts and resources of the same name have separate rules.
        ("mcp:tools", "prompts", r#"{"name":"add_note"}"#, r#"{"name":"add_note"}"#),
        (
            "mcp:tools",
            "resources",
            r#"{"uri":"notes://1","name":"x"},{"uri":"file:///a","name":"y"}"#,
            r#"{"uri":"file:///a","name":"y"}"#,
        ),
        ("mcp:tools notes:read", "resources", r#"{"uri":"notes://1"}"#, r#"{"uri":"notes://1"}"#),
        (
            "mcp:tools",
            "resourceTemplates",
            r#"{"uriTemplate":"notes://{id}"},{"uriTemplate":"notes://{other}"},{"uriTemplate":"file:///{+path}"}"#,
            r#"{"uriTemplate":"file:///{+path}"}"#,
        ),
        (
            "mcp:tools notes:read",
            "resourceTemplates",
            r#"{"uriTemplate":"notes://{id}"}"#,
            r#"{"uriTemplate":"notes://{id}"}"#,
        ),
        ("mcp:tools", "tools", "", ""),
    ];
    for (scopes, list, entries, expected) in cases {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":"a","result":{{"{list}":[{entries}]}}}}"#);
        let expected =
            format!(r#"{{"jsonrpc":"2.0","id":"a","result":{{"cacheScope":"private","{list}":[{expected}]}}}}"#);
        assert_eq!(seen(&fixture, rules(), scopes, JSON, &answer).await, expected, "{scopes} {entries}");
        assert_eq!(seen(&fixture, rules(), scopes, EVENTS, &event(&answer)).await, event(&expected));
    }
}

#[tokio::test(start_paused = true)]
async fn all_other_values_of_a_response_are_unchanged() {
    let fixture = Fixture::new().await;
    assert_eq!(seen(&fixture, rules(), "mcp:tools", JSON, TOOLS).await, FEWER_TOOLS);
    let marked = TOOLS.replace(r#""result":{"#, r#""result":{"cacheScope":"private","#);
    assert_eq!(seen(&fixture, rules(), "mcp:tools notes:write", JSON, TOOLS).await, marked);
    for (before, after) in [
        (r#"{"tools":[],"cacheScope":"public","ttlMs":1}"#, r#"{"tools":[],"cacheScope":"private","ttlMs":1}"#),
        // An object that is written again loses the white space around its names and values.
        (
            r#"{"cacheScope" : "public", "tools": [ ], "a": [ 1.50, {"b" : 1E2} ] }"#,
            r#"{"cacheScope":"private","tools":[ ],"a":[ 1.50, {"b" : 1E2} ]}"#,
        ),
        (r#"{"cacheScope":"private","tools":[]}"#, r#"{"cacheScope":"private","tools":[]}"#),
        (
            r#"{"cacheScope":null,"tools":[],"cacheScope":1}"#,
            r#"{"cacheScope":"private","tools":[],"cacheScope":"private"}"#,
        ),
        (
            r#"{"tools":[],"_meta":{"cacheScope":"public"}}"#,
            r#"{"cacheScope":"private","tools":[],"_meta":{"cacheScope":"public"}}"#,
        ),
    ] {
        let answer = |result: &str| format!(r#"{{"id":1,"result":{result},"jsonrpc":"2.0"}}"#);
        let sent = format!(" {}\n", answer(before));
        assert_eq!(seen(&fixture, rules(), "mcp:tools", JSON, &sent).await, answer(after));
    }
}

#[tokio::test(start_paused = true)]
async fn each_response_of_a_batch_is_filtered() {
    let fixture = Fixture::new().await;
    let batch = format!(
        r#"[{TOOLS},{{"jsonrpc":"2.0","id":2,"result":{{"x":1}}}} ,{{"jsonrpc":"2.0","id":3,"error":{{"code":1}}}},{TOOLS}]"#
    );
    let expected = batch.replace(TOOLS, FEWER_TOOLS).replace("} ,{", "},{");
    let request = format!(r#"[{LIST},{{"jsonrpc":"2.0","id":2,"method":"ping"}}]"#);
    for (content_type, answer, expected) in
        [(JSON, batch.clone(), expected.clone()), (EVENTS, event(&batch), event(&expected))]
    {
        let server = answering(&fixture, rules(), content_type, vec![answer.into()]);
        assert_eq!(server.post(&fixture.token_for("mcp:tools"), &[], request.clone()).await.body, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_filtered_with_any_split_into_frames() {
    let fixture = Fixture::new().await;
    let token = fixture.token_for("mcp:tools");
    for line_end in ["\n", "\r\n", "\r"] {
        let before = format!(": hi\n\nid: 1\nevent: message\ndata: {TOOLS}\n\ndata: {{}}\n\n").replace('\n', line_end);
        let json = (JSON, TOOLS.to_owned());
        for (content_type, answer) in [(EVENTS, before), json] {
            let whole = answering(&fixture, rules(), content_type, vec![answer.clone().into()]);
            let expected = whole.post(&token, &[], LIST).await.body;
            assert!(expected.contains(FEWER_TOOLS) && !expected.contains("add_note"));
            for at in 0..=answer.len() {
                let (one, two) = answer.as_bytes().split_at(at);
                let frames = vec![Bytes::copy_from_slice(one), Bytes::copy_from_slice(two)];
                let server = answering(&fixture, rules(), content_type, frames);
                let seen = server.post(&token, &[], LIST).await.body;
                // If a frame ends within a CRLF, an empty line may follow, which means nothing in an event stream.
                let same =
                    seen == expected || (line_end == "\r\n" && without_returns(&seen) == without_returns(&expected));
                assert!(same, "{at} of {answer:?}: {seen:?} instead of {expected:?}");
            }
            let bytes = answer.bytes().map(|byte| Bytes::from(vec![byte])).collect();
            let seen = answering(&fixture, rules(), content_type, bytes).post(&token, &[], LIST).await.body;
            assert_eq!(without_returns(&seen), without_returns(&expected));
        }
    }
}

/// The lines that are not empty.
fn without_returns(events: &str) -> Vec<&str> {
    events.split(['\r', '\n']).filter(|line| !line.is_empty()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_keeps_its_other_lines_and_may_have_several_data_lines() {
    let fixture = Fixture::new().await;
    let small = r#"{"result":{"cacheScope":"private","tools":[]}}"#;
    let cases = [
        ("data:{\"result\":{\"tools\":[]}}\n\n".to_owned(), event(small)),
        (
            "id: 7\nevent: message\n: a comment\ndata: {\"result\":\ndata:{\"tools\":\ndata: [{\"name\":\"add_note\"}]}}\nretry: 10\n\n".to_owned(),
            "id: 7\nevent: message\n: a comment\nretry: 10\ndata: {\"result\":{\"cacheScope\":\"private\",\"tools\":[]}}\n\n".to_owned(),
        ),
        (
            "data: {\"result\":{\"tools\":[],\ndata:\"a\":[1,\ndata: 2]}}\n\n".to_owned(),
            "data: {\"result\":{\"cacheScope\":\"private\",\"tools\":[],\"a\":[1,\ndata: 2]}}\n\n".to_owned(),
        ),
        (
            "data\ndata:{\"result\":{\"tools\":[]}}\ndata:\n\n".to_owned(),
            format!("data\ndata: {small}\n\n"),
        ),
        ("datax: {\"result\":{\"tools\":[]}}\n\n".to_owned(), "datax: {\"result\":{\"tools\":[]}}\n\n".to_owned()),
        // An incomplete event is dropped.
        (format!("{}data: {TOOLS}\n", event("{}")), event("{}")),
    ];
    for (answer, expected) in cases {
        assert_eq!(seen(&fixture, rules(), "mcp:tools", EVENTS, &answer).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_a_list_is_unchanged() {
    let fixture = Fixture::new().await;
    for answer in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"tools\":[]}"}],"tools":{"name":"add_note"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"tools","data":{"tools":[{"name":"add_note"}]}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":{"result":{"tools":[{"name":"add_note"}]}}}}"#,
        "[]",
        "1",
        "",
        " ",
    ] {
        assert_eq!(seen(&fixture, rules(), "mcp:tools", JSON, answer).await, answer);
        for answer in [event(answer), format!("id: 1\r\nevent:message\r\ndata:{answer}\r\n\r\n: hi\r\r")] {
            assert_eq!(seen(&fixture, rules(), "mcp:tools", EVENTS, &answer).await, answer);
        }
    }
    for content_type in ["text/plain", "application/jsonx", "application/octet-stream"] {
        assert_eq!(seen(&fixture, rules(), "mcp:tools", content_type, TOOLS).await, TOOLS, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_responses_to_list_requests_and_resumed_streams_are_filtered() {
    let fixture = Fixture::new().await;
    let token = fixture.token_for("mcp:tools notes:read");
    let server = answering(&fixture, rules(), EVENTS, vec![event(TOOLS).into()]);
    for (request, filters) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"7"}}"#, true),
        (r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#, true),
        (r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#, true),
        (r#"{"jsonrpc":"2.0","id":1,"method":"resources/templates/list"}"#, true),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, true),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free"}}"#, false),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, false),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, false),
    ] {
        let expected = event(if filters { FEWER_TOOLS } else { TOOLS });
        assert_eq!(server.post(&token, &[], request).await.body, expected, "{request}");
    }
    let resumed = Request::get("/mcp").header("last-event-id", "6").header("authorization", format!("Bearer {token}"));
    assert_eq!(server.send(resumed.body(Body::empty()).unwrap()).await.body, event(FEWER_TOOLS));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_token_sees_public_targets() {
    let fixture = Fixture::new().await;
    let rules = || {
        let lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
        let rules = rules().public(lists).public_tools(["free"]).public_prompts(["hello"]);
        rules.public_resources(["open://{id}"])
    };
    for (list, entries, expected) in [
        ("tools", r#"{"name":"add_note"},{"name":"free"},{"name":"other"}"#, r#"{"name":"free"}"#),
        ("prompts", r#"{"name":"summary"},{"name":"hello"},{"name":"free"}"#, r#"{"name":"hello"}"#),
        ("resources", r#"{"uri":"notes://1"},{"uri":"open://1"},{"uri":"open://a/../b"}"#, r#"{"uri":"open://1"}"#),
        (
            "resourceTemplates",
            r#"{"uriTemplate":"notes://{id}"},{"uriTemplate":"open://{id}"}"#,
            r#"{"uriTemplate":"open://{id}"}"#,
        ),
    ] {
        let answer = |entries: &str, scope: &str| format!(r#"{{"id":1,"result":{{{scope}"{list}":[{entries}]}}}}"#);
        let expected = answer(expected, r#""cacheScope":"private","#);
        assert_eq!(seen(&fixture, rules(), "", JSON, &answer(entries, "")).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn unlisted_targets_are_hidden_with_deny_unlisted() {
    let fixture = Fixture::new().await;
    for (rules, expected) in [
        (rules().deny_unlisted(), r#"{"name":"add_note"}"#),
        (rules().deny_unlisted().any_tool(["mcp:tools"]), r#"{"name":"add_note"},{"name":"free"}"#),
        (rules().any_tool(["admin"]), r#"{"name":"add_note"}"#),
    ] {
        let answer = |tools: &str| format!(r#"{{"result":{{"cacheScope":"private","tools":[{tools}]}}}}"#);
        let all = answer(r#"{"name":"add_note"},{"name":"free"}"#);
        assert_eq!(seen(&fixture, rules, "mcp:tools notes:write", JSON, &all).await, answer(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broader_scope_shows_the_targets_of_a_narrower_one() {
    let mut fixture = Fixture::cold();
    let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
    let builder = builder.scope_implies("admin", ["notes:write", "mcp:tools"]).scope_implies("root", ["admin"]);
    fixture.server = builder.build().await.unwrap();
    for (scopes, sees) in [("admin", true), ("root", true), ("mcp:tools notes:write", true), ("mcp:tools", false)] {
        let seen = seen(&fixture, rules(), scopes, JSON, TOOLS).await;
        assert_eq!(seen.contains("add_note"), sees, "{scopes}");
    }
}
