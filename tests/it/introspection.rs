//! Token introspection (RFC 7662): at least one test for each documented rule.

mod answers;
mod breaker;
mod burst;
mod cache;
mod configuration;
pub mod credentials;
mod discovery;
mod flights;
mod issuers;
mod limits;
mod load;
mod requests;
mod revocation;
mod routing;
mod stale;
mod start_up;
mod strangers;
pub mod stub;
mod unsupported;

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::{Endpoint, TestClock, TestIssuer};
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{Answer, App, ISSUER, RESOURCE, quiet};

pub const CLIENT: &str = "mcp-server-7f3a";
const SECRET: &str = "correct horse battery";
/// The initial time of a new `TestClock`.
const START: u64 = 1_800_000_000;

/// The credentials of a client that the issuer accepts.
fn credentials() -> ClientCredentials {
    ClientCredentials::basic(CLIENT, SECRET)
}

/// An issuer, a server that introspects tokens there, and their common clock.
struct Fixture {
    issuer: TestIssuer,
    clock: TestClock,
    server: ResourceServer,
    /// How many introspection requests checked the credentials when the server was built.
    checks: usize,
}

impl Fixture {
    /// A server that introspects every token, with default settings.
    async fn new() -> Self {
        Self::with(|issuer| issuer.introspect_all(credentials())).await
    }

    async fn with(configure: impl FnOnce(Issuer) -> Issuer) -> Self {
        let (issuer, clock) = issuer(ISSUER);
        let builder = ResourceServer::builder(RESOURCE).issuer(configure(issuer.issuer())).clock(clock.clone());
        let server = builder.build().await.unwrap();
        let checks = issuer.requests(Endpoint::Introspection);
        Self { issuer, clock, server, checks }
    }

    /// An application behind the layer, which requires `mcp:tools`.
    fn app(&self) -> App {
        App::new(self.server.bearer_layer().required_scopes(["mcp:tools"]))
    }

    /// A valid token.
    fn token(&self) -> String {
        self.issuer.token().audience(RESOURCE).scope("mcp:tools").opaque()
    }

    /// The number of introspection requests that the issuer received since the server was built.
    fn introspections(&self) -> usize {
        self.issuer.requests(Endpoint::Introspection) - self.checks
    }
}

/// An issuer that accepts the client of [`credentials`], and its clock.
fn issuer(url: &str) -> (TestIssuer, TestClock) {
    let clock = TestClock::new();
    (TestIssuer::builder(url).clock(clock.clone()).introspection_client(CLIENT, SECRET).build(), clock)
}

/// A server with a new clock, and without a background task.
fn server_of(issuer: Issuer) -> ResourceServer {
    quiet(ResourceServer::builder(RESOURCE).issuer(issuer).clock(TestClock::new()))
}

/// Sends one request per token, all at once.
async fn all<T: AsRef<str>>(app: &App, tokens: &[T]) -> Vec<Answer> {
    join_all(tokens.iter().map(|token| app.with_token(token.as_ref()))).await
}

/// New tokens, numbered from 0.
fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}-{number}")).collect()
}

fn count(answers: &[Answer], verdict: &str) -> usize {
    answers.iter().filter(|answer| answer.verdict() == verdict).count()
}

/// The layer without a router and without checks of its responses, for thousands of requests.
#[derive(Clone)]
struct BareLayer(BoxCloneSyncService<Request<()>, StatusCode, Infallible>);

impl BareLayer {
    fn new(server: &ResourceServer) -> Self {
        let handler = service_fn(|_: Request<()>| ready(Ok(Response::new(Empty::<Bytes>::new()))));
        Self(BoxCloneSyncService::new(server.bearer_layer().layer(handler).map_response(|response| response.status())))
    }

    async fn status(&self, token: &str) -> StatusCode {
        let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
        self.0.clone().oneshot(request).await.unwrap()
    }

    /// Sends all tokens at once. Returns how many responses have this status.
    async fn count<T: AsRef<str>>(&self, tokens: &[T], status: StatusCode) -> usize {
        let answers = join_all(tokens.iter().map(|token| self.status(token.as_ref()))).await;
        answers.into_iter().filter(|answer| *answer == status).count()
    }
}

/// The `AuthInfo` that a handler gets for a token, if the token is accepted.
async fn auth_info(server: &ResourceServer, token: &str) -> Option<AuthInfo> {
    let handler = service_fn(|request: Request<()>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.extensions_mut().extend(request.extensions().clone());
        ready(Ok::<_, Infallible>(response))
    });
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
    server.bearer_layer().layer(handler).oneshot(request).await.unwrap().extensions().get().cloned()
}
