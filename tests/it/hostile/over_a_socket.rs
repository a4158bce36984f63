//! A, continued: cases that need raw bytes on a connection.

use std::future::poll_fn;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use http::{Request, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::trial::Trial;
use crate::support::METADATA_URL;
use crate::transport::{self, serve};

/// Sends a request. Returns the head of the response in lower case, and its body.
async fn exchange(address: SocketAddr, request: &[u8]) -> (String, String) {
    let (head, body) = transport::exchange(address, request).await;
    (head.to_lowercase(), body)
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn bytes_that_no_header_can_hold_do_not_reach_the_layer() {
    let trial = Trial::warm().await;
    let address = serve(trial.app.router()).await;
    let valid = trial.fixture.token();
    for (id, value, expected) in [
        ("control", format!("Bearer {valid}").into_bytes(), "200"),
        ("A06", format!("Bearer\x0b{valid}").into_bytes(), "400"),
        ("A06", format!("Bearer\0{valid}").into_bytes(), "400"),
        ("A06", format!("Bearer\t{valid}").into_bytes(), "400"),
        ("A16", b"Bearer \xff\xfe".to_vec(), "400"),
        // Obsolete line folding (RFC 9112, section 5.2).
        ("A06", format!("Bearer\r\n {valid}").into_bytes(), "400"),
    ] {
        let request =
            [b"GET /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ", &value[..], b"\r\n\r\n"];
        let reached = trial.app.reached();
        let (head, _) = exchange(address, &request.concat()).await;
        assert_eq!(status(&head), expected, "{id} {}", String::from_utf8_lossy(&value));
        assert_eq!(trial.app.reached(), reached + usize::from(expected == "200"), "{id}");
    }
}

#[tokio::test]
async fn two_authorization_headers_are_rejected_over_http_2() {
    let trial = Trial::warm().await;
    let address = serve(trial.app.router()).await;
    let valid = format!("Bearer {}", trial.fixture.token());
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    drop(tokio::spawn(connection));
    for (id, fields, expected) in [
        ("control", &[valid.as_str()][..], 200),
        ("A13", &[&valid, &valid], 400),
        ("A14", &[&valid, "Basic dXNlcjpwYXNz"], 400),
        ("A14", &["Basic dXNlcjpwYXNz", &valid], 400),
        ("A14", &["Bearer other", &valid], 400),
        ("A14", &[&valid, "Bearer other"], 400),
    ] {
        let request = Request::get(format!("http://{address}/mcp"));
        let request = fields.iter().fold(request, |request, field| request.header(header::AUTHORIZATION, *field));
        let reached = trial.app.reached();
        poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), expected, "{id} {fields:?}");
        assert_eq!(trial.app.reached(), reached + usize::from(expected == 200), "{id} {fields:?}");
    }
}

#[tokio::test]
async fn a_long_token_over_http_2_gets_431_before_it_reaches_the_layer() {
    let trial = Trial::cold();
    let address = serve(trial.app.router()).await;
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    drop(tokio::spawn(connection));
    for (length, expected) in [(14 * 1024, 401), (16 * 1024, 431)] {
        let value = format!("Bearer {}", "A".repeat(length));
        let request = Request::get(format!("http://{address}/mcp")).header(header::AUTHORIZATION, value);
        poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), expected, "{length}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), expected == 401, "{length}");
    }
}

#[tokio::test]
async fn a_browser_can_send_a_preflight_and_read_the_challenge() {
    let trial = Trial::cold();
    let address = serve(trial.app.router().layer(trial.fixture.server.cors_layer())).await;
    let preflight = "OPTIONS /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: https://inspector.example.com\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, mcp-session-id\r\n\r\n";
    let (head, _) = exchange(address, preflight.as_bytes()).await;
    // tower-http answers 200. The Fetch standard allows any 2xx status for a CORS preflight.
    assert!(status(&head).starts_with('2'), "A29 {head}");
    assert!(head.contains("access-control-allow-origin: *"), "A29 {head}");
    assert!(head.contains("access-control-allow-headers: authorization, mcp-session-id"), "A29 {head}");
    assert!(head.lines().any(|line| line.starts_with("access-control-allow-methods:") && line.contains("post")), "A29");
    assert_eq!(trial.app.reached(), 0, "A29");
    let request = "GET /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: https://inspector.example.com\r\n\r\n";
    let (head, _) = exchange(address, request.as_bytes()).await;
    assert_eq!(status(&head), "401", "A29");
    let exposed = head.lines().find(|line| line.starts_with("access-control-expose-headers:")).unwrap();
    assert!(exposed.contains("www-authenticate"), "A29 {exposed}");
    assert_eq!(trial.app.reached(), 0, "A29");
}

#[tokio::test]
async fn no_spelling_of_a_path_bypasses_the_layer() {
    let trial = Trial::cold();
    let routed = serve(trial.app.router().merge(trial.fixture.server.metadata_router())).await;
    // A service that does its own routing: the layer must cover every path. It answers with the metadata document itself.
    let everything = Router::new().fallback(any(|| async { "inside" })).layer(trial.fixture.server.bearer_layer());
    let everything = serve(everything).await;
    for (id, path, expected) in [
        ("A30", "/mcp", "401"),
        ("A30", "/mcp/", "404"),
        ("A30", "//mcp", "404"),
        ("A30", "/mcp%2f", "404"),
        ("A30", "/%6dcp", "404"),
        ("A30", "/./mcp", "404"),
        ("A30", "/mcp;x", "404"),
        ("A30", "/MCP", "404"),
        ("A30", "/mcp?x=/.well-known/", "401"),
        ("A30", "/mcp?/.well-known/oauth-protected-resource/mcp", "401"),
        ("A30", "/mcp#/.well-known/", "401"),
        ("A30", "/.well-known/../mcp", "404"),
        ("A30", "/.well-known/oauth-protected-resource/mcp", "200"),
        ("A30", "/.well-known/oauth-protected-resource/../../mcp", "404"),
        ("A30", "/.well-known/oauth-protected-resource/mcp/../../../mcp", "404"),
        ("A30", "/.well-known/oauth-protected-resource/mcp%2f..%2f..%2fmcp", "404"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (head, _) = exchange(routed, request.as_bytes()).await;
        assert_eq!(status(&head), expected, "{id} {path}");
        let (head, body) = exchange(everything, request.as_bytes()).await;
        let expected = if expected == "200" { "200" } else { "401" };
        assert_eq!((status(&head), body.contains("inside")), (expected, false), "{id} {path}");
    }
    assert_eq!(trial.app.reached(), 0, "A30");
}

#[tokio::test]
async fn the_challenge_does_not_depend_on_the_requested_host() {
    let trial = Trial::cold();
    let address = serve(trial.app.router()).await;
    let expected = format!("www-authenticate: bearer resource_metadata=\"{METADATA_URL}\", scope=\"mcp:tools\"");
    for (id, request) in [
        ("A32", "GET /mcp HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n"),
        ("A32", "GET /mcp HTTP/1.1\r\nHost: evil.example.com:1\"x\r\nConnection: close\r\n\r\n"),
        ("A32", "GET /mcp HTTP/1.1\r\nHost: a\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n"),
        ("A32", "GET /mcp HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"),
        ("A32", "GET /mcp HTTP/1.1\r\nConnection: close\r\n\r\n"),
        ("A32", "GET /mcp HTTP/1.0\r\n\r\n"),
        ("A32", "GET /mcp HTTP/1.0\r\nHost: evil.example.com\r\n\r\n"),
        ("A32", "GET http://evil.example.com/mcp HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n"),
        (
            "F13",
            "GET http://evil.example.com/mcp HTTP/1.1\r\nHost: x\r\nForwarded: host=evil.example.com\r\nConnection: close\r\n\r\n",
        ),
        ("F13", "GET /mcp HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: evil.example.com\r\nConnection: close\r\n\r\n"),
    ] {
        let (head, body) = exchange(address, request.as_bytes()).await;
        assert_eq!(status(&head), "401", "{id} {request}");
        assert!(head.lines().any(|line| line == expected), "{id} {request} {head}");
        assert!(!head.contains("evil") && body.is_empty(), "{id} {request} {head}");
    }
    assert_eq!(trial.app.reached(), 0, "A32");
}

#[tokio::test]
async fn an_unread_body_does_not_delay_the_rejection() {
    let trial = Trial::cold();
    let address = serve(trial.app.router()).await;
    for (id, head) in [
        (
            "A22",
            "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10485760\r\n\r\n",
        ),
        ("A24", "POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        // The rest of the body is never sent, and the response arrives anyway.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(Bytes::copy_from_slice(&first), Bytes::from_static(b"HTTP/1.1 401"), "{id}");
    }
}

#[tokio::test]
async fn a_request_head_that_is_too_long_does_not_reach_the_layer() {
    let trial = Trial::cold();
    let address = serve(trial.app.router()).await;
    for (id, length) in [("A18", 1 << 20), ("A18", 16 << 20)] {
        let request = format!("GET /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", "A".repeat(length));
        let mut stream = TcpStream::connect(address).await.unwrap();
        drop(stream.write_all(request.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        // The server closes the connection with unread bytes, so the response may be lost.
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{id} {length}");
    }
    assert_eq!(trial.app.reached(), 0, "A18");
}
