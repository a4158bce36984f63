//! The tests of a server with a middleware. Each takes a function that sends a request with the client of the framework.

use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Answer, Fixture};

/// A valid token gets the response of the handler.
pub async fn a_valid_token_is_accepted(fixture: &Fixture, send: impl AsyncFn(Request<()>) -> Answer) {
    let answer = send(request(fixture, "GET", "/notes", &[&bearer(&fixture.valid_token())])).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "the notes of alice\n"));
    assert!(!answer.headers.contains_key("www-authenticate"));
}

/// A request without a token gets a challenge. `others` are more routes that need a token.
pub async fn a_request_without_a_token_is_challenged(
    fixture: &Fixture,
    others: &[(&str, &str)],
    send: impl AsyncFn(Request<()>) -> Answer,
) {
    send(request(fixture, "GET", "/notes", &["Basic YTpi"])).await.assert_challenge(fixture, 401, None);
    for (method, path) in [&[("GET", "/notes")], others].concat() {
        send(request(fixture, method, path, &[])).await.assert_challenge(fixture, 401, None);
    }
}

/// An invalid token gets a challenge that says so.
pub async fn an_invalid_token_is_rejected(fixture: &Fixture, send: impl AsyncFn(Request<()>) -> Answer) {
    for token in ["garbage".to_owned(), fixture.expired_token(), fixture.token_for_another_resource()] {
        let answer = send(request(fixture, "GET", "/notes", &[&bearer(&token)])).await;
        answer.assert_challenge(fixture, 401, Some("invalid_token"));
    }
}

/// A request with two `Authorization` headers gets 400.
pub async fn two_authorization_headers_are_rejected(fixture: &Fixture, send: impl AsyncFn(Request<()>) -> Answer) {
    let valid = bearer(&fixture.valid_token());
    for second in [valid.as_str(), "Bearer garbage", "Basic YTpi", ""] {
        let answer = send(request(fixture, "GET", "/notes", &[&valid, second])).await;
        answer.assert_challenge(fixture, 400, Some("invalid_request"));
    }
}

/// Each row has a method, a path, the scopes of a token, and the scopes of the challenge that it gets, if any.
pub async fn each_route_requires_its_scopes(
    fixture: &Fixture,
    rows: &[(&str, &str, &str, Option<&str>)],
    send: impl AsyncFn(Request<()>) -> Answer,
) {
    for (method, path, scopes, needed) in rows {
        let token = bearer(&fixture.token_with_scope(scopes));
        let answer = send(request(fixture, method, path, &[&token])).await;
        match needed {
            None => assert_eq!(answer.status, 200, "{method} {path} {scopes}"),
            Some(needed) => {
                answer.assert_challenge(fixture, 403, Some("insufficient_scope"));
                let challenge = answer.header("www-authenticate");
                assert!(challenge.contains(&format!("scope=\"{needed}\"")), "{method} {path} {scopes}: {challenge}");
            }
        }
    }
}

/// For a fixture [`during_outage`](Fixture::during_outage): a token gets 503, and a request without one 401.
pub async fn an_outage_of_the_authorization_server_is_503(
    fixture: &Fixture,
    send: impl AsyncFn(Request<()>) -> Answer,
) {
    let answer = send(request(fixture, "GET", "/notes", &[&bearer(&fixture.valid_token())])).await;
    assert_eq!(answer.status, 503);
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert!(answer.body.contains("temporarily_unavailable"), "{}", answer.body);
    // The decision about a request without a token needs no authorization server.
    send(request(fixture, "GET", "/notes", &[])).await.assert_challenge(fixture, 401, None);
}

/// The metadata document is at its path, and at no other spelling of it. The path of the resource contains `%2F`.
pub async fn the_metadata_is_served_without_a_token(fixture: &Fixture, send: impl AsyncFn(Request<()>) -> Answer) {
    let path = fixture.server.metadata_url().strip_prefix(&fixture.origin()).expect("a URL of the server");
    let answer = send(request(fixture, "GET", path, &[])).await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "max-age=3600");
    assert!(answer.body.contains(&format!("\"resource\":\"{}\"", fixture.resource())), "{}", answer.body);
    let head = send(request(fixture, "HEAD", path, &[])).await;
    assert_eq!(head.header("content-length"), answer.body.len().to_string());
    assert_eq!(send(request(fixture, "POST", path, &[])).await.status, 405);
    for other in [&path.replace("%2F", "/"), "/.well-known/oauth-protected-resource/other"] {
        assert_eq!(send(request(fixture, "GET", other, &[])).await.status, 404, "{other}");
    }
}

/// CORS is outside of the check.
pub async fn preflights_need_no_token_and_pages_can_read_the_challenge(
    fixture: &Fixture,
    send: impl AsyncFn(Request<()>) -> Answer,
) {
    let from_page = |method: &str, headers: &[(&str, &str)]| {
        let request = Request::builder().method(method).uri(fixture.resource()).header("origin", "https://app.example");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(())
            .expect("a request")
    };
    let asked = [("access-control-request-method", "GET"), ("access-control-request-headers", "authorization")];
    let answer = send(from_page("OPTIONS", &asked)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("access-control-allow-headers").to_ascii_lowercase().contains("authorization"));
    let rejected = send(from_page("GET", &[])).await;
    rejected.assert_challenge(fixture, 401, None);
    assert_eq!(rejected.header("access-control-allow-origin"), "https://app.example");
    let exposed = rejected.header("access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.contains("www-authenticate") && exposed.contains("retry-after"), "{exposed}");
}

/// The server neither breaks the connection nor reads a request differently than its framework does. Each row has a request
/// target, more header lines, and the expected status.
pub async fn unusual_requests_are_answered(fixture: &Fixture, rows: &[(&str, &str, &str)]) {
    let address = fixture.origin().replace("http://", "");
    let token = fixture.valid_token();
    for (target, more, status) in rows {
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

/// A request with these values of the `Authorization` header.
pub fn request(fixture: &Fixture, method: &str, path: &str, authorization: &[&str]) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("{}{path}", fixture.origin()));
    let request = authorization.iter().fold(request, |request, value| request.header("authorization", *value));
    request.body(()).expect("a request")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
