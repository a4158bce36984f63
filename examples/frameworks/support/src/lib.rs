//! The parts that the tests of all frameworks share: an authorization server on a socket, a resource server that trusts it, a socket
//! to listen on, and tokens.
//!
//! A test starts the server of its framework with [`Fixture::listener`] and [`Fixture::server`], and sends requests to
//! [`Fixture::resource`]. The tests of each framework cover a valid token, no token, an invalid token, a token without the
//! scope, and an outage of the authorization server.

#![allow(clippy::missing_panics_doc, reason = "a failed test panics")]

mod answer;
pub mod cases;

use std::net::TcpListener;

use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{Issuer, ResourceServer};

pub use answer::Answer;

/// The scope that all examples require.
pub const SCOPE: &str = "notes:read";

/// An authorization server, and a resource server that trusts it. It needs a tokio runtime.
pub struct Fixture {
    /// The authorization server, on a loopback socket.
    pub issuer: TestIssuer,
    /// The resource server, for the URL [`resource`](Self::resource).
    pub server: ResourceServer,
    listener: TcpListener,
    resource: String,
}

impl Fixture {
    /// A resource server whose resource has this path, such as `/notes`. It has the keys of its authorization server.
    pub async fn new(path: &str) -> Self {
        let issuer = TestIssuer::serve().expect("a socket for the authorization server");
        let fixture = Self::with_issuer(issuer, path);
        fixture.server.warm_up().await.expect("the keys of the authorization server");
        fixture
    }

    /// A resource server that starts while its authorization server is down, so that it does not have keys.
    pub fn during_outage(path: &str) -> Self {
        let issuer = TestIssuer::serve().expect("a socket for the authorization server");
        issuer.stop();
        Self::with_issuer(issuer, path)
    }

    fn with_issuer(issuer: TestIssuer, path: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket for the resource server");
        listener.set_nonblocking(true).expect("a socket that tokio can use");
        let address = listener.local_addr().expect("the address of the socket");
        let resource = format!("http://{address}{path}");
        let server = ResourceServer::builder(resource.as_str())
            .issuer(Issuer::discover(issuer.url()))
            .scopes_supported([SCOPE])
            .build_lazy()
            .expect("a valid configuration");
        Self { issuer, server, listener, resource }
    }

    /// The socket for the server under test. It does not block, as tokio requires.
    pub fn listener(&self) -> TcpListener {
        self.listener.try_clone().expect("another handle of the socket")
    }

    /// The URL of the server under test: `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("the address of the socket"))
    }

    /// The URL of the protected resource: the origin and the path.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// A valid token of the user `alice` with the scope [`SCOPE`].
    pub fn valid_token(&self) -> String {
        self.token_with_scope(SCOPE)
    }

    /// A valid token of the user `alice` with these scopes, separated by spaces.
    pub fn token_with_scope(&self, scopes: &str) -> String {
        self.issuer.token().audience(&self.resource).scope(scopes).sign()
    }

    /// A token that expired an hour ago.
    pub fn expired_token(&self) -> String {
        self.issuer.token().audience(&self.resource).scope(SCOPE).expired().sign()
    }

    /// A valid token of the same authorization server for another resource.
    pub fn token_for_another_resource(&self) -> String {
        self.issuer.token().audience("https://files.example.com").scope(SCOPE).sign()
    }
}
