//! Responses with lists: long, slow, compressed, malformed and rejected ones.

use std::sync::Mutex;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::stream::iter;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mcp_bearer::mcp::{McpLayer, McpScopes};

use super::server::{McpServer, post, tools};
use super::stream::{CALL, EVENTS, Stream, feeding};
use crate::support::{Answer, Fixture};

const JSON: &str = "application/json";
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add_note"},{"name":"free"}]}}"#;
const FEWER_TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private","tools":[{"name":"free"}]}}"#;
const MEBIBYTE: usize = 1024 * 1024;

fn layer(fixture: &Fixture) -> McpLayer {
    fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"])).filter_lists()
}

/// A server with this response.
fn answering(layer: McpLayer, answer: Response<Body>) -> McpServer {
    let answer = Mutex::new(Some(answer));
    McpServer::with(tools(layer), move |_| answer.lock().unwrap().take().unwrap())
}

async fn listed(fixture: &Fixture, answer: Response<Body>) -> Answer {
    answering(layer(fixture), answer).post(&fixture.token(), &[], LIST).await
}

fn of_type(content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

/// A body of this many mebibytes: white space, followed by JSON.
fn large_body(mebibytes: usize, and: &'static str) -> Body {
    let spaces = Bytes::from(vec![b' '; MEBIBYTE]);
    let frames = std::iter::repeat_n(spaces, mebibytes).chain([Bytes::from(and)]);
    Body::new(StreamBody::new(iter(frames.map(|data| Ok::<_, std::convert::Infallible>(Frame::data(data))))))
}

#[tokio::test(start_paused = true)]
async fn lists_are_unchanged_unless_filtering_is_configured() {
    let fixture = Fixture::new().await;
    for layer in [
        fixture.server.mcp_layer(McpScopes::new()),
        fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"])),
    ] {
        for content_type in [JSON, EVENTS] {
            let mut answer = of_type(content_type, TOOLS);
            answer.headers_mut().insert(header::CONTENT_ENCODING, "br".parse().unwrap());
            let answer = answering(layer.clone(), answer).post(&fixture.token(), &[], LIST).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, TOOLS));
            assert_eq!(answer.header("content-length"), Some(TOOLS.len().to_string().as_str()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filtered_response_has_no_wrong_content_length() {
    let fixture = Fixture::new().await;
    let mut answer = of_type("application/json; charset=utf-8", TOOLS);
    answer.headers_mut().insert(header::CONTENT_LENGTH, TOOLS.len().into());
    answer.headers_mut().insert("x-other", "kept".parse().unwrap());
    let answer = listed(&fixture, answer).await;
    assert_eq!((answer.body.as_str(), answer.header("content-length")), (FEWER_TOOLS, None));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("x-other"), Some("kept"));
}

#[tokio::test(start_paused = true)]
async fn a_compressed_response_is_not_sent_unfiltered() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let compressed = |content_type| {
        let mut answer = of_type(content_type, TOOLS);
        answer.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        answer.headers_mut().insert("x-secret", "1".parse().unwrap());
        answering(layer(&fixture), answer)
    };
    let resumed =
        || Request::get("/mcp").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    for content_type in [JSON, EVENTS] {
        for request in [post(&token, &[], LIST), resumed()] {
            let answer = compressed(content_type).send(request).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.json()["error"], "server_error");
            assert_eq!(answer.header("content-encoding"), None);
            assert_eq!(answer.header("x-secret"), None);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        assert_eq!(compressed(content_type).post(&token, &[], CALL).await.body, TOOLS);
    }
    assert_eq!(compressed("text/plain").post(&token, &[], LIST).await.body, TOOLS);
}

/// Lists that some parsers accept, and that cannot be filtered.
fn unreadable() -> Vec<Vec<u8>> {
    let nan = TOOLS.replace(r#"{"name":"add_note"}"#, r#"{"name":"add_note","default":NaN}"#);
    let texts = [
        format!("\u{feff}{TOOLS}"),
        format!("{TOOLS}{TOOLS}"),
        format!("{TOOLS}\n{TOOLS}"),
        format!("{TOOLS} x"),
        format!("{TOOLS}\0"),
        format!("/* */{TOOLS}"),
        nan.replace("NaN", "Infinity"),
        nan.replace("NaN", "'a'"),
        nan.replace("NaN", "01"),
        nan,
        TOOLS.replace("]}}", ",]}}"),
        TOOLS.replace("\"name\"", "name"),
        TOOLS.replace('"', "'"),
        TOOLS[..TOOLS.len() - 1].to_owned(),
        " no json {".to_owned(),
        // A batch within a batch.
        format!("[[{TOOLS}]]"),
        format!("[{TOOLS},[]]"),
    ];
    let utf16 = TOOLS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let overlong = [TOOLS.split_at(10).0.as_bytes(), b"\xc0\xa2", TOOLS.split_at(10).1.as_bytes()].concat();
    texts.map(String::into_bytes).into_iter().chain([utf16, overlong]).collect()
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_response_is_not_sent_unfiltered() {
    let fixture = Fixture::new().await;
    for content_type in [JSON, "application/vnd.x+json", "application/json-rpc; charset=utf-8", "text/json"] {
        for body in unreadable() {
            let shown = String::from_utf8_lossy(&body).into_owned();
            for status in [StatusCode::OK, StatusCode::ACCEPTED] {
                let mut answer = of_type(content_type, body.clone());
                answer.headers_mut().insert("x-secret", "1".parse().unwrap());
                *answer.status_mut() = status;
                let answer = listed(&fixture, answer).await;
                assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{content_type} {shown}");
                assert_eq!(answer.json()["error"], "server_error");
                assert!(answer.header("x-secret").is_none() && !answer.body.contains("add_note"));
                assert_eq!(answer.header("cache-control"), Some("no-store"));
            }
            // An error response may have any body.
            let mut answer = of_type(content_type, body.clone());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            let response = answering(layer(&fixture), answer).respond(post(&fixture.token(), &[], LIST)).await;
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body, "{shown}");
        }
        for empty in ["", " \r\n"] {
            let answer = listed(&fixture, of_type(content_type, empty)).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, empty));
        }
        assert_eq!(listed(&fixture, of_type(content_type, TOOLS)).await.body, FEWER_TOOLS, "{content_type}");
    }
    // With several content types, some clients use the JSON one.
    let mut answer = of_type("text/plain", TOOLS);
    answer.headers_mut().append(header::CONTENT_TYPE, JSON.parse().unwrap());
    assert_eq!(listed(&fixture, answer).await.body, FEWER_TOOLS);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_event_is_omitted() {
    let fixture = Fixture::new().await;
    let events = |data: &[u8]| {
        let lines = data.split(|byte| *byte == b'\n').map(|line| [b"data: ", line, b"\n"].concat()).collect::<Vec<_>>();
        [b"id: 1\n".as_slice(), &lines.concat(), b"\n"].concat()
    };
    let before = b"id: 0\ndata:\n\n: hi\n\nevent: x\n\n".as_slice();
    for data in unreadable() {
        let shown = String::from_utf8_lossy(&data).into_owned();
        // UTF-16 data contains bytes that look like line ends in UTF-8.
        let body = [before, &events(&data), &events(TOOLS.as_bytes()), b": bye\n\n"].concat();
        let answer = listed(&fixture, of_type(EVENTS, body)).await;
        let expected = format!("{}id: 1\ndata: {FEWER_TOOLS}\n\n: bye\n\n", String::from_utf8_lossy(before));
        assert_eq!((answer.status, answer.body), (StatusCode::OK, expected), "{shown}");
    }
    // The text before this byte order mark is removed, so the mark moves to the start. It must be kept there.
    for before in ["data: x\n\n", "\u{feff}data: x\n\n", "\u{feff}"] {
        let answer = listed(&fixture, of_type(EVENTS, format!("{before}\u{feff}data: {TOOLS}\n\n"))).await;
        assert_eq!(answer.body, format!("\n\u{feff}data: {TOOLS}\n\n"), "{before:?}");
    }
    // A byte order mark at the start of a stream is not part of the first line.
    for mark in ["\u{feff}", ""] {
        let answer = listed(&fixture, of_type(EVENTS, format!("{mark}data: {TOOLS}\n\ndata: {TOOLS}\n\n"))).await;
        assert_eq!(answer.body, format!("data: {FEWER_TOOLS}\n\n").repeat(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_response_is_not_sent_unfiltered() {
    let fixture = Fixture::new().await;
    for (seconds, status) in [(9, 500), (11, 200)] {
        let (server, feed) = feeding(tools(layer(&fixture)), JSON);
        tokio::spawn(async move {
            feed.send("\u{feff}");
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            feed.send(TOOLS);
        });
        let response = server.respond(post(&fixture.token(), &[], LIST)).await;
        assert_eq!(response.status(), status);
        // The response head has already been sent, so only an error can tell that the list is missing.
        let body = response.into_body().collect().await;
        assert_eq!(body.is_err(), status == 200);
    }
}

#[tokio::test(start_paused = true)]
async fn responses_keep_their_status() {
    let fixture = Fixture::new().await;
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown cursor"}}"#;
    for (status, body, expected) in [
        (StatusCode::BAD_REQUEST, error, error),
        (StatusCode::NOT_FOUND, error, error),
        (StatusCode::INTERNAL_SERVER_ERROR, "{ no json", "{ no json"),
        (StatusCode::ACCEPTED, "", ""),
        // Some clients may read the list anyway.
        (StatusCode::NOT_FOUND, TOOLS, FEWER_TOOLS),
    ] {
        let mut answer = of_type(JSON, body);
        *answer.status_mut() = status;
        let answer = listed(&fixture, answer).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, expected));
    }
    let empty = listed(&fixture, StatusCode::NO_CONTENT.into_response()).await;
    assert_eq!((empty.status, empty.body.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[tokio::test(start_paused = true)]
async fn a_response_over_sixteen_mebibytes_is_replaced_by_an_error() {
    let fixture = Fixture::new().await;
    let answer = listed(&fixture, of_type(JSON, large_body(16, TOOLS))).await;
    assert_eq!(answer.json()["error"]["code"], -32603);
    assert_eq!(answer.json()["jsonrpc"], "2.0");
    assert!(answer.body.len() < 200);
    let answer = listed(&fixture, of_type(JSON, large_body(15, TOOLS))).await;
    assert_eq!(answer.body, FEWER_TOOLS);
    assert_eq!(listed(&fixture, of_type(JSON, large_body(16, ""))).await.body.len(), 16 * MEBIBYTE);
}

#[tokio::test(start_paused = true)]
async fn an_event_over_sixteen_mebibytes_ends_its_stream() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture)), EVENTS);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    for _ in 0..3 {
        feed.send(&format!("data: {}\n\n", " ".repeat(6 * MEBIBYTE)));
        assert_eq!(stream.next_now().unwrap().len(), 6 * MEBIBYTE + 8);
    }
    for _ in 0..2 {
        feed.send(&" ".repeat(8 * MEBIBYTE));
        assert!(stream.is_waiting());
    }
    feed.send(&format!("\n\ndata: {TOOLS}\n\n"));
    assert_eq!(stream.next_now(), None);
}

#[tokio::test(start_paused = true)]
async fn events_are_forwarded_when_they_are_complete() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture)), EVENTS);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    feed.send("data: 1\n\ndata: 2\n\ndata:");
    assert_eq!(stream.next_now().as_deref(), Some("data: 1\n\ndata: 2\n\n"));
    feed.send(TOOLS);
    assert!(stream.is_waiting());
    feed.send("\n");
    assert!(stream.is_waiting());
    feed.send("\n: keep");
    assert_eq!(stream.next_now().unwrap(), format!("data: {FEWER_TOOLS}\n\n"));
    feed.send(" alive\n\n");
    assert_eq!(stream.next_now().as_deref(), Some(": keep alive\n\n"));
    drop(feed);
    assert_eq!(stream.next_now(), None);
}

#[tokio::test(start_paused = true)]
async fn a_filtered_stream_ends_between_two_events_when_its_token_expires() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture)), EVENTS);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    feed.send(&format!("data: {TOOLS}\n\ndata: half"));
    assert_eq!(stream.next_now().unwrap(), format!("data: {FEWER_TOOLS}\n\n"));
    // No byte of the second event was sent, so it need not be completed.
    assert_eq!(stream.rest().await, (String::new(), 360));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_body_is_forwarded() {
    let fixture = Fixture::new().await;
    for content_type in [JSON, EVENTS] {
        let frames = [Ok(Frame::data(Bytes::from(TOOLS))), Err(std::io::Error::other("broken"))];
        let answer = of_type(content_type, Body::new(StreamBody::new(iter(frames))));
        let response = answering(layer(&fixture), answer).respond(post(&fixture.token(), &[], LIST)).await;
        let error = response.into_body().collect().await.unwrap_err();
        assert!(format!("{error:?}").contains("broken"));
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_the_filtered_list() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture)), JSON);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    feed.send(TOOLS);
    feed.end_with(HeaderMap::from_iter([(header::ETAG, "\"1\"".parse().unwrap())]));
    assert_eq!(stream.next().await.as_deref(), Some(FEWER_TOOLS));
    assert_eq!(stream.trailers().await[header::ETAG], "\"1\"");
}
