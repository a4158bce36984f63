//! awc calls the server on a socket.

use actix_example::{cors, routes};
use actix_web::http::Method;
use actix_web::{App, HttpServer};
use http::Request;
use support::{Answer, Fixture, cases};

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

async fn send(request: Request<()>) -> Answer {
    let method = Method::from_bytes(request.method().as_str().as_bytes()).expect("a method");
    let mut sent = awc::Client::new().request(method, request.uri().to_string());
    for (name, value) in request.headers() {
        sent = sent.append_header((name.as_str(), value.as_bytes()));
    }
    let mut response = sent.send().await.expect("a response");
    let mut headers = http::HeaderMap::new();
    for (name, value) in response.headers() {
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes()).expect("a name");
        headers.append(name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let body = response.body().await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("a text");
    Answer { status: response.status().as_u16(), headers, body }
}

#[actix_web::test]
async fn a_valid_token_is_accepted() {
    let fixture = running().await;
    // Each worker thread has a runtime, and the keys are fetched for all of them.
    for _ in 0..8 {
        cases::a_valid_token_is_accepted(&fixture, send).await;
    }
}

#[actix_web::test]
async fn a_request_without_a_token_is_challenged() {
    cases::a_request_without_a_token_is_challenged(&running().await, &[("DELETE", "/notes/7")], send).await;
}

#[actix_web::test]
async fn an_invalid_token_is_rejected() {
    cases::an_invalid_token_is_rejected(&running().await, send).await;
}

#[actix_web::test]
async fn two_authorization_headers_are_rejected() {
    cases::two_authorization_headers_are_rejected(&running().await, send).await;
}

#[actix_web::test]
async fn each_route_requires_its_scopes() {
    let rows = [
        ("GET", "/notes", "notes:write", Some("notes:read")),
        ("POST", "/notes", "notes:read", Some("notes:write")),
        ("POST", "/notes", "notes:write", None),
        ("PUT", "/notes/7/title", "notes:read", Some("notes:write")),
        ("PUT", "/notes/7/title", "notes:write", None),
        ("DELETE", "/notes/7", "notes:read", Some("notes:write")),
        // The handler requires one more scope. The challenge names all of them.
        ("DELETE", "/notes/7", "notes:write", Some("notes:write notes:admin")),
        ("DELETE", "/notes/7", "notes:write notes:admin", None),
    ];
    cases::each_route_requires_its_scopes(&running().await, &rows, send).await;
}

#[actix_web::test]
async fn an_outage_of_the_authorization_server_is_503() {
    let fixture = Fixture::during_outage("/notes");
    start(&fixture);
    cases::an_outage_of_the_authorization_server_is_503(&fixture, send).await;
}

#[actix_web::test]
async fn the_metadata_is_served_without_a_token() {
    let fixture = Fixture::during_outage("/notes/a%20b/{x}/%2F");
    start(&fixture);
    cases::the_metadata_is_served_without_a_token(&fixture, send).await;
}

#[actix_web::test]
async fn preflights_need_no_token_and_pages_can_read_the_challenge() {
    let fixture = running().await;
    cases::preflights_need_no_token_and_pages_can_read_the_challenge(&fixture, send).await;
    // An `OPTIONS` request that is not a preflight does not have a handler.
    assert_eq!(send(cases::request(&fixture, "OPTIONS", "/notes", &[])).await.status, 405);
}

#[actix_web::test]
async fn unusual_requests_are_answered() {
    let rows = [
        ("/notes?a=%2F&b=%zz|", "", "200"),
        ("/notes?\"", "", "400"),
        ("/notes", "X-Bytes: \t\u{80}\u{ff}\r\nx-empty:\r\nX-Bytes: 2\r\n", "200"),
        ("/%6Eotes", "", "200"),
        ("/notes/%37/title", "", "403"),
        ("/notes/\u{fc}", "", "400"),
        ("*", "", "404"),
        ("http://other.example/notes", "", "200"),
    ];
    cases::unusual_requests_are_answered(&running().await, &rows).await;
}
