//! reqwest calls the server on a socket.

use http::Request;
use poem::listener::TcpAcceptor;
use poem_example::app;
use support::{Answer, Fixture, cases};

fn start(fixture: &Fixture) {
    let acceptor = TcpAcceptor::from_std(fixture.listener()).expect("the socket");
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app(&fixture.server)));
}

async fn running() -> Fixture {
    let fixture = Fixture::new("/notes").await;
    start(&fixture);
    fixture
}

async fn send(request: Request<()>) -> Answer {
    let (head, ()) = request.into_parts();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let response =
        client.request(head.method, head.uri.to_string()).headers(head.headers).send().await.expect("a response");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.text().await.expect("a body") }
}

#[tokio::test]
async fn a_valid_token_is_accepted() {
    cases::a_valid_token_is_accepted(&running().await, send).await;
}

#[tokio::test]
async fn a_request_without_a_token_is_challenged() {
    cases::a_request_without_a_token_is_challenged(&running().await, &[("DELETE", "/notes/7")], send).await;
}

#[tokio::test]
async fn an_invalid_token_is_rejected() {
    cases::an_invalid_token_is_rejected(&running().await, send).await;
}

#[tokio::test]
async fn two_authorization_headers_are_rejected() {
    cases::two_authorization_headers_are_rejected(&running().await, send).await;
}

#[tokio::test]
async fn each_route_requires_its_scopes() {
    let rows = [
        ("GET", "/notes", "notes:write", Some("notes:read")),
        ("POST", "/notes", "notes:read", Some("notes:write")),
        ("POST", "/notes", "notes:write", None),
        ("DELETE", "/notes/7", "notes:read", Some("notes:write")),
        // The handler requires one more scope. The challenge names all of them.
        ("DELETE", "/notes/7", "notes:write", Some("notes:write notes:admin")),
        ("DELETE", "/notes/7", "notes:write notes:admin", None),
    ];
    cases::each_route_requires_its_scopes(&running().await, &rows, send).await;
}

#[tokio::test]
async fn an_outage_of_the_authorization_server_is_503() {
    let fixture = Fixture::during_outage("/notes");
    start(&fixture);
    cases::an_outage_of_the_authorization_server_is_503(&fixture, send).await;
}

#[tokio::test]
async fn the_metadata_is_served_without_a_token() {
    let fixture = Fixture::during_outage("/notes/:a/*b/a%20b/%2F");
    start(&fixture);
    cases::the_metadata_is_served_without_a_token(&fixture, send).await;
}

#[tokio::test]
async fn preflights_need_no_token_and_pages_can_read_the_challenge() {
    cases::preflights_need_no_token_and_pages_can_read_the_challenge(&running().await, send).await;
}

#[tokio::test]
async fn unusual_requests_are_answered() {
    let rows = [
        ("/notes?a=%2F&b=%zz|", "", "200"),
        ("/notes", "X-Bytes: \t\u{80}\u{ff}\r\nx-empty:\r\nX-Bytes: 2\r\n", "200"),
        ("/%6Eotes", "", "404"),
        ("*", "", "404"),
        ("http://other.example/notes", "", "200"),
    ];
    cases::unusual_requests_are_answered(&running().await, &rows).await;
}
