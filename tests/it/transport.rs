//! How a request reaches an application: as a call of its service, or as bytes over a hyper connection.
//!
//! The hostile cases run in both ways. [`crate::hostile`] starts its own tests a second time with [`TRANSPORT`] set.
//! Each request is then written byte by byte, since a client library would change it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use axum::body::Body;
use axum::{Router, middleware};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use mcp_bearer::bearer::Rejection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

/// The environment variable that selects the socket.
pub const TRANSPORT: (&str, &str) = ("MCP_BEARER_TRANSPORT", "socket");

/// Whether requests are sent over sockets in this run.
pub fn over_a_socket() -> bool {
    std::env::var_os(TRANSPORT.0).is_some_and(|transport| transport == TRANSPORT.1)
}

/// Sends one request to an application, in the way selected for this run.
pub async fn send(app: Router, request: Request<Body>) -> Response<Body> {
    if over_a_socket() { Socket::open(app).await.send(request).await } else { app.oneshot(request).await.unwrap() }
}

/// An application behind a real socket.
#[derive(Debug)]
pub struct Socket {
    address: SocketAddr,
    // The rejection of the last response. Tests check it, but a connection does not transmit it.
    rejection: &'static Mutex<Option<Rejection>>,
    permits: Semaphore,
}

impl Socket {
    pub async fn open(app: Router) -> Self {
        let rejection: &'static Mutex<Option<Rejection>> = Box::leak(Box::default());
        let keep = move |response: axum::response::Response| async move {
            *rejection.lock().unwrap() = response.extensions().get().cloned();
            response
        };
        let address = serve(app.layer(middleware::map_response(keep))).await;
        Self { address, rejection, permits: Semaphore::new(MAX_CONNECTIONS) }
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        let _permit = self.permits.acquire().await.unwrap();
        let is_head = request.method() == http::Method::HEAD;
        let (head, body) = exchange(self.address, &written(request).await).await;
        let mut response = parsed(&head, if is_head { String::new() } else { body });
        if let Some(rejection) = self.rejection.lock().unwrap().take() {
            response.extensions_mut().insert(rejection);
        }
        response
    }
}

/// Whether hyper would reject the head of this request with 431. The layer must handle such requests too, so they are
/// sent as calls.
pub fn is_too_long<B>(request: &Request<B>) -> bool {
    request.headers().values().map(HeaderValue::len).sum::<usize>() > MAX_HEAD
}

/// Serves an application on a free loopback port until the test ends.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    address
}

/// Sends bytes unchanged and reads the complete response. Returns its head and its body.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> (String, String) {
    // A paused clock advances whenever the runtime is idle, even while bytes are in transit. A blocking task prevents
    // that. If no response arrives, it ends after `STILL`.
    let (answered, wait) = mpsc::channel::<()>();
    drop(tokio::task::spawn_blocking(move || wait.recv_timeout(STILL)));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server may respond and close the connection before it has read everything. The rest of the write then fails.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    drop(answered);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// The bytes of a request. A body of unknown length is announced but not sent, since a rejection must not wait for it.
async fn written(request: Request<Body>) -> Vec<u8> {
    let (parts, body) = request.into_parts();
    let mut bytes = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", parts.method, parts.uri).into_bytes();
    if !parts.headers.contains_key(header::HOST) {
        bytes.extend(b"Host: mcp.example.com\r\n");
    }
    for (name, value) in &parts.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let announced = parts.headers.contains_key(header::CONTENT_LENGTH);
    let Some(length) = body.size_hint().exact() else {
        bytes.extend(if announced { &b"\r\n"[..] } else { b"Transfer-Encoding: chunked\r\n\r\n" });
        return bytes;
    };
    if !announced && length > 0 {
        bytes.extend(format!("Content-Length: {length}\r\n").into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body.collect().await.unwrap().to_bytes());
    bytes
}

fn parsed(head: &str, body: String) -> Response<Body> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let fields = lines.map(|line| line.split_once(": ").unwrap_or_else(|| (line.trim_end_matches(':'), "")));
    let fields =
        fields.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(value).unwrap()));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    assert!(!headers.contains_key(header::TRANSFER_ENCODING), "chunked responses are not supported");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status.parse::<u16>().unwrap().try_into().unwrap();
    *response.headers_mut() = headers;
    response
}

/// Less than the maximum head size of hyper, 408 KiB.
const MAX_HEAD: usize = 256 << 10;
/// Longer than a response takes that does not wait for anything.
const STILL: Duration = Duration::from_millis(100);
/// Each connection needs two file descriptors, and several tests run at once. The usual limit is 1,024 per process.
const MAX_CONNECTIONS: usize = 64;
