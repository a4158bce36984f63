//! awc calls the server on a socket.

use actix_example::{cors, routes};
use actix_web::http::{Method, StatusCode};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer};
use awc::ClientResponse;
use awc::error::PayloadError;
use bytes::Bytes;
use support::Fixture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Starts the server, with more than one worker thread.
fn start(fixture: &Fixture) {
    let routes = routes(&fixture.server);
    let app = move || App::new().configure(routes.clone()).wrap(cors());
    let server = HttpServer::new(app).workers(2).disable_signals().listen(fixture.listener()).expect("the socket");
    actix_web::rt::spawn(server.run());
}

async fn running() -> Fixture {
    let fixture = Fixture::new("/notes").await;
    start(&fixture);
    fixture
}

/// Sends a request with these values of the `Authorization` header.
async fn send(fixture: &Fixture, method: Method, path: &str, authorization: &[&str]) -> Answer {
    let request = awc::Client::new().request(method, format!("{}{path}", fixture.origin()));
    let request = authorization.iter().fold(request, |request, value| request.append_header(("Authorization", *value)));
    Answer::from(request.send().await.expect("a response")).await
}

async fn get(fixture: &Fixture, token: &str) -> Answer {
    send(fixture, Method::GET, "/notes", &[&format!("Bearer {token}")]).await
}

struct Answer {
    status: StatusCode,
    headers: actix_web::http::header::HeaderMap,
    body: String,
}

impl Answer {
    async fn from<S>(mut response: ClientResponse<S>) -> Self
    where
        S: futures_core::Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let body = response.body().await.expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("a text");
        Self { status: response.status(), headers: response.headers().clone(), body }
    }

    /// All values of a header.
    fn values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).map(|value| value.to_str().expect("ASCII")).collect()
    }

    /// The only value of a header.
    fn header(&self, name: &str) -> &str {
        let [value] = self.values(name)[..] else { panic!("{name}: {:?}", self.values(name)) };
        value
    }

    /// Checks what the response to each request without a valid token has.
    #[track_caller]
    fn assert_challenge(&self, fixture: &Fixture, status: u16, error: Option<&str>) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("cache-control"), "no-store");
        let challenge = self.header("www-authenticate");
        let metadata = format!("resource_metadata=\"{}\"", fixture.server.metadata_url());
        assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata), "{challenge}");
        match error {
            Some(error) => {
                assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge}");
                assert!(self.body.contains(&format!("\"error\":\"{error}\"")), "{}", self.body);
                assert_eq!(self.header("content-type"), "application/json");
            }
            None => assert!(!challenge.contains("error") && self.body.is_empty(), "{challenge} {}", self.body),
        }
    }
}

#[actix_web::test]
async fn a_valid_token_is_accepted() {
    let fixture = running().await;
    // Each worker thread has a runtime, and the keys are fetched for all of them.
    for _ in 0..8 {
        let answer = get(&fixture, &fixture.valid_token()).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "the notes of alice\n"));
        assert!(answer.values("www-authenticate").is_empty());
    }
}

#[actix_web::test]
async fn a_request_without_a_token_is_challenged() {
    let fixture = running().await;
    send(&fixture, Method::GET, "/notes", &[]).await.assert_challenge(&fixture, 401, None);
    send(&fixture, Method::GET, "/notes", &["Basic YTpi"]).await.assert_challenge(&fixture, 401, None);
    send(&fixture, Method::DELETE, "/notes/7", &[]).await.assert_challenge(&fixture, 401, None);
}

#[actix_web::test]
async fn an_invalid_token_is_rejected() {
    let fixture = running().await;
    for token in ["garbage".to_owned(), fixture.expired_token(), fixture.token_for_another_resource()] {
        get(&fixture, &token).await.assert_challenge(&fixture, 401, Some("invalid_token"));
    }
}

#[actix_web::test]
async fn two_authorization_headers_are_rejected() {
    let fixture = running().await;
    let valid = format!("Bearer {}", fixture.valid_token());
    for second in [valid.as_str(), "Bearer garbage", "Basic YTpi", ""] {
        let answer = send(&fixture, Method::GET, "/notes", &[&valid, second]).await;
        answer.assert_challenge(&fixture, 400, Some("invalid_request"));
    }
}

#[actix_web::test]
async fn each_route_requires_its_scopes() {
    let fixture = running().await;
    let bearer = |scopes: &str| format!("Bearer {}", fixture.token_with_scope(scopes));
    for (method, path, scopes, needed) in [
        (Method::GET, "/notes", "notes:write", Some("notes:read")),
        (Method::POST, "/notes", "notes:read", Some("notes:write")),
        (Method::POST, "/notes", "notes:write", None),
        (Method::PUT, "/notes/7/title", "notes:read", Some("notes:write")),
        (Method::PUT, "/notes/7/title", "notes:write", None),
        (Method::DELETE, "/notes/7", "notes:read", Some("notes:write")),
        // The handler requires one more scope. The challenge names all of them.
        (Method::DELETE, "/notes/7", "notes:write", Some("notes:write notes:admin")),
        (Method::DELETE, "/notes/7", "notes:write notes:admin", None),
    ] {
        let answer = send(&fixture, method.clone(), path, &[&bearer(scopes)]).await;
        match needed {
            None => assert_eq!(answer.status.as_u16(), 200, "{method} {path} {scopes}"),
            Some(needed) => {
                answer.assert_challenge(&fixture, 403, Some("insufficient_scope"));
                let challenge = answer.header("www-authenticate");
                assert!(challenge.contains(&format!("scope=\"{needed}\"")), "{method} {path} {scopes}: {challenge}");
            }
        }
    }
}

#[actix_web::test]
async fn an_outage_of_the_authorization_server_is_503() {
    let fixture = Fixture::during_outage("/notes");
    start(&fixture);
    let answer = get(&fixture, &fixture.valid_token()).await;
    assert_eq!(answer.status.as_u16(), 503);
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.values("www-authenticate").is_empty());
    assert!(answer.body.contains("temporarily_unavailable"), "{}", answer.body);
    // The decision about a request without a token needs no authorization server.
    send(&fixture, Method::GET, "/notes", &[]).await.assert_challenge(&fixture, 401, None);
}

#[actix_web::test]
async fn the_metadata_is_served_without_a_token() {
    let fixture = Fixture::during_outage("/notes/a%20b/{x}/%2F");
    start(&fixture);
    let path = fixture.server.metadata_url().strip_prefix(&fixture.origin()).expect("a URL of the server");
    let answer = send(&fixture, Method::GET, path, &[]).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "max-age=3600");
    assert!(answer.body.contains(&format!("\"resource\":\"{}\"", fixture.resource())), "{}", answer.body);
    let head = send(&fixture, Method::HEAD, path, &[]).await;
    assert_eq!(head.header("content-length"), answer.body.len().to_string());
    assert_eq!(send(&fixture, Method::POST, path, &[]).await.status.as_u16(), 405);
    // Another spelling of the path is another path.
    let decoded = path.replace("%2F", "/");
    assert_eq!(send(&fixture, Method::GET, &decoded, &[]).await.status.as_u16(), 404);
    let unknown = "/.well-known/oauth-protected-resource/other";
    assert_eq!(send(&fixture, Method::GET, unknown, &[]).await.status.as_u16(), 404);
}

#[actix_web::test]
async fn preflights_need_no_token_and_pages_can_read_the_challenge() {
    let fixture = running().await;
    let client = awc::Client::new();
    let preflight =
        client.request(Method::OPTIONS, fixture.resource()).insert_header(("Origin", "https://app.example"));
    let preflight = preflight.insert_header(("Access-Control-Request-Method", "GET"));
    let preflight = preflight.insert_header(("Access-Control-Request-Headers", "authorization"));
    let answer = Answer::from(preflight.send().await.expect("a response")).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert!(answer.header("access-control-allow-headers").eq_ignore_ascii_case("authorization"));
    let rejected = client.get(fixture.resource()).insert_header(("Origin", "https://app.example"));
    let rejected = Answer::from(rejected.send().await.expect("a response")).await;
    rejected.assert_challenge(&fixture, 401, None);
    assert_eq!(rejected.header("access-control-allow-origin"), "https://app.example");
    let exposed = rejected.header("access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.contains("www-authenticate") && exposed.contains("retry-after"), "{exposed}");
    // An `OPTIONS` request that is not a preflight has no handler.
    assert_eq!(send(&fixture, Method::OPTIONS, "/notes", &[]).await.status.as_u16(), 405);
}

/// The server neither breaks the connection nor reads a request differently than actix does.
#[actix_web::test]
async fn unusual_requests_are_answered() {
    let fixture = running().await;
    let address = fixture.origin().replace("http://", "");
    let token = fixture.valid_token();
    for (target, more, status) in [
        ("/notes?a=%2F&b=%zz|", "", "200"),
        ("/notes?\"", "", "400"),
        ("/notes", "X-Bytes: \t\u{80}\u{ff}\r\nx-empty:\r\nX-Bytes: 2\r\n", "200"),
        ("/%6Eotes", "", "200"),
        ("/notes/%37/title", "", "403"),
        ("/notes/\u{fc}", "", "400"),
        ("*", "", "404"),
        ("http://other.example/notes", "", "200"),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n"
        );
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.expect("a response");
        let response = String::from_utf8_lossy(&response);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {response}");
    }
}
