//! What else an answer with a list is: long, slow, compressed, broken, refused.

use std::sync::Mutex;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::stream::iter;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mcp_bearer::mcp::{McpLayer, McpScopes};

use super::server::{McpServer, bearer, post};
use super::stream::{CALL, EVENTS, Stream, feeding};
use crate::support::{Answer, Fixture};

const JSON: &str = "application/json";
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add_note"},{"name":"free"}]}}"#;
const FEWER_TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private","tools":[{"name":"free"}]}}"#;
const MEBIBYTE: usize = 1024 * 1024;

fn layer(fixture: &Fixture) -> McpLayer {
    fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"])).unwrap().filter_lists(true)
}

/// A server with one answer.
fn answering(fixture: &Fixture, layer: McpLayer, answer: Response<Body>) -> McpServer {
    let answer = Mutex::new(Some(answer));
    McpServer::with(bearer(fixture), layer, move |_| answer.lock().unwrap().take().unwrap())
}

async fn listed(fixture: &Fixture, answer: Response<Body>) -> Answer {
    answering(fixture, layer(fixture), answer).post(&fixture.token(), &[], LIST).await
}

fn of_type(content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder().header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

/// A body of so many mebibytes: JSON, white space first.
fn large(mebibytes: usize, and: &'static str) -> Body {
    let spaces = Bytes::from(vec![b' '; MEBIBYTE]);
    let frames = std::iter::repeat_n(spaces, mebibytes).chain([Bytes::from(and)]);
    Body::new(StreamBody::new(iter(frames.map(|data| Ok::<_, std::convert::Infallible>(Frame::data(data))))))
}

#[tokio::test(start_paused = true)]
async fn lists_are_left_alone_unless_they_are_to_be_filtered() {
    let fixture = Fixture::new().await;
    for layer in [fixture.server.mcp_layer(McpScopes::new()).unwrap(), layer(&fixture).filter_lists(false)] {
        for content_type in [JSON, EVENTS] {
            let mut answer = of_type(content_type, TOOLS);
            answer.headers_mut().insert(header::CONTENT_ENCODING, "br".parse().unwrap());
            let answer = answering(&fixture, layer.clone(), answer).post(&fixture.token(), &[], LIST).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, TOOLS));
            assert_eq!(answer.header("content-length"), Some(TOOLS.len().to_string().as_str()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filtered_answer_announces_no_length_that_it_does_not_have() {
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
async fn an_answer_that_is_compressed_is_not_let_out_unfiltered() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let compressed = |content_type| {
        let mut answer = of_type(content_type, TOOLS);
        answer.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        answer.headers_mut().insert("x-secret", "1".parse().unwrap());
        answering(&fixture, layer(&fixture), answer)
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

#[tokio::test(start_paused = true)]
async fn answers_of_any_status_keep_it() {
    let fixture = Fixture::new().await;
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown cursor"}}"#;
    for (status, body, expected) in [
        (StatusCode::BAD_REQUEST, error, error),
        (StatusCode::NOT_FOUND, error, error),
        (StatusCode::INTERNAL_SERVER_ERROR, "{ no json", "{ no json"),
        (StatusCode::ACCEPTED, "", ""),
        // A client may read what is in it all the same.
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
async fn an_answer_over_sixteen_mebibytes_is_an_error_and_not_a_list() {
    let fixture = Fixture::new().await;
    let answer = listed(&fixture, of_type(JSON, large(16, TOOLS))).await;
    assert_eq!(answer.json()["error"]["code"], -32603);
    assert_eq!(answer.json()["jsonrpc"], "2.0");
    assert!(answer.body.len() < 200);
    let answer = listed(&fixture, of_type(JSON, large(15, TOOLS))).await;
    assert_eq!((answer.body.len(), answer.body.trim()), (15 * MEBIBYTE + FEWER_TOOLS.len(), FEWER_TOOLS));
    assert_eq!(listed(&fixture, of_type(JSON, large(16, ""))).await.body.len(), 16 * MEBIBYTE);
}

#[tokio::test(start_paused = true)]
async fn an_event_over_sixteen_mebibytes_ends_its_stream() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(bearer(&fixture), layer(&fixture), EVENTS);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    for _ in 0..3 {
        feed.send(&format!("data: {}\n\n", " ".repeat(6 * MEBIBYTE)));
        assert_eq!(stream.here().unwrap().len(), 6 * MEBIBYTE + 8);
    }
    for _ in 0..2 {
        feed.send(&" ".repeat(8 * MEBIBYTE));
        assert!(stream.waits());
    }
    feed.send(&format!("\n\ndata: {TOOLS}\n\n"));
    assert_eq!(stream.here(), None);
}

#[tokio::test(start_paused = true)]
async fn events_are_handed_on_when_they_are_complete() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(bearer(&fixture), layer(&fixture), EVENTS);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    feed.send("data: 1\n\ndata: 2\n\ndata:");
    assert_eq!(stream.here().as_deref(), Some("data: 1\n\ndata: 2\n\n"));
    feed.send(TOOLS);
    assert!(stream.waits());
    feed.send("\n");
    assert!(stream.waits());
    feed.send("\n: keep");
    assert_eq!(stream.here().unwrap(), format!("data: {FEWER_TOOLS}\n\n"));
    feed.send(" alive\n\n");
    assert_eq!(stream.here().as_deref(), Some(": keep alive\n\n"));
    drop(feed);
    assert_eq!(stream.here(), None);
}

#[tokio::test(start_paused = true)]
async fn a_filtered_stream_ends_with_its_token_between_two_events() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(bearer(&fixture), layer(&fixture), EVENTS);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    feed.send(&format!("data: {TOOLS}\n\ndata: half"));
    assert_eq!(stream.here().unwrap(), format!("data: {FEWER_TOOLS}\n\n"));
    // Of the second event nothing has left, so that there is nothing to complete.
    assert_eq!(stream.rest().await, (String::new(), 360));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_body_stays_one() {
    let fixture = Fixture::new().await;
    for content_type in [JSON, EVENTS] {
        let frames = [Ok(Frame::data(Bytes::from(TOOLS))), Err(std::io::Error::other("broken"))];
        let answer = of_type(content_type, Body::new(StreamBody::new(iter(frames))));
        let response = answering(&fixture, layer(&fixture), answer).respond(post(&fixture.token(), &[], LIST)).await;
        let error = response.into_body().collect().await.unwrap_err();
        assert!(format!("{error:?}").contains("broken"));
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_the_filtered_list() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(bearer(&fixture), layer(&fixture), JSON);
    let mut stream = Stream::of(&server, post(&fixture.token(), &[], LIST)).await;
    feed.send(TOOLS);
    feed.end_with(HeaderMap::from_iter([(header::ETAG, "\"1\"".parse().unwrap())]));
    assert_eq!(stream.next().await.as_deref(), Some(FEWER_TOOLS));
    assert_eq!(stream.trailers().await[header::ETAG], "\"1\"");
}
