//! reqwest calls the server on a socket.

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use support::Fixture;
use tokio::net::TcpListener;
use warp_example::routes;

fn start(fixture: &Fixture) {
    let listener = TcpListener::from_std(fixture.listener()).expect("the socket");
    tokio::spawn(warp::serve(routes(&fixture.server)).incoming(listener).run());
}

async fn running() -> Fixture {
    let fixture = Fixture::new("/notes").await;
    start(&fixture);
    fixture
}

fn request(fixture: &Fixture, method: Method, path: &str) -> RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.request(method, format!("{}{path}", fixture.origin()))
}

/// Sends a request with these values of the `Authorization` header.
async fn send(fixture: &Fixture, method: Method, path: &str, authorization: &[&str]) -> Answer {
    let request = request(fixture, method, path);
    Answer::to(authorization.iter().fold(request, |request, value| request.header(AUTHORIZATION, *value))).await
}

async fn get(fixture: &Fixture, token: &str) -> Answer {
    send(fixture, Method::GET, "/notes", &[&format!("Bearer {token}")]).await
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.expect("a body") }
    }

    /// The only value of a header.
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        let [value] = values[..] else { panic!("{name}: {values:?}") };
        value.to_str().expect("ASCII")
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

#[tokio::test]
async fn a_valid_token_is_accepted() {
    let fixture = running().await;
    let answer = get(&fixture, &fixture.valid_token()).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "the notes of alice\n"));
    assert!(!answer.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_request_without_a_token_is_challenged() {
    let fixture = running().await;
    send(&fixture, Method::GET, "/notes", &[]).await.assert_challenge(&fixture, 401, None);
    send(&fixture, Method::GET, "/notes", &["Basic YTpi"]).await.assert_challenge(&fixture, 401, None);
    send(&fixture, Method::POST, "/notes", &[]).await.assert_challenge(&fixture, 401, None);
    assert_eq!(send(&fixture, Method::GET, "/other", &[]).await.status.as_u16(), 404);
    assert_eq!(send(&fixture, Method::DELETE, "/notes", &[]).await.status.as_u16(), 405);
}

#[tokio::test]
async fn an_invalid_token_is_rejected() {
    let fixture = running().await;
    for token in ["garbage".to_owned(), fixture.expired_token(), fixture.token_for_another_resource()] {
        get(&fixture, &token).await.assert_challenge(&fixture, 401, Some("invalid_token"));
    }
}

#[tokio::test]
async fn two_authorization_headers_are_rejected() {
    let fixture = running().await;
    let valid = format!("Bearer {}", fixture.valid_token());
    for second in [valid.as_str(), "Bearer garbage", "Basic YTpi", ""] {
        let answer = send(&fixture, Method::GET, "/notes", &[&valid, second]).await;
        answer.assert_challenge(&fixture, 400, Some("invalid_request"));
    }
}

#[tokio::test]
async fn each_route_requires_its_scopes() {
    let fixture = running().await;
    let bearer = |scopes: &str| format!("Bearer {}", fixture.token_with_scope(scopes));
    for (method, path, scopes, needed) in [
        (Method::GET, "/notes", "notes:write", Some("notes:read")),
        (Method::POST, "/notes", "notes:read", Some("notes:write")),
        (Method::POST, "/notes", "notes:write", None),
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

#[tokio::test]
async fn an_outage_of_the_authorization_server_is_503() {
    let fixture = Fixture::during_outage("/notes");
    start(&fixture);
    let answer = get(&fixture, &fixture.valid_token()).await;
    assert_eq!(answer.status.as_u16(), 503);
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert!(answer.body.contains("temporarily_unavailable"), "{}", answer.body);
    // The decision about a request without a token needs no authorization server.
    send(&fixture, Method::GET, "/notes", &[]).await.assert_challenge(&fixture, 401, None);
}

#[tokio::test]
async fn the_metadata_is_served_without_a_token() {
    let fixture = Fixture::during_outage("/notes/:a/*b/a%20b/%2F");
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

#[tokio::test]
async fn preflights_need_no_token_and_pages_can_read_the_challenge() {
    let fixture = running().await;
    let preflight = request(&fixture, Method::OPTIONS, "/notes").header("origin", "https://app.example");
    let preflight = preflight.header("access-control-request-method", "GET");
    let preflight = preflight.header("access-control-request-headers", "authorization");
    let answer = Answer::to(preflight).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    let rejected = Answer::to(request(&fixture, Method::GET, "/notes").header("origin", "https://app.example")).await;
    rejected.assert_challenge(&fixture, 401, None);
    assert_eq!(rejected.header("access-control-allow-origin"), "https://app.example");
    let exposed = rejected.header("access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.contains("www-authenticate") && exposed.contains("retry-after"), "{exposed}");
}
