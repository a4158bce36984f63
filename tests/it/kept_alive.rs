//! Persistent connections that break, and compressed responses, over local sockets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mcp_bearer::http_client::{FetchErrorKind, HttpErrorKind};
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;

use crate::support::{App, ISSUER, RESOURCE, quiet};

/// How a server ends a connection after its second request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After reading the request.
    Close,
    /// After reading a part of it, so that the operating system resets the connection.
    Reset,
    /// In the middle of the response.
    InTheBody,
}

/// A server that answers the first request of each connection, and ends the connection at the second.
struct Breaking {
    url: String,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Breaking {
    fn start(end: End, headers: &'static str, body: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counter, log) = (Arc::clone(&connections), Arc::clone(&heads));
        // The thread ends with the process. It holds only a port.
        drop(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let (log, body) = (Arc::clone(&log), body.clone());
                drop(std::thread::spawn(move || serve(stream, end, headers, &body, &log)));
            }
        }));
        Self { url, connections, heads }
    }
}

fn serve(mut stream: TcpStream, end: End, headers: &str, body: &[u8], log: &Mutex<Vec<String>>) {
    let Some(head) = read_request(&mut stream) else { return };
    log.lock().unwrap().push(head);
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all(&[answer.as_bytes(), body].concat()).unwrap();
    match end {
        End::Close => _ = read_request(&mut stream),
        End::Reset => _ = stream.read(&mut [0]),
        End::InTheBody => {
            _ = read_request(&mut stream);
            _ = stream.write_all(&[answer.as_bytes(), b"{"].concat());
        }
    }
}

/// Reads a request with its body.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        read.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let expected = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if body.len() >= expected.unwrap_or(0) {
            return Some(head.to_owned());
        }
    }
}

fn introspecting(url: &str) -> Issuer {
    let settings = Introspection::new(ClientCredentials::basic("client", "secret"));
    Issuer::discover(ISSUER).introspect_all(settings).introspection_endpoint(format!("{url}/introspect"))
}

fn app(issuer: Issuer) -> App {
    App::new(quiet(ResourceServer::builder(RESOURCE).issuer(issuer)).bearer_layer())
}

fn active() -> Vec<u8> {
    json!({"active": true, "aud": RESOURCE, "sub": "alice", "token_type": "Bearer"}).to_string().into_bytes()
}

#[tokio::test]
async fn a_request_on_a_broken_persistent_connection_is_repeated() {
    for end in [End::Close, End::Reset] {
        let server = Breaking::start(end, "", active());
        let app = app(introspecting(&server.url));
        for n in 0..10 {
            assert_eq!(app.with_token(&format!("token-{n}")).await.verdict(), "OK", "{end:?} {n}");
        }
        // Each new connection is reused for one request, which breaks it.
        assert_eq!(server.connections.load(Ordering::SeqCst), 10, "{end:?}");
    }
}

#[tokio::test]
async fn a_request_with_a_truncated_response_is_not_repeated() {
    let server = Breaking::start(End::InTheBody, "", active());
    let app = app(introspecting(&server.url));
    assert_eq!(app.with_token("token-1").await.verdict(), "OK");
    assert_eq!(app.with_token("token-2").await.verdict(), "R503");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_request_accepts_only_identity() {
    let issuer = TestIssuer::new(ISSUER);
    let server = Breaking::start(End::Close, "", issuer.jwk_set().to_string().into_bytes());
    let keys = Issuer::discover(ISSUER).jwks_uri(format!("{}/jwks", server.url));
    drop(ResourceServer::builder(RESOURCE).issuer(keys).build().await.unwrap());
    let document = json!({"issuer": ISSUER, "jwks_uri": format!("{}/jwks", server.url)}).to_string();
    let metadata = Breaking::start(End::Close, "", document.into_bytes());
    let discovering = Issuer::discover(ISSUER).well_known_url(format!("{}/metadata", metadata.url));
    drop(ResourceServer::builder(RESOURCE).issuer(discovering).build().await);
    let endpoint = Breaking::start(End::Close, "", active());
    app(introspecting(&endpoint.url)).with_token("token").await;
    for server in [server, metadata, endpoint] {
        let heads = server.heads.lock().unwrap();
        assert!(!heads.is_empty());
        for head in heads.iter() {
            let codings: Vec<_> = head.lines().filter(|line| line.starts_with("accept-encoding")).collect();
            assert_eq!(codings, ["accept-encoding: identity"], "{head}");
        }
    }
}

#[tokio::test]
async fn a_compressed_response_is_named_in_the_error() {
    for (headers, shown) in [
        ("Content-Encoding: gzip\r\n", "the coding is \"gzip\""),
        ("Content-Encoding: br\r\n", "the coding is \"br\""),
        ("Content-Encoding: identity, zstd\r\n", "the coding is \"zstd\""),
        ("Content-Encoding: identity\r\nContent-Encoding: deflate\r\n", "the coding is \"deflate\""),
    ] {
        let server = Breaking::start(End::Close, headers, active());
        let keys = Issuer::discover(ISSUER).jwks_uri(format!("{}/jwks", server.url));
        let server = ResourceServer::builder(RESOURCE).issuer(keys).build_lazy().unwrap();
        let error = server.warm_up().await.unwrap_err();
        assert!(format!("{error:?}").contains(shown), "{error:?}");
        let health = server.health();
        let error = health.issuers()[0].last_error().unwrap();
        assert_eq!(error.kind(), FetchErrorKind::Document);
        let source = std::error::Error::source(error).unwrap();
        let source = source.downcast_ref::<mcp_bearer::http_client::HttpError>().unwrap();
        assert_eq!(source.kind(), HttpErrorKind::Encoded);
    }
    // `identity` is not a content coding.
    let server = Breaking::start(End::Close, "Content-Encoding: identity\r\n", active());
    assert_eq!(app(introspecting(&server.url)).with_token("token").await.verdict(), "OK");
}
