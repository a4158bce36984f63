//! A middleware inside of another one, and a handler without one.

use mcp_bearer::ResourceServer;
use mcp_bearer::testing::TestIssuer;
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::{Endpoint as _, EndpointExt as _, Request, Route, handler};
use poem_example::bearer::{Bearer, Caller, to_parts};

const RESOURCE: &str = "https://api.example.com/notes";

#[handler]
fn whoami(caller: Caller) -> String {
    caller.subject().unwrap_or_default().to_owned()
}

#[handler]
fn path(request: &Request) -> String {
    to_parts(request).uri.to_string()
}

#[tokio::test]
async fn a_middleware_inside_requires_the_scopes_of_both() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build_lazy().expect("a configuration");
    let requiring = |scope: &str| Bearer(server.bearer_layer().required_scopes([scope]));
    let app = whoami.with(requiring("notes:write")).with(requiring("notes:read"));
    let call = async |scopes: &str| {
        let token = issuer.token().audience(RESOURCE).scope(scopes).sign();
        app.get_response(Request::builder().header("authorization", format!("Bearer {token}")).finish()).await
    };
    assert_eq!(call("notes:read notes:write").await.status(), 200);
    let rejected = call("notes:read").await;
    assert_eq!(rejected.status(), 403);
    let challenge = rejected.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("scope=\"notes:read notes:write\""), "{challenge}");
}

#[tokio::test]
async fn a_caller_without_the_middleware_is_an_error_of_the_server() {
    assert_eq!(whoami.get_response(Request::default()).await.status(), 500);
}

#[tokio::test]
async fn the_path_below_a_prefix_is_the_path_that_the_client_sent() {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.expect("a socket");
    let address = acceptor.local_addr()[0].as_socket_addr().copied().expect("an address");
    let app = Route::new().nest("/api", Route::new().at("/a%20b", path));
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let response = client.get(format!("http://{address}/api/a%20b?x=%2F")).send().await.expect("a response");
    assert_eq!(response.text().await.expect("a text"), "/api/a%20b?x=%2F");
}
