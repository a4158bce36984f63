//! Streams end when their token expires.

use std::future::pending;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::serve::Listener;
use http::{HeaderMap, HeaderValue, Request, header};
use mcp_bearer::ResourceServer;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::server::{post, tools};
use super::stream::{CALL, EVENTS, Feed, START, Stream, feeding, set_clock};
use crate::support::{Fixture, RESOURCE};

/// When a new token of the fixture expires, with the default clock skew.
const END: u64 = 300 + 60;

fn layer(fixture: &Fixture) -> McpLayer {
    fixture.server.mcp_layer(McpScopes::new())
}

async fn open(fixture: &Fixture, content_type: &'static str) -> (Stream, Feed) {
    let (server, feed) = feeding(tools(layer(fixture)), content_type);
    (Stream::open(&server, &fixture.token()).await, feed)
}

fn get(token: &str) -> Request<Body> {
    Request::get("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap()
}

/// Sends an event every seven seconds, until the client closes the stream.
fn keep_feeding(feed: Feed) {
    tokio::spawn(async move {
        for number in 1.. {
            sleep(Duration::from_secs(7)).await;
            feed.send(&format!("data: {number}\n\n"));
            if feed.is_dropped() {
                return;
            }
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_ends_when_its_token_expires_and_not_a_second_earlier() {
    for (skew, end) in [(None, END), (Some(0), 300), (Some(299), 599)] {
        for is_get in [false, true] {
            let mut fixture = Fixture::cold();
            let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer());
            let mut builder = builder.clock(fixture.clock.clone());
            if let Some(skew) = skew {
                builder = builder.clock_skew(Duration::from_secs(skew));
            }
            fixture.server = builder.build().await.unwrap();
            let (server, feed) = feeding(tools(layer(&fixture)), EVENTS);
            let token = fixture.token();
            let request = if is_get { get(&token) } else { post(&token, &[], CALL) };
            let mut stream = Stream::of(&server, request).await;
            keep_feeding(feed);
            let (events, ended) = stream.rest().await;
            let expected: String = (1..=(end - 1) / 7).map(|number| format!("data: {number}\n\n")).collect();
            assert_eq!((events, ended), (expected, end), "{skew:?} {is_get}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_in_flight_at_the_expiry_is_the_last_one() {
    for (before, after, last) in [
        ("data: a", " b\n\ndata: c\n\n", " b\n\n"),
        ("data: a\n", "\ndata: c\n\n", "\n"),
        ("data: a\r\nda", "ta: b\r\n\r\ndata: c\r\n\r\n", "ta: b\r\n\r\n"),
        ("data: a\r\n", "\r\ndata: c\r\n\r\n", "\r\n"),
        ("data: a\r", "\n\r\ndata: c\r\n\r\n", "\n\r\n"),
        ("data: a\rda", "ta: b\r\rdata: c\r\r", "ta: b\r\r"),
        ("data: a\r", "\rdata: c\r\r", "\r"),
        ("data: a\n\ndata: b", "\n\n", "\n\n"),
        (":", " keep alive\n\n", " keep alive\n\n"),
    ] {
        let fixture = Fixture::new().await;
        let (mut stream, feed) = open(&fixture, EVENTS).await;
        stream.at(100).await;
        feed.send(before);
        assert_eq!(stream.next_now().as_deref(), Some(before));
        stream.at(END + 3).await;
        assert!(stream.is_waiting(), "{before:?}");
        feed.send(after);
        feed.send("data: too late\n\n");
        assert_eq!(stream.rest().await, (last.to_owned(), END + 3), "{before:?} {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_event_may_take_at_most_five_seconds() {
    for (pieces, expected, end) in [
        (["b", "c\n", "\ndata: d\n\n"].as_slice(), "bc\n\n", END + 3),
        (&["b", "c", "d", "e", "f", "g", "\n\n"], "bcde", END + 5),
        (&[], "", END + 5),
    ] {
        let fixture = Fixture::new().await;
        let (mut stream, feed) = open(&fixture, EVENTS).await;
        feed.send("data: a");
        assert_eq!(stream.next_now().as_deref(), Some("data: a"));
        let opened = Instant::now();
        tokio::spawn(async move {
            for (at, piece) in (1..).zip(pieces) {
                tokio::time::sleep_until(opened + Duration::from_secs(END) + Duration::from_secs(at)).await;
                feed.send(piece);
            }
            pending::<()>().await;
        });
        let (rest, ended) = stream.rest().await;
        assert!(rest.starts_with(expected) && rest.len() <= expected.len() + 1, "{rest:?}");
        assert_eq!(ended, end, "{pieces:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_end_within_its_last_event() {
    let fixture = Fixture::new().await;
    let (mut stream, feed) = open(&fixture, EVENTS).await;
    feed.send("data: a");
    assert_eq!(stream.next_now().as_deref(), Some("data: a"));
    stream.at(END + 1).await;
    assert!(stream.is_waiting());
    drop(feed);
    assert_eq!(stream.rest().await, (String::new(), END + 1));
}

#[tokio::test(start_paused = true)]
async fn another_body_of_unknown_length_ends_with_an_error() {
    for content_type in ["application/json", "application/octet-stream", "text/event-streams", "text/plain"] {
        let fixture = Fixture::new().await;
        let (mut stream, feed) = open(&fixture, content_type).await;
        feed.send("half");
        assert_eq!(stream.next_now().as_deref(), Some("half"));
        assert_eq!(stream.expect_error().await, END, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_media_type_of_an_event_stream_may_have_parameters_and_any_case() {
    for content_type in ["text/event-stream; charset=utf-8", "Text/Event-Stream ;charset=utf-8"] {
        let fixture = Fixture::new().await;
        let (mut stream, feed) = open(&fixture, content_type).await;
        feed.send("data: a");
        assert_eq!(stream.next_now().as_deref(), Some("data: a"));
        stream.at(END + 1).await;
        assert!(stream.is_waiting(), "{content_type}");
        feed.send("\n\n");
        assert_eq!(stream.rest().await, ("\n\n".to_owned(), END + 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_complete_response_is_not_truncated() {
    let fixture = Fixture::new().await;
    let server = super::server::McpServer::with(tools(layer(&fixture)), |_| {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        axum::response::IntoResponse::into_response((headers, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
    });
    let mut stream = Stream::open(&server, &fixture.token()).await;
    stream.at(END + 3600).await;
    assert_eq!(stream.rest().await.0, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}

/// A response with a known length that sends one byte per minute.
fn slow(content_type: &'static str, announces: bool, length: usize) -> axum::response::Response {
    let bytes = futures_util::stream::unfold(0, move |sent| async move {
        sleep(Duration::from_secs(60)).await;
        (sent < length).then(|| (Ok::<_, io::Error>(bytes::Bytes::from_static(b"\n")), sent + 1))
    });
    let mut response = axum::response::Response::new(Body::from_stream(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if announces {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    } else {
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::new(OfLength(body, length));
    }
    response
}

/// A body with a known length.
struct OfLength(Body, usize);

impl http_body::Body for OfLength {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, axum::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.1.try_into().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_of_known_length_ends_with_an_error_if_it_outlives_its_token() {
    let fixture = Fixture::new().await;
    for content_type in [EVENTS, "application/json", "application/octet-stream"] {
        for announces in [true, false] {
            for (layer, length, ends) in [
                (layer(&fixture), 100, Some(END)),
                (layer(&fixture), 4, None),
                (layer(&fixture).streams_may_outlive_token(), 100, None),
            ] {
                let server =
                    super::server::McpServer::with(tools(layer), move |_| slow(content_type, announces, length));
                let token = fixture.token();
                let response = server.respond(post(&token, &[], CALL)).await;
                assert_eq!(response.headers()[header::CONTENT_LENGTH], length.to_string());
                let opened = Instant::now();
                let result = http_body_util::BodyExt::collect(response.into_body()).await;
                assert_eq!(result.is_err(), ends.is_some(), "{content_type} {announces} {length}");
                let expected = ends.unwrap_or_else(|| 60 * u64::try_from(length + 1).unwrap());
                assert_eq!(opened.elapsed().as_secs(), expected, "{content_type} {announces} {length}");
                fixture.clock.set(START);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn streams_outlive_their_token_only_if_configured() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture).streams_may_outlive_token()), EVENTS);
    let mut stream = Stream::open(&server, &fixture.token()).await;
    for at in [END - 1, END, END + 5, 7 * 24 * 3600] {
        stream.at(at).await;
        feed.send("data: a\n\n");
        assert_eq!(stream.next_now().as_deref(), Some("data: a\n\n"));
    }
    assert!(stream.is_waiting() && !feed.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_token_does_not_end() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new().public_tools(["watch"]);
    let layer = fixture.server.mcp_layer(scopes);
    let layer = layer.revalidate_streams(Duration::from_secs(60));
    let (server, feed) = feeding(tools(layer).allow_anonymous(), EVENTS);
    let mut stream = Stream::open(&server, "").await;
    stream.at(24 * 3600).await;
    feed.send("data: a\n\n");
    assert_eq!(stream.next_now().as_deref(), Some("data: a\n\n"));
    assert!(stream.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn a_token_without_exp_ends_no_stream() {
    let mut fixture = Fixture::cold();
    let issuer = fixture.issuer.issuer().introspect_all(ClientCredentials::basic("mcp-server", "s3cret"));
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(fixture.clock.clone());
    fixture.server = builder.build().await.unwrap();
    let (server, feed) = feeding(tools(layer(&fixture)), EVENTS);
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").without("exp").opaque();
    let mut stream = Stream::open(&server, &token).await;
    stream.at(24 * 3600).await;
    feed.send("data: a\n\n");
    assert_eq!(stream.next_now().as_deref(), Some("data: a\n\n"));
    assert!(stream.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_wall_clock_applies_to_open_streams() {
    // The clock changes at second 100. The stream ends at `exp` plus the skew, and a change is noticed within a minute.
    for (by, earliest, latest) in [(-200, END + 200, END + 200), (100, END - 100, END - 100), (3600, 100, 160)] {
        let fixture = Fixture::new().await;
        let (mut stream, _feed) = open(&fixture, EVENTS).await;
        let opened = Instant::now();
        let reader = tokio::spawn(async move { stream.rest().await });
        sleep(Duration::from_secs(100)).await;
        set_clock(&fixture.clock, by);
        let (rest, ended) = reader.await.unwrap();
        assert!(rest.is_empty() && (earliest..=latest).contains(&ended), "{by}: {ended}");
        assert_eq!(opened.elapsed().as_secs(), ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_valid_only_within_the_skew_opens_a_short_stream() {
    let fixture = Fixture::new().await;
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools");
    let token = token.expires_at(i64::try_from(START).unwrap() - 59).sign();
    let (server, _feed) = feeding(tools(layer(&fixture)), EVENTS);
    assert_eq!(Stream::open(&server, &token).await.rest().await, (String::new(), 1));
}

#[tokio::test(start_paused = true)]
async fn trailers_are_forwarded() {
    for lists in [false, true] {
        for content_type in [EVENTS, "application/json"] {
            let fixture = Fixture::new().await;
            let (server, feed) =
                feeding(tools(if lists { layer(&fixture).filter_lists() } else { layer(&fixture) }), content_type);
            let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
            let mut stream = Stream::of(&server, post(&fixture.token(), &[], list)).await;
            let body = if content_type == EVENTS { "data: {}\n\n" } else { "{}" };
            feed.send(body);
            feed.end_with(HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"1\""))]));
            assert_eq!(stream.next().await.as_deref(), Some(body));
            assert_eq!(stream.trailers().await[header::ETAG], "\"1\"");
        }
    }
}

/// A listener in memory that accepts one connection.
struct OneConnection(Option<DuplexStream>);

impl Listener for OneConnection {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(connection) => (connection, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_notices_the_end_and_keeps_the_connection() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture)), EVENTS);
    let (mut client, connection) = duplex(65_536);
    tokio::spawn(axum::serve(OneConnection(Some(connection)), server.router()).into_future());
    let get =
        format!("GET /mcp HTTP/1.1\r\nhost: mcp.example.com\r\nauthorization: Bearer {}\r\n\r\n", fixture.token());
    client.write_all(get.as_bytes()).await.unwrap();
    sleep(Duration::from_secs(END - 1)).await;
    feed.send("data: a\n\n");
    assert!(!feed.is_dropped());
    sleep(Duration::from_secs(2)).await;
    assert!(feed.is_dropped());
    let mut seen = vec![0; 65_536];
    let length = client.read(&mut seen).await.unwrap();
    let seen = std::str::from_utf8(&seen[..length]).unwrap();
    assert!(seen.starts_with("HTTP/1.1 200 ") && seen.contains("transfer-encoding: chunked"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n9\r\ndata: a\n\n\r\n0\r\n\r\n"), "{seen}");
    // The token has expired, so the next request on the same connection is rejected.
    client.write_all(get.as_bytes()).await.unwrap();
    let mut answer = vec![0; 65_536];
    let length = client.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 401 "));
}
