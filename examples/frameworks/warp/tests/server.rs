//! reqwest calls the server on a socket.

use http::Request;
use support::{Answer, Fixture, cases};
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
    let fixture = running().await;
    cases::a_request_without_a_token_is_challenged(&fixture, &[("POST", "/notes")], send).await;
    for (method, path, status) in [("GET", "/other", 404), ("DELETE", "/notes", 405)] {
        assert_eq!(send(cases::request(&fixture, method, path, &[])).await.status, status, "{method} {path}");
    }
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
